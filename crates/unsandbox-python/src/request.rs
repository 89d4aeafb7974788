// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes a request from Python values. Types are checked here, because Python does not check them. The limits and all
//! error messages come from the protocol.

use crate::error::raise;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use serde_json::Value;
use unsandbox::{Error, InputFile, Request};
use unsandbox_protocol::rules::{self, limit_error, ttl_error};
use unsandbox_protocol::wire::{OPTION_TABLE, OptionKind};

/// Characters of a wrong number that an error shows.
const SHOWN_MAX_CHARS: usize = 40;

/// The request of an execution; `language` is `None` for `run`. Options that are absent or None keep
/// their defaults.
pub fn request(
    language: Option<&Bound<'_, PyAny>>,
    code: &Bound<'_, PyAny>,
    options: &Bound<'_, PyDict>,
) -> PyResult<Request> {
    let code = text("code", code)?;
    let mut request = match language {
        Some(language) => Request::new(text("language", language)?, code),
        None => Request::detect(code),
    };
    for (name, value) in options.iter() {
        if !value.is_none() {
            set(&mut request, name.extract()?, &value)?;
        }
    }
    Ok(request)
}

fn set(request: &mut Request, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "env" => request.env = env(value)?,
        "input_files" => request.input_files = files(name, "filename", value)?,
        "files" => request.files = files(name, "path", value)?,
        "stdin" => request.stdin = Some(value.extract()?),
        "args" => request.args = texts(name, value)?,
        "flags" => request.flags = texts(name, value)?,
        "outputs" => request.outputs = texts(name, value)?,
        "limits" => limits(request, value)?,
        // Only the names of the API: the spellings of other clients are accepted only in JSON.
        "network_mode" => request.network_mode = text(name, value)?,
        "ttl" => request.ttl = Some(ttl(value)?),
        _ => return set_scalar(request, name, value),
    }
    Ok(())
}

/// Sets an option whose value is one number, flag or text.
fn set_scalar(request: &mut Request, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(row) = OPTION_TABLE.iter().find(|row| row.name == name) else {
        return Err(refused(value, format!("there is no option {name:?}")));
    };
    let value_as_json = match row.kind {
        OptionKind::Text | OptionKind::Path => Value::from(text(name, value)?),
        OptionKind::Flag => Value::from(flag(name, value)?),
        _ => return Err(refused(value, format!("{name} cannot be set from Python"))),
    };
    row.set(request, value_as_json).map_err(|error| raise(value.py(), &error))
}

fn refused(value: &Bound<'_, PyAny>, message: String) -> PyErr {
    raise(value.py(), &Error::argument(message))
}

/// A number that is not True or False: also one of another package, such as NumPy.
pub fn number(value: &Bound<'_, PyAny>) -> Option<f64> {
    match value.is_instance_of::<PyBool>() {
        true => None,
        false => value.extract().ok(),
    }
}

/// Whole seconds: a program gets no less time than was asked for.
fn ttl(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let whole = value.extract::<i64>().ok().filter(|_| !value.is_instance_of::<PyBool>());
    // A float of more digits than an i64 becomes the largest, and NaN becomes 0: both are out of range.
    let seconds = whole.or_else(|| number(value).map(|seconds| seconds.ceil() as i64));
    let known = seconds.filter(|seconds| rules::ttl(*seconds).is_ok());
    known.ok_or_else(|| raise(value.py(), &ttl_error(shown(value))))
}

/// A value in an error: as Python writes it, where that is short.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    if let Ok(text) = value.cast::<PyString>() {
        return rules::shown(&text.to_string_lossy());
    }
    let is_scalar = value.is_none() || number(value).is_some() || value.is_instance_of::<PyBool>();
    if is_scalar || value.is_instance_of::<PyInt>() {
        return value.to_string().chars().take(SHOWN_MAX_CHARS).collect();
    }
    let kind = value.get_type().name().map_or_else(|_| "?".to_string(), |name| name.to_string());
    format!("a value of type {kind}")
}

fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(refused(value, format!("{name} must be text, got {}", shown(value))));
    };
    match text.extract() {
        Ok(text) => Ok(text),
        Err(_) => Err(refused(value, format!("{name} holds a lone surrogate, which is not UTF-8"))),
    }
}

fn flag(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value
        .extract()
        .map_err(|_| refused(value, format!("{name} must be True or False, got {}", shown(value))))
}

fn env(value: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let Ok(items) = value.call_method0("items") else {
        let got = shown(value);
        return Err(refused(value, format!("env must be a mapping of names to text, got {got}")));
    };
    let mut env = Vec::new();
    for item in items.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
        let name = text("a name in env", &name)?;
        let value = text(&format!("env[{name:?}]"), &value)?;
        env.push((name, value));
    }
    Ok(env)
}

fn files(list: &str, field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<InputFile>> {
    let mut files = Vec::new();
    for (index, file) in value.try_iter()?.enumerate() {
        let (name, content): (Bound<'_, PyAny>, Vec<u8>) = file?.extract()?;
        let filename = match name.is_none() {
            true => None,
            false => Some(text(&format!("{list}[{index}].{field}"), &name)?),
        };
        files.push(InputFile { filename, content });
    }
    Ok(files)
}

fn texts(list: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    // A string is a sequence of strings, too, but never the intended value.
    if value.is_instance_of::<PyString>() || value.try_iter().is_err() {
        let got = shown(value);
        return Err(refused(value, format!("{list} must be an iterable of str, got {got}")));
    }
    let mut texts = Vec::new();
    for (index, arg) in value.try_iter()?.enumerate() {
        texts.push(text(&format!("{list}[{index}]"), &arg?)?);
    }
    Ok(texts)
}

fn limits(request: &mut Request, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(items) = value.call_method0("items") else {
        let got = shown(value);
        return Err(refused(
            value,
            format!("limits must be a mapping of names to numbers, got {got}"),
        ));
    };
    for item in items.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
        let name = text("a name in limits", &name)?;
        let number = value.extract::<u64>().ok().filter(|_| !value.is_instance_of::<PyBool>());
        if !number.is_some_and(|number| request.limits.set(&name, number)) {
            return Err(raise(value.py(), &limit_error(&name, shown(&value))));
        }
    }
    Ok(())
}
