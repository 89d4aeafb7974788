// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one table of a request's options: name, spellings, meaning, who understands it, and how it is read and
//! written. The wire, the client's choice of a route and the faces follow from it.

use super::json::Writer;
use super::tolerant::decode_base64;
use crate::error::Error;
use crate::limits::{LIMIT_TABLE, Limits};
use crate::request::{InputFile, Request, Rerun};
use crate::rules::{
    check_args, check_env, check_files, check_flags, check_limits, check_outputs, check_runtime,
    check_tree, limit_error, shown, shown_json, ttl, ttl_from_json, ttl_from_text,
};
use crate::webhook::check_callback_url;
use serde_json::{Map, Value};

/// What an option's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionKind {
    /// One string.
    Text,
    /// Text that names a file.
    Path,
    /// True or false.
    Flag,
    /// An integer number of seconds.
    Seconds,
    /// Names with values.
    Pairs,
    /// Input files: names with bytes.
    Files,
    /// Files in folders: paths with bytes.
    Tree,
    /// Any bytes: a string, or base64 under another key.
    Bytes,
    /// A list of strings.
    Texts,
    /// Rows of [`LIMIT_TABLE`].
    Limits,
}

/// Which endpoints understand an option.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OptionReach {
    /// The service, our own server and the engine.
    Everywhere,
    /// The engine and our own server, not the service.
    Ours,
    /// The engine in the caller's process.
    Local,
}

/// An option as text in a query string.
#[derive(Debug)]
pub struct QueryForm {
    pub(super) read: fn(&mut Request, &str, &str) -> Result<(), Error>,
    /// `None`: it is not asked for.
    pub(super) write: fn(&Request) -> Option<String>,
}

/// One row of the table.
#[derive(Debug)]
pub struct OptionRow {
    /// The name on every face, and the key that our client writes.
    pub name: &'static str,
    /// The keys of a body that are read for it, with the spellings of other clients; the last one wins.
    pub keys: &'static [&'static str],
    /// What its value is.
    pub kind: OptionKind,
    /// Which endpoints understand it.
    pub reach: OptionReach,
    /// What it does, in a few words without a final stop.
    pub means: &'static str,
    /// Whether the request asks for it.
    pub is_set: fn(&Request) -> bool,
    /// Its rule: ARGUMENT for a value that it cannot have.
    pub(crate) check: fn(&Request) -> Result<(), Error>,
    /// Where `/run` takes it with code as its body.
    pub query: Option<QueryForm>,
    pub(super) read: fn(&mut Request, &Map<String, Value>) -> Result<(), Error>,
    /// Writes nothing where it is not asked for.
    pub(super) write: fn(&Request, &mut Writer),
}

impl OptionRow {
    /// Sets the option from a value as JSON has it.
    ///
    /// # Errors
    ///
    /// ARGUMENT if it is of another kind.
    pub fn set(&self, request: &mut Request, value: Value) -> Result<(), Error> {
        (self.read)(request, &Map::from_iter([(self.name.to_string(), value)]))
    }
}

/// The row of an option that is on or off: the request's field of that name.
macro_rules! flag {
    ($field:ident, [$($key:literal),+], $means:literal) => {
        OptionRow {
            name: stringify!($field),
            keys: &[$($key),+],
            kind: OptionKind::Flag,
            reach: OptionReach::Everywhere,
            means: $means,
            is_set: |request| request.$field,
            check: |_| Ok(()),
            query: Some(QueryForm {
                read: |request, name, text| {
                    request.$field = flag_of(name, text)?;
                    Ok(())
                },
                write: |request| request.$field.then(|| "true".to_string()),
            }),
            read: |request, map| {
                for key in [$($key),+] {
                    request.$field = boolean(map, key)?.unwrap_or(request.$field);
                }
                Ok(())
            },
            write: |request, w| {
                if request.$field {
                    w.boolean(stringify!($field), true);
                }
            },
        }
    };
}

