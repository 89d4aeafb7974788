// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes a request from Python values. Types are checked here, because Python does not check them. The limits and all
//! error messages come from the protocol.

use crate::error::raise;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};
use serde_json::{Number, Value};
use unsandbox::{Error, InputFile, Request};
use unsandbox_protocol::rules::{limit_error, shown_json};
use unsandbox_protocol::wire::{OPTION_TABLE, OptionKind};

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
        "input_files" => request.input_files = input_files(value)?,
        "stdin" => request.stdin = Some(value.extract()?),
        "args" => request.args = args(value)?,
        "limits" => limits(request, value)?,
        // Only the names of the API: the spellings of other clients are accepted only in JSON.
        "network_mode" => request.network_mode = text(name, value)?,
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
        _ => json(value),
    };
    row.set(request, value_as_json).map_err(|error| raise(value.py(), &error))
}

fn refused(value: &Bound<'_, PyAny>, message: String) -> PyErr {
    raise(value.py(), &Error::argument(message))
}

/// A Python value as JSON, for the protocol's error messages.
fn json(value: &Bound<'_, PyAny>) -> Value {
    if value.is_none() {
        Value::Null
    } else if let Ok(flag) = value.cast::<PyBool>() {
        Value::Bool(flag.is_true())
    } else if value.is_instance_of::<PyInt>() {
        // A number that does not fit is shown as a number, and refused.
        value.extract::<i64>().map_or_else(|_| float(value), Value::from)
    } else if value.is_instance_of::<PyFloat>() {
        float(value)
    } else if let Ok(text) = value.cast::<PyString>() {
        Value::from(text.to_string_lossy().into_owned())
    } else if value.is_instance_of::<PyDict>() {
        Value::Object(Default::default())
    } else if value.is_instance_of::<PyList>() {
        Value::Array(Vec::new())
    } else {
        Value::from(value.to_string())
    }
}

/// A value in the words of the protocol.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    shown_json(&json(value))
}

fn float(value: &Bound<'_, PyAny>) -> Value {
    let number = value.extract().ok().and_then(Number::from_f64);
    // One that JSON does not have is shown as Python writes it.
    number.map_or_else(|| Value::from(value.to_string()), Value::Number)
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
        .map_err(|_| refused(value, format!("{name} must be true or false, got {}", shown(value))))
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

fn input_files(value: &Bound<'_, PyAny>) -> PyResult<Vec<InputFile>> {
    let mut files = Vec::new();
    for (index, file) in value.try_iter()?.enumerate() {
        let (name, content): (Bound<'_, PyAny>, Vec<u8>) = file?.extract()?;
        let filename = match name.is_none() {
            true => None,
            false => Some(text(&format!("input_files[{index}].filename"), &name)?),
        };
        files.push(InputFile { filename, content });
    }
    Ok(files)
}

fn args(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    // A string is a sequence of strings, too, but never the intended value.
    if value.is_instance_of::<PyString>() || value.try_iter().is_err() {
        let got = shown(value);
        return Err(refused(value, format!("args must be an iterable of str, got {got}")));
    }
    let mut args = Vec::new();
    for (index, arg) in value.try_iter()?.enumerate() {
        args.push(text(&format!("args[{index}]"), &arg?)?);
    }
    Ok(args)
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
        let given = json(&value);
        let known = given.as_u64().is_some_and(|number| request.limits.set(&name, number));
        if !known {
            return Err(raise(value.py(), &limit_error(&name, shown_json(&given))));
        }
    }
    Ok(())
}
