// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests: as our client writes them, and as a server reads what any client sends. A server is strict
//! about types and values and lenient about the names that other clients use.

use super::body;
use super::json::Writer;
use super::query::{pairs, percent_encode};
use super::tolerant::decode_base64;
use crate::error::Error;
use crate::limits::{LIMIT_TABLE, Limits};
use crate::request::{InputFile, Request};
use crate::validate::{limit_error, shown, shown_json, ttl_from_json, ttl_from_text};
use serde_json::{Map, Value};

/// A request as a server received it, not validated yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    pub request: Request,
    /// The body said `"async": true`: the reply is a job, as from `/execute/async`.
    pub wants_async: bool,
}

/// The body of `/execute` and `/execute/async`, and of `/run` where a server takes JSON there.
///
/// What the service does not know is written only when it is used.
pub fn encode_execute(request: &Request) -> String {
    let files = request.input_files.iter().map(|file| 128 + file.content.len().div_ceil(3) * 4);
    let stdin = request.stdin.as_ref().map_or(0, Vec::len);
    let bytes = 256 + request.code.len() + files.sum::<usize>() + stdin;
    Writer::document_of(bytes, |w| {
        w.text_if("language", request.language.as_deref());
        w.text("code", &request.code);
        if !request.env.is_empty() {
            w.object("env", |w| request.env.iter().for_each(|(name, value)| w.text(name, value)));
        }
        // The specification does not state the default.
        w.text("network_mode", &request.network_mode);
        // Left out, it is what the server gives at most, if that is less than the default.
        w.number_if("ttl", request.ttl);
        for (key, asked) in flags(request) {
            if asked {
                w.boolean(key, true);
            }
        }
        if !request.input_files.is_empty() {
            w.objects("input_files", &request.input_files, |w, file| {
                w.text_if("filename", file.filename.as_deref());
                w.base64("content", &file.content);
            });
        }
        match request.stdin.as_deref().map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            Some((_, Ok(text))) => w.text("stdin", text),
            Some((bytes, Err(_))) => w.base64("stdin_base64", bytes),
            None => {}
        }
        if !request.args.is_empty() {
            w.texts("args", &request.args);
        }
        if !request.limits.is_default() {
            w.object("limits", |w| {
                for row in LIMIT_TABLE {
                    w.number_if(row.name, request.limits.get(row.name));
                }
            });
        }
    })
}

fn flags(request: &Request) -> [(&'static str, bool); 2] {
    [
        ("return_artifact", request.return_artifact),
        ("return_wasm_artifact", request.return_wasm_artifact),
    ]
}

/// The query string of `/run`, whose body is the code itself.
pub fn encode_run_query(request: &Request) -> String {
    let mut query = format!("network_mode={}", percent_encode(&request.network_mode));
    if let Some(ttl) = request.ttl {
        query.push_str(&format!("&ttl={ttl}"));
    }
    if !request.env.is_empty() {
        let env = Writer::document(|w| request.env.iter().for_each(|(n, v)| w.text(n, v)));
        query.push_str("&env=");
        query.push_str(&percent_encode(&env));
    }
    for (key, asked) in flags(request) {
        if asked {
            query.push_str(&format!("&{key}=true"));
        }
    }
    query
}

/// Reads the body of `/execute`. ARGUMENT names the field and the value that is wrong.
pub fn decode_request(body: &[u8]) -> Result<Incoming, Error> {
    let map = read_body(body)?;
    let language = string(&map, "language")?;
    let language = language.ok_or_else(|| Error::argument("language is missing"))?;
    let mut incoming = read_options(&map, Request::detect(""))?;
    incoming.request.language = Some(language);
    Ok(incoming)
}

/// Reads `/run`: the code itself with options in the query, or a JSON body with all of them.
pub fn decode_run(query: &str, content_type: Option<&str>, body: &[u8]) -> Result<Incoming, Error> {
    let mut request = Request::detect("");
    for pair in pairs(query) {
        let (name, value) = pair?;
        read_query_option(&mut request, &name, &value)?;
    }
    if run_is_json(content_type) {
        let map = read_body(body)?;
        if let Some(language) = field(&map, "language") {
            return Err(Error::argument(format!(
                "language is {}, which /run detects from the code; /execute takes it",
                shown_json(language)
            )));
        }
        return read_options(&map, request);
    }
    let code = std::str::from_utf8(body);
    request.code = code.map_err(|_| Error::argument("code is not UTF-8 text"))?.to_string();
    Ok(Incoming { request, wants_async: false })
}

/// Whether the body of `/run` is JSON rather than the code itself.
pub fn run_is_json(content_type: Option<&str>) -> bool {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

fn read_query_option(request: &mut Request, name: &str, value: &str) -> Result<(), Error> {
    let flag = || match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Error::argument(format!("{name} must be true or false, got {}", shown(value)))),
    };
    match name {
        "ttl" => request.ttl = Some(ttl_from_text(value)?),
        "network_mode" | "network" => request.network_mode = full_network_word(value),
        "return_artifact" | "return_artifacts" => request.return_artifact = flag()?,
        "return_wasm_artifact" => request.return_wasm_artifact = flag()?,
        "env" => {
            let parsed = serde_json::from_str(value);
            let env = parsed.map_err(|_| wrong("env", "a JSON object", &Value::from(value)))?;
            request.env = read_env(&env)?;
        }
        _ => {}
    }
    Ok(())
}