/// The row of a list of strings that only our endpoints know: the request's field of that name.
macro_rules! texts {
    ($field:ident, $means:literal, $check:path) => {
        OptionRow {
            name: stringify!($field),
            keys: &[stringify!($field)],
            kind: OptionKind::Texts,
            reach: OptionReach::Ours,
            means: $means,
            is_set: |request| !request.$field.is_empty(),
            check: |request| $check(&request.$field),
            query: None,
            read: |request, map| {
                let name = stringify!($field);
                let texts = array(map, name)?.iter().enumerate();
                request.$field =
                    texts.map(|text| read_text(name, text)).collect::<Result<_, _>>()?;
                Ok(())
            },
            write: |request, w| {
                if !request.$field.is_empty() {
                    w.texts(stringify!($field), &request.$field);
                }
            },
        }
    };
}

/// Every option of a request but language and code, in the order in which a body is written.
pub const OPTION_TABLE: &[OptionRow] = &[
    OptionRow {
        name: "env",
        keys: &["env"],
        kind: OptionKind::Pairs,
        reach: OptionReach::Everywhere,
        means: "variables of the program's environment",
        is_set: |request| !request.env.is_empty(),
        check: |request| check_env(&request.env),
        query: Some(QueryForm {
            read: |request, _, text| {
                let parsed = serde_json::from_str(text);
                let env = parsed.map_err(|_| wrong("env", "a JSON object", &Value::from(text)))?;
                request.env = read_env(&env)?;
                Ok(())
            },
            write: |request| {
                let pairs = &request.env;
                let json = || Writer::document(|w| pairs.iter().for_each(|(n, v)| w.text(n, v)));
                (!pairs.is_empty()).then(json)
            },
        }),
        read: |request, map| {
            if let Some(env) = field(map, "env") {
                request.env = read_env(env)?;
            }
            Ok(())
        },
        write: |request, w| {
            let pairs = &request.env;
            if !pairs.is_empty() {
                w.object("env", |w| pairs.iter().for_each(|(name, value)| w.text(name, value)));
            }
        },
    },
    OptionRow {
        name: "network_mode",
        keys: &["network", "network_mode"],
        kind: OptionKind::Text,
        reach: OptionReach::Everywhere,
        means: "`zerotrust` (no network) or `semitrusted` (through a gateway)",
        is_set: |request| request.network_mode != "zerotrust",
        // `ValidRequest` checks it as it reads it.
        check: |_| Ok(()),
        query: Some(QueryForm {
            read: |request, _, text| {
                request.network_mode = full_network_word(text);
                Ok(())
            },
            write: |request| Some(request.network_mode.clone()),
        }),
        read: |request, map| {
            for name in ["network", "network_mode"] {
                if let Some(word) = string(map, name)? {
                    request.network_mode = full_network_word(&word);
                }
            }
            Ok(())
        },
        // Always: the specification does not state the default.
        write: |request, w| w.text("network_mode", &request.network_mode),
    },
    OptionRow {
        name: "ttl",
        keys: &["ttl"],
        kind: OptionKind::Seconds,
        reach: OptionReach::Everywhere,
        means: "seconds that the program may run",
        is_set: |request| request.ttl.is_some(),
        check: |request| ttl(request.ttl_seconds()).map(|_| ()),
        query: Some(QueryForm {
            read: |request, _, text| {
                request.ttl = Some(ttl_from_text(text)?);
                Ok(())
            },
            // Left out, it is what the server gives at most, if that is less than the default.
            write: |request| request.ttl.map(|ttl| ttl.to_string()),
        }),
        read: |request, map| {
            if let Some(value) = field(map, "ttl") {
                request.ttl = Some(ttl_from_json(value)?);
            }
            Ok(())
        },
        write: |request, w| w.number_if("ttl", request.ttl),
    },
    flag!(
        return_artifact,
        ["return_artifacts", "return_artifact"],
        "give back the compiled program"
    ),
    flag!(
        return_wasm_artifact,
        ["return_wasm_artifact"],
        "give back the program compiled to WebAssembly"
    ),
    OptionRow {
        name: "input_files",
        keys: &["input_files"],
        kind: OptionKind::Files,
        reach: OptionReach::Everywhere,
        means: "files of the working directory",
        is_set: |request| !request.input_files.is_empty(),
        check: |request| check_files(&request.input_files),
        query: None,
        read: |request, map| {
            let files = array(map, "input_files")?.iter().enumerate();
            let read = |(index, value)| read_file_at("input_files", "filename", index, value);
            request.input_files = files.map(read).collect::<Result<_, _>>()?;
            Ok(())
        },
        write: |request, w| {
            if !request.input_files.is_empty() {
                w.objects("input_files", &request.input_files, |w, file| {
                    w.text_if("filename", file.filename.as_deref());
                    w.base64("content", &file.content);
                });
            }
        },
    },
    OptionRow {
        name: "files",
        keys: &["files"],
        kind: OptionKind::Tree,
        reach: OptionReach::Ours,
        means: "files of the working directory and of folders in it",
        is_set: |request| !request.files.is_empty(),
        check: check_tree,
        query: None,
        read: |request, map| {
            let files = array(map, "files")?.iter().enumerate();
            let read = |(index, value)| read_file_at("files", "path", index, value);
            request.files = files.map(read).collect::<Result<_, _>>()?;
            Ok(())
        },
        write: |request, w| {
            if !request.files.is_empty() {
                w.objects("files", &request.files, |w, file| {
                    w.text_if("path", file.filename.as_deref());
                    w.base64("content", &file.content);
                });
            }
        },
    },
    OptionRow {
        name: "stdin",
        keys: &["stdin", "stdin_base64"],
        kind: OptionKind::Bytes,
        reach: OptionReach::Ours,
        means: "standard input",
        is_set: |request| request.stdin.is_some(),
        check: |_| Ok(()),
        query: None,
        read: |request, map| {
            request.stdin = read_stdin(map)?;
            Ok(())
        },
        write: |request, w| match request
            .stdin
            .as_deref()
            .map(|bytes| (bytes, std::str::from_utf8(bytes)))
        {
            Some((_, Ok(text))) => w.text("stdin", text),
            Some((bytes, Err(_))) => w.base64("stdin_base64", bytes),
            None => {}
        },
    },
    texts!(args, "arguments of the program", check_args),
    // `ValidRequest` asks the language, too.
    texts!(flags, "flags of the compiler", check_flags),
    texts!(outputs, "patterns of files that come back from the working directory", check_outputs),
    OptionRow {
        name: "limits",
        keys: &["limits"],
        kind: OptionKind::Limits,
        reach: OptionReach::Ours,
        means: "limits of the run by name",
        is_set: |request| !request.limits.is_default(),
        check: |request| check_limits(&request.limits),
        query: None,
        read: |request, map| {
            request.limits = read_limits(map)?;
            Ok(())
        },
        write: |request, w| {
            if !request.limits.is_default() {
                w.object("limits", |w| {
                    for row in LIMIT_TABLE {
                        w.number_if(row.name, request.limits.get(row.name));
                    }
                });
            }
        },
    },
    OptionRow {
        name: "rerun",
        keys: &["rerun"],
        kind: OptionKind::Text,
        reach: OptionReach::Ours,
        means: "`never`, or `if_lost`: a job runs again if its server ended while it ran",
        is_set: |request| request.rerun != Rerun::Never,
        check: |_| Ok(()),
        query: None,
        read: |request, map| {
            if let Some(word) = string(map, "rerun")? {
                let read = Rerun::parse(&word);
                let words = "\"never\" or \"if_lost\"";
                request.rerun = read.ok_or_else(|| wrong("rerun", words, &Value::from(word)))?;
            }
            Ok(())
        },
        write: |request, w| {
            if request.rerun != Rerun::Never {
                w.text("rerun", request.rerun.as_str());
            }
        },
    },
    OptionRow {
        name: "callback_url",
        keys: &["callback_url"],
        kind: OptionKind::Text,
        reach: OptionReach::Ours,
        means: "URL to which a server with webhooks posts that the job has ended; of jobs only",
        is_set: |request| request.callback_url.is_some(),
        check: |request| check_callback_url(request.callback_url.as_deref()),
        query: Some(QueryForm {
            read: |request, _, text| {
                request.callback_url = Some(text.to_string());
                Ok(())
            },
            write: |request| request.callback_url.clone(),
        }),
        read: |request, map| {
            if let Some(url) = string(map, "callback_url")? {
                request.callback_url = Some(url);
            }
            Ok(())
        },
        write: |request, w| w.text_if("callback_url", request.callback_url.as_deref()),
    },
    OptionRow {
        name: "runtime",
        keys: &["runtime"],
        kind: OptionKind::Path,
        reach: OptionReach::Local,
        means: "path of the interpreter or compiler",
        is_set: |request| request.runtime.is_some(),
        check: |request| check_runtime(request.runtime.as_deref()),
        query: None,
        read: |request, map| {
            request.runtime = string(map, "runtime")?;
            Ok(())
        },
        // A client refuses to send it.
        write: |_, _| {},
    },
];

