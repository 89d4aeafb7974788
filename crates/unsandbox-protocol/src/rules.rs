// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of values: a wrong one gets the same message on every face and at the server.

use crate::error::Error;
use crate::language::Language;
use crate::limits::{self, LIMIT_TABLE, Limits, TTL_MAX_SECONDS, TTL_MIN_SECONDS};
use crate::request::{InputFile, NetworkMode, Request};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Display;

/// Characters of a wrong value that an error shows.
const SHOWN_MAX_CHARS: usize = 40;
/// The kernel's PATH_MAX, for the path of a runtime.
const RUNTIME_MAX_BYTES: usize = 4096;

/// A value from outside, as shown in an error: quoted, escaped, at most 40 characters.
pub fn shown(value: &str) -> String {
    let short: String = value.chars().take(SHOWN_MAX_CHARS).collect();
    let dots = if short.len() < value.len() { "…" } else { "" };
    format!("{short:?}{dots}")
}

/// A JSON value, as shown in an error; only the kind of arrays and objects.
pub fn shown_json(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Array(_) => "an array".to_string(),
        Value::Object(_) => "an object".to_string(),
        scalar => scalar.to_string().chars().take(SHOWN_MAX_CHARS).collect(),
    }
}

/// The error for a `ttl` that cannot be; `got` as it came.
pub fn ttl_error(got: impl Display) -> Error {
    Error::argument(format!(
        "ttl must be an integer number of seconds from {TTL_MIN_SECONDS} to {TTL_MAX_SECONDS}, got {got}"
    ))
}

/// The one rule for a `ttl` that is already a number.
pub fn ttl(seconds: i64) -> Result<i64, Error> {
    if (TTL_MIN_SECONDS..=TTL_MAX_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(ttl_error(seconds))
    }
}

/// A `ttl` from a command line or a query string: decimal digits, nothing else.
pub fn ttl_from_text(text: &str) -> Result<i64, Error> {
    match text.parse::<i64>() {
        Ok(seconds) if !text.starts_with('+') => ttl(seconds),
        // A number out of range is shown as a number, as for JSON.
        _ if text.parse::<f64>().is_ok_and(f64::is_finite) => {
            Err(ttl_error(text.chars().take(SHOWN_MAX_CHARS).collect::<String>()))
        }
        _ => Err(ttl_error(shown(text))),
    }
}

/// A `ttl` from JSON, or from a language whose values are like JSON's: an integer, not 1.5, "60" or true.
pub fn ttl_from_json(value: &Value) -> Result<i64, Error> {
    match value.as_i64() {
        Some(seconds) => ttl(seconds),
        None => Err(ttl_error(shown_json(value))),
    }
}

/// The one rule for `network_mode`.
pub fn network_mode(word: &str) -> Result<NetworkMode, Error> {
    NetworkMode::parse(word).ok_or_else(|| {
        Error::argument(format!(
            "network_mode must be \"zerotrust\" or \"semitrusted\", got {}",
            shown(word)
        ))
    })
}

/// The names under which the files lie in the work directory: a file without one is called by its index.
pub fn file_names(files: &[InputFile]) -> Result<Vec<String>, Error> {
    let mut seen = HashSet::with_capacity(files.len());
    let mut names = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let name = match &file.filename {
            Some(name) => {
                check_file_name(index, name)?;
                name.clone()
            }
            None => index.to_string(),
        };
        if !seen.insert(name.clone()) {
            return Err(file_error(
                index,
                format!("has the name {} of another file; names must be unique", shown(&name)),
            ));
        }
        names.push(name);
    }
    Ok(names)
}

fn file_error(index: usize, what: impl Display) -> Error {
    Error::argument(format!("input_files[{index}] {what}"))
}

fn check_file_name(index: usize, name: &str) -> Result<(), Error> {
    let chars = name.chars().count();
    let problem = if name.is_empty() {
        "filename is empty".to_string()
    } else if chars > limits::FILENAME_MAX_CHARS {
        let max = limits::FILENAME_MAX_CHARS;
        format!("filename {} has {chars} characters, the limit is {max}", shown(name))
    } else if name.len() > limits::FILENAME_MAX_BYTES {
        let (len, max) = (name.len(), limits::FILENAME_MAX_BYTES);
        format!("filename {} has {len} bytes, the limit is {max}", shown(name))
    } else if name == "." {
        "filename \".\" is a directory".to_string()
    } else if name.contains("..") {
        format!("filename {} contains \"..\"", shown(name))
    } else if name.contains('/') {
        format!("filename {} contains \"/\"", shown(name))
    } else if name.contains('\0') {
        format!("filename {} contains a NUL byte", shown(name))
    } else {
        return Ok(());
    };
    Err(file_error(index, problem))
}