/// The fields of a body that are read here, with the spellings of other clients.
const FIELDS: [&str; 16] = [
    "language",
    "code",
    "env",
    "network",
    "network_mode",
    "ttl",
    "return_artifacts",
    "return_artifact",
    "return_wasm_artifact",
    "input_files",
    "stdin",
    "stdin_base64",
    "args",
    "limits",
    "runtime",
    "async",
];

fn read_body(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    body::read(body, &FIELDS)?.map_err(|other| wrong("the body", "a JSON object", &other))
}

fn wrong(field: &str, expected: &str, got: &Value) -> Error {
    Error::argument(format!("{field} must be {expected}, got {}", shown_json(got)))
}

/// A field that is there and not null.
fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}

fn string(map: &Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    debug_assert!(FIELDS.contains(&name), "{name} is not kept");
    match field(map, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(name, "a string", other)),
    }
}

fn boolean(map: &Map<String, Value>, name: &str) -> Result<Option<bool>, Error> {
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

/// Reads code and options on top of what a query string said. `vcpu` and unknown keys do nothing;
/// `runtime` is read so that a server can refuse it.
fn read_options(map: &Map<String, Value>, mut request: Request) -> Result<Incoming, Error> {
    let code = string(map, "code")?;
    request.code = code.ok_or_else(|| Error::argument("code is missing"))?;
    if let Some(env) = field(map, "env") {
        request.env = read_env(env)?;
    }
    for name in ["network", "network_mode"] {
        if let Some(word) = string(map, name)? {
            request.network_mode = full_network_word(&word);
        }
    }
    if let Some(value) = field(map, "ttl") {
        request.ttl = Some(ttl_from_json(value)?);
    }
    for name in ["return_artifacts", "return_artifact"] {
        request.return_artifact = boolean(map, name)?.unwrap_or(request.return_artifact);
    }
    let wasm = boolean(map, "return_wasm_artifact")?;
    request.return_wasm_artifact = wasm.unwrap_or(request.return_wasm_artifact);
    let files = array(map, "input_files")?.iter().enumerate();
    request.input_files = files.map(read_file).collect::<Result<_, _>>()?;
    request.stdin = read_stdin(map)?;
    let args = array(map, "args")?.iter().enumerate();
    request.args = args.map(read_arg).collect::<Result<_, _>>()?;
    request.limits = read_limits(map)?;
    request.runtime = string(map, "runtime")?;
    Ok(Incoming { request, wants_async: boolean(map, "async")?.unwrap_or(false) })
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

fn read_file((index, value): (usize, &Value)) -> Result<InputFile, Error> {
    let place = format!("input_files[{index}]");
    let Value::Object(map) = value else {
        return Err(wrong(&place, "an object", value));
    };
    let at = |name: &str| format!("{place} {name}");
    let filename = match field(map, "filename") {
        None => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => return Err(wrong(&at("filename"), "a string", other)),
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

fn read_arg((index, value): (usize, &Value)) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong(&format!("args[{index}]"), "a string", other)),
    }
}

fn read_limits(map: &Map<String, Value>) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    match field(map, "limits") {
        None => {}
        Some(Value::Object(asked)) => {
            // A limit that is not known is refused: leaving it out would loosen what was asked for.
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