fn flag_of(name: &str, text: &str) -> Result<bool, Error> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::argument(format!("{name} must be true or false, got {}", shown(text)))),
    }
}

pub(super) fn wrong(field: &str, expected: &str, got: &Value) -> Error {
    Error::argument(format!("{field} must be {expected}, got {}", shown_json(got)))
}

/// A field that is there and not null.
pub(super) fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}

pub(super) fn string(map: &Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    match field(map, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(name, "a string", other)),
    }
}

pub(super) fn boolean(map: &Map<String, Value>, name: &str) -> Result<Option<bool>, Error> {
    match field(map, name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(wrong(name, "true or false", other)),
    }
}

fn array<'a>(map: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Error> {
    match field(map, name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(wrong(name, "an array", other)),
    }
}

/// Other clients leave out the last two letters.
fn full_network_word(word: &str) -> String {
    if word == "semitrust" { "semitrusted" } else { word }.to_string()
}

fn read_env(value: &Value) -> Result<Vec<(String, String)>, Error> {
    let Value::Object(map) = value else {
        return Err(wrong("env", "an object", value));
    };
    map.iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            other => Err(wrong(&format!("the value of env {}", shown(name)), "a string", other)),
        })
        .collect()
}

/// An entry of a list of files, which is called by its `name`.
fn read_file_at(list: &str, name: &str, index: usize, value: &Value) -> Result<InputFile, Error> {
    let place = format!("{list}[{index}]");
    let Value::Object(map) = value else {
        return Err(wrong(&place, "an object", value));
    };
    let at = |name: &str| format!("{place} {name}");
    let filename = match field(map, name) {
        None => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => return Err(wrong(&at(name), "a string", other)),
    };
    let content = field(map, "content").or_else(|| field(map, "content_base64"));
    match content {
        None => Err(Error::argument(format!("{} is missing", at("content")))),
        Some(Value::String(text)) => match decode_base64(text) {
            Some(content) => Ok(InputFile { filename, content }),
            None => Err(wrong(&at("content"), "base64", &Value::from(text.as_str()))),
        },
        Some(other) => Err(wrong(&at("content"), "base64", other)),
    }
}

fn read_stdin(map: &Map<String, Value>) -> Result<Option<Vec<u8>>, Error> {
    match string(map, "stdin_base64")? {
        None => Ok(string(map, "stdin")?.map(String::into_bytes)),
        Some(text) => match decode_base64(&text) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(wrong("stdin_base64", "base64", &Value::from(text))),
        },
    }
}

fn read_text(list: &str, (index, value): (usize, &Value)) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong(&format!("{list}[{index}]"), "a string", other)),
    }
}

fn read_limits(map: &Map<String, Value>) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    match field(map, "limits") {
        None => {}
        Some(Value::Object(asked)) => {
            // An unknown limit is refused: ignoring it would loosen the limits that were requested.
            for (name, value) in asked.iter().filter(|(_, value)| !value.is_null()) {
                let number = value.as_u64().ok_or_else(|| limit_error(name, shown_json(value)))?;
                if !limits.set(name, number) {
                    return Err(limit_error(name, number));
                }
            }
        }
        Some(other) => return Err(wrong("limits", "an object", other)),
    }
    Ok(limits)
}