/// Where the files of a request lie in its work directory: `input_files`, then `files`.
pub fn file_paths(request: &Request) -> Result<Vec<String>, Error> {
    let mut paths = file_names(&request.input_files)?;
    let flat = paths.len();
    for (index, file) in request.files.iter().enumerate() {
        let path = file.filename.as_deref().unwrap_or_default();
        check_path(index, path)?;
        paths.push(path.to_string());
    }
    let seen: HashSet<&str> = paths.iter().map(String::as_str).collect();
    let folders: HashSet<&str> = paths.iter().flat_map(|path| folders_of(path)).collect();
    if seen.len() < paths.len() {
        let mut before = HashSet::new();
        let twice = paths.iter().position(|path| !before.insert(path)).unwrap_or_default();
        let path = shown(&paths[twice]);
        return Err(path_error(
            twice.saturating_sub(flat),
            format!("has the path {path} of another file; paths must be unique"),
        ));
    }
    match paths.iter().position(|path| folders.contains(path.as_str())) {
        None => Ok(paths),
        Some(place) => Err(Error::argument(format!(
            "{} is the path of a file and of a folder with other files",
            shown(&paths[place])
        ))),
    }
}

/// The folders in which a path lies.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn path_error(index: usize, what: impl Display) -> Error {
    Error::argument(format!("files[{index}] {what}"))
}

fn check_path(index: usize, path: &str) -> Result<(), Error> {
    let max = limits::PATH_MAX_BYTES;
    let name_max = limits::FILENAME_MAX_BYTES;
    let bad = path.split('/').find(|part| matches!(*part, "" | "." | ".."));
    let long = path.split('/').map(str::len).find(|len| *len > name_max);
    let problem = if path.is_empty() {
        "path is empty".to_string()
    } else if path.len() > max {
        format!("path {} has {} bytes, the limit is {max}", shown(path), path.len())
    } else if path.contains('\0') {
        format!("path {} contains a NUL byte", shown(path))
    } else if let Some(part) = bad {
        let part = shown(part);
        format!(
            "path {} has the part {part}; give a path below the working directory, as \"pkg/util.py\"",
            shown(path)
        )
    } else if let Some(len) = long {
        format!("path {} has a name of {len} bytes, the limit is {name_max}", shown(path))
    } else {
        return Ok(());
    };
    Err(path_error(index, problem))
}

/// The paths and sizes of `files`.
pub(crate) fn check_tree(request: &Request) -> Result<(), Error> {
    at_most("files", request.files.len(), limits::FILES_MAX, "files")?;
    if !request.files.is_empty() {
        file_paths(request)?;
    }
    let total = request.files.iter().map(|file| file.content.len()).sum();
    at_most("files", total, limits::FILES_TOTAL_MAX_BYTES, "bytes together")
}

/// The names and sizes of input files.
pub(crate) fn check_files(files: &[InputFile]) -> Result<(), Error> {
    if files.len() > limits::INPUT_FILES_MAX {
        let (count, max) = (files.len(), limits::INPUT_FILES_MAX);
        return Err(Error::argument(format!("input_files has {count} files, the limit is {max}")));
    }
    let names = file_names(files)?;
    let mut total = 0;
    for (index, (file, name)) in files.iter().zip(&names).enumerate() {
        let (len, max) = (file.content.len(), limits::INPUT_FILE_MAX_BYTES);
        if len > max {
            let name = shown(name);
            return Err(file_error(index, format!("{name} has {len} bytes, the limit is {max}")));
        }
        total += len;
    }
    let max = limits::INPUT_FILES_TOTAL_MAX_BYTES;
    if total > max {
        return Err(Error::argument(format!(
            "input_files have {total} bytes together, the limit is {max}"
        )));
    }
    Ok(())
}

/// The names and values of environment variables.
pub(crate) fn check_env(env: &[(String, String)]) -> Result<(), Error> {
    at_most("env", env.len(), limits::ENV_MAX_COUNT, "variables")?;
    let mut total = 0;
    for (name, value) in env {
        if name.is_empty() {
            return Err(Error::argument("env has a variable whose name is empty"));
        }
        for (bad, word) in [('=', "\"=\""), ('\0', "a NUL byte")] {
            if name.contains(bad) {
                let name = shown(name);
                return Err(Error::argument(format!("env name {name} contains {word}")));
            }
        }
        let field = || format!("the value of env {}", shown(name));
        if value.contains('\0') {
            return Err(Error::argument(format!("{} contains a NUL byte", field())));
        }
        // The kernel counts the name with the value.
        at_most(&field(), name.len() + value.len(), limits::ENV_VALUE_MAX_BYTES, "bytes")?;
        total += name.len() + value.len();
    }
    at_most("env", total, limits::ENV_MAX_BYTES, "bytes together")
}

