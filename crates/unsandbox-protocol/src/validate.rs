// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of a request, applied on every face and again at the server: a wrong value gets the same message
//! everywhere.

use crate::error::Error;
use crate::language::Language;
use crate::limits::{self, LIMIT_TABLE, Limits, TTL_MAX_SECONDS, TTL_MIN_SECONDS};
use crate::request::{InputFile, NetworkMode, Request};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Deref;

/// A request that keeps every rule: only validation makes one.
///
/// Dereferences to the [`Request`].
#[derive(Clone, Debug)]
pub struct ValidRequest<'a> {
    request: Cow<'a, Request>,
    /// `None`: the backend detects it.
    language: Option<&'static Language>,
    network_mode: NetworkMode,
}

impl<'a> ValidRequest<'a> {
    /// Checks every field against its limit and detects the language where none is named.
    ///
    /// # Errors
    ///
    /// ARGUMENT; the message names field, value and limit.
    pub fn new(request: Cow<'a, Request>) -> Result<Self, Error> {
        let valid = ValidRequest::undetected(request)?;
        if valid.language.is_some() { Ok(valid) } else { valid.detect() }
    }

    /// As [`ValidRequest::new`], but leaves a language that is not named to the backend, which may know more of
    /// them.
    ///
    /// # Errors
    ///
    /// As [`ValidRequest::new`].
    pub fn undetected(request: Cow<'a, Request>) -> Result<Self, Error> {
        let network_mode = check_options(&request)?;
        let language = match &request.language {
            Some(name) => Some(crate::language::require_language(name)?),
            None => None,
        };
        if let Some(language) = language {
            check_code(&request.code, language)?;
        }
        Ok(ValidRequest { request, language, network_mode })
    }

    /// Detects the language.
    ///
    /// # Errors
    ///
    /// ARGUMENT if the code does not tell it.
    pub fn detect(self) -> Result<Self, Error> {
        let language = crate::detect::detect(&self.request.code)?;
        check_code(&self.request.code, language)?;
        Ok(ValidRequest { language: Some(language), ..self })
    }

    /// The language, named or detected; `None` if the backend has to detect it.
    pub fn language(&self) -> Option<&'static Language> {
        self.language
    }

    /// Whether the language was detected rather than named.
    pub fn is_detected(&self) -> bool {
        self.language.is_some() && self.request.language.is_none()
    }

    /// The network mode that the request names.
    pub fn network_mode(&self) -> NetworkMode {
        self.network_mode
    }

    /// Its own copy of a request that was borrowed.
    pub fn into_owned(self) -> ValidRequest<'static> {
        ValidRequest { request: Cow::Owned(self.request.into_owned()), ..self }
    }

    /// The request, with the language's own name where that is known: one spelling on the wire, since an alias
    /// of ours need not be one of the server's.
    pub fn into_request(self) -> Cow<'a, Request> {
        let mut request = self.request;
        if let Some(Language { name, .. }) = self.language
            && request.language.as_deref() != Some(name)
        {
            request.to_mut().language = Some(name.to_string());
        }
        request
    }

    /// Standard input may be any bytes.
    pub fn set_stdin(&mut self, stdin: Vec<u8>) {
        self.request.to_mut().stdin = Some(stdin);
    }

    /// Sets how many seconds the program may run, from 1 to 900.
    ///
    /// # Errors
    ///
    /// ARGUMENT if it is none that a run may have.
    pub fn set_ttl(&mut self, seconds: i64) -> Result<(), Error> {
        self.request.to_mut().ttl = Some(ttl(seconds)?);
        Ok(())
    }

    /// Sets what the run may use, in place of all limits set before.
    ///
    /// # Errors
    ///
    /// ARGUMENT if a value is out of its bounds.
    pub fn set_limits(&mut self, limits: Limits) -> Result<(), Error> {
        check_limits(&limits)?;
        self.request.to_mut().limits = limits;
        Ok(())
    }
}

impl Deref for ValidRequest<'_> {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

/// Characters of a wrong value that an error shows.
const SHOWN_MAX_CHARS: usize = 40;
/// The kernel's PATH_MAX, for the path of a runtime.
const RUNTIME_MAX_BYTES: usize = 4096;

impl Request {
    /// Checks every field against its limit; the error names field, value and limit.
    ///
    /// # Errors
    ///
    /// As [`ValidRequest::new`].
    pub fn validate(&self) -> Result<ValidRequest<'_>, Error> {
        ValidRequest::new(Cow::Borrowed(self))
    }
}

/// Everything but language and code.
fn check_options(request: &Request) -> Result<NetworkMode, Error> {
    ttl(request.ttl_seconds())?;
    let network_mode = network_mode(&request.network_mode)?;
    check_files(&request.input_files)?;
    check_env(&request.env)?;
    check_args(&request.args)?;
    check_limits(&request.limits)?;
    if let Some(path) = &request.runtime {
        check_runtime(path)?;
    }
    Ok(network_mode)
}

fn check_code(code: &str, language: &Language) -> Result<(), Error> {
    if language.allows_nul || !code.contains('\0') {
        return Ok(());
    }
    let name = language.name;
    Err(Error::argument(format!("code contains a NUL byte, which a {name} program cannot hold")))
}

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

fn ttl_error(got: impl Display) -> Error {
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

fn check_files(files: &[InputFile]) -> Result<(), Error> {
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

fn check_env(env: &[(String, String)]) -> Result<(), Error> {
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

fn check_args(args: &[String]) -> Result<(), Error> {
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

fn check_runtime(path: &str) -> Result<(), Error> {
    if path.is_empty() || path.contains('\0') {
        return Err(Error::argument(format!(
            "runtime must be the path of a program, got {}",
            shown(path)
        )));
    }
    at_most("runtime", path.len(), RUNTIME_MAX_BYTES, "bytes")
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