/// The count and the lengths of flags.
pub(crate) fn check_flags(flags: &[String]) -> Result<(), Error> {
    at_most("flags", flags.len(), limits::FLAGS_MAX_COUNT, "flags")?;
    for (index, flag) in flags.iter().enumerate() {
        if flag.contains('\0') {
            let flag = shown(flag);
            return Err(Error::argument(format!("flags[{index}] {flag} contains a NUL byte")));
        }
        at_most(&format!("flags[{index}]"), flag.len(), limits::ARG_MAX_BYTES, "bytes")?;
    }
    Ok(())
}

/// Whether a language takes these flags.
pub(crate) fn check_flags_of(language: &Language, flags: &[String]) -> Result<(), Error> {
    let Some((index, flag)) = flags.iter().enumerate().find(|(_, flag)| !language.takes_flag(flag))
    else {
        return Ok(());
    };
    let (name, flag) = (language.name, shown(flag));
    let known = match language.flags {
        [] => "it takes none".to_string(),
        known => format!("it takes {}, where * is any text", known.join(" ")),
    };
    Err(Error::argument(format!("flags[{index}] {flag} is not a flag that {name} takes; {known}")))
}

/// Patterns of files in the working directory.
pub(crate) fn check_outputs(outputs: &[String]) -> Result<(), Error> {
    at_most("outputs", outputs.len(), limits::OUTPUTS_MAX_COUNT, "patterns")?;
    for (index, pattern) in outputs.iter().enumerate() {
        let why = match pattern {
            _ if pattern.is_empty() => "is empty",
            _ if pattern.contains('\0') => "contains a NUL byte",
            _ if pattern.starts_with('/') => {
                "is absolute; patterns are relative to the working directory"
            }
            _ if pattern.split('/').any(|part| part == "..") => {
                "leaves the working directory by \"..\""
            }
            _ => continue,
        };
        return Err(Error::argument(format!("outputs[{index}] {} {why}", shown(pattern))));
    }
    let total = outputs.iter().map(String::len).sum();
    at_most("outputs", total, limits::OUTPUTS_MAX_BYTES, "bytes together")
}

/// The arguments of a program.
pub(crate) fn check_args(args: &[String]) -> Result<(), Error> {
    at_most("args", args.len(), limits::ARGS_MAX_COUNT, "arguments")?;
    let mut total = 0;
    for (index, arg) in args.iter().enumerate() {
        if arg.contains('\0') {
            let arg = shown(arg);
            return Err(Error::argument(format!("args[{index}] {arg} contains a NUL byte")));
        }
        at_most(&format!("args[{index}]"), arg.len(), limits::ARG_MAX_BYTES, "bytes")?;
        total += arg.len();
    }
    at_most("args", total, limits::ARGS_MAX_BYTES, "bytes together")
}

fn at_most(field: &str, count: usize, max: usize, unit: &str) -> Result<(), Error> {
    if count > max {
        return Err(Error::argument(format!("{field} has {count} {unit}, the limit is {max}")));
    }
    Ok(())
}

/// The one rule for the values of limits.
pub fn check_limits(asked: &Limits) -> Result<(), Error> {
    for row in LIMIT_TABLE {
        match asked.get(row.name) {
            Some(value) if !(row.min..=row.max).contains(&value) => {
                return Err(limit_error(row.name, value));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The error for a value that the limit called `name` cannot take; `got` as it came.
pub fn limit_error(name: &str, got: impl Display) -> Error {
    match LIMIT_TABLE.iter().find(|row| row.name == name) {
        Some(row) => {
            let (min, max) = (row.min, row.max);
            Error::argument(format!(
                "limits.{name} must be an integer from {min} to {max}, got {got}"
            ))
        }
        None => {
            let known: Vec<&str> = LIMIT_TABLE.iter().map(|row| row.name).collect();
            let known = known.join(", ");
            Error::argument(format!("limits has no {}; there are {known}", shown(name)))
        }
    }
}

/// The path of an interpreter or compiler.
pub(crate) fn check_runtime(path: Option<&str>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    if path.is_empty() || path.contains('\0') {
        return Err(Error::argument(format!(
            "runtime must be the path of a program, got {}",
            shown(path)
        )));
    }
    at_most("runtime", path.len(), RUNTIME_MAX_BYTES, "bytes")
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
