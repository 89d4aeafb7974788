// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of a client, each a keyword. Types are checked here, because Python does not check them. A wrong value is
//! shown in the error only where it cannot be a secret.

use crate::error::raise;
use crate::request::{number, shown};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};
use std::path::PathBuf;
use std::time::Duration;
use unsandbox::{ClientBuilder, Error, ErrorCode, IsolationPolicy, Timeouts};

/// The settings so far; timeouts and pairs of keys are passed on together at the end.
#[derive(Default)]
struct Chosen {
    builder: ClientBuilder,
    timeouts: Timeouts,
    public_key: Option<String>,
    secret_key: Option<String>,
}

/// A builder with all settings; None leaves one to the environment or its default.
pub fn configured(settings: &Bound<'_, PyDict>) -> PyResult<ClientBuilder> {
    let mut chosen = Chosen::default();
    for (name, value) in settings.iter() {
        if !value.is_none() {
            let given = Given { name: &name.extract::<String>()?, value: &value };
            if !time_limit(&mut chosen.timeouts, &given)? {
                chosen = set(chosen, &given)?;
            }
        }
    }
    let builder = chosen.builder.timeouts(chosen.timeouts);
    let builder = builder.user_agent(concat!("unsandbox-python/", env!("CARGO_PKG_VERSION")));
    match (chosen.public_key, chosen.secret_key) {
        (Some(public), Some(secret)) => Ok(builder.key_pair(public, secret)),
        (None, None) => Ok(builder),
        _ => {
            let message =
                "public_key and secret_key belong together, but only one of them is given";
            Err(raise(settings.py(), &Error::new(ErrorCode::Config, message)))
        }
    }
}

/// Sets a time limit; returns whether the setting is one.
fn time_limit(timeouts: &mut Timeouts, given: &Given<'_, '_>) -> PyResult<bool> {
    match given.name {
        "timeout" => timeouts.call = Some(given.seconds()?),
        "resolve_timeout" => timeouts.resolve = given.seconds()?,
        "connect_timeout" => timeouts.connect = given.seconds()?,
        "send_timeout" => timeouts.send = Some(given.seconds()?),
        "first_byte_timeout" => timeouts.first_byte = Some(given.seconds()?),
        "read_timeout" => timeouts.read = Some(given.seconds()?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn set(mut chosen: Chosen, given: &Given<'_, '_>) -> PyResult<Chosen> {
    let builder = chosen.builder;
    chosen.builder = match given.name {
        "base_url" => builder.base_url(given.text()?),
        "api_key" => builder.api_key(given.text()?),
        "public_key" => {
            chosen.public_key = Some(given.text()?);
            builder
        }
        "secret_key" => {
            chosen.secret_key = Some(given.text()?);
            builder
        }
        "account" => builder.account(given.whole()?),
        "accounts_file" => builder.accounts_file(given.path()?),
        "ca_file" => builder.ca_file(given.path()?),
        "allow_plain_http_key" => builder.allow_plain_http_key(given.flag()?),
        "proxy" => match given.text()? {
            none if none.is_empty() => builder.no_proxy(),
            url => builder.proxy(url),
        },
        "job_threshold" => builder.job_threshold(given.seconds_from(0.0)?),
        "cancel_jobs" => builder.cancel_jobs(given.flag()?),
        "egress_allow" => given.texts()?.into_iter().fold(builder, ClientBuilder::egress_allow),
        "retries" => builder.retries(given.whole()?),
        "reply_max_bytes" => builder.reply_max_bytes(given.whole()?),
        "isolation" => {
            let policy = IsolationPolicy::require(&given.text()?);
            builder.isolation(policy.map_err(|error| raise(given.value.py(), &error))?)
        }
        "concurrency" => builder.concurrency(given.count()?),
        "queue_max" => builder.queue_max(given.whole()?),
        "interpreter" => builder.default_runtime("python", given.path()?),
        other => {
            let message = format!("a client has no setting {other:?}");
            return Err(pyo3::exceptions::PyTypeError::new_err(message));
        }
    };
    Ok(chosen)
}

/// A setting by its name, for the words in which its value is refused.
pub struct Given<'a, 'py> {
    pub name: &'a str,
    pub value: &'a Bound<'py, PyAny>,
}

impl<'a, 'py> Given<'a, 'py> {
    /// A time limit.
    pub fn seconds(&self) -> PyResult<Duration> {
        self.seconds_from(f64::MIN_POSITIVE)
    }

    fn seconds_from(&self, min: f64) -> PyResult<Duration> {
        let given = number(self.value);
        let seconds = given.filter(|seconds| *seconds >= min);
        let wanted = match (given, min) {
            (Some(f64::INFINITY), _) => "a finite number of seconds",
            (_, 0.0) => "a number of seconds of at least 0",
            _ => "a number of seconds above 0",
        };
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| self.refused(wanted, &shown(self.value)))
    }

    pub fn text(&self) -> PyResult<String> {
        match self.value.extract() {
            Ok(text) => Ok(text),
            Err(_) => Err(self.refused("text", &self.kind())),
        }
    }

    fn texts(&self) -> PyResult<Vec<String>> {
        // A string is a sequence of strings, too, but never the intended value.
        let items = match self.value.is_instance_of::<PyString>() {
            true => None,
            false => self.value.try_iter().ok(),
        };
        let wanted = "an iterable of str";
        let items = items.ok_or_else(|| self.refused(wanted, &shown(self.value)))?;
        let text = |item: PyResult<Bound<'py, PyAny>>| {
            let item = item?;
            item.extract::<String>().map_err(|_| {
                let got = match item.is_instance_of::<PyString>() {
                    true => "a lone surrogate, which is not UTF-8".to_string(),
                    false => format!("an item of type {}", kind_of(&item)),
                };
                self.refused(wanted, &got)
            })
        };
        items.map(text).collect()
    }

    fn path(&self) -> PyResult<PathBuf> {
        self.value.extract().map_err(|_| self.refused("a path", &self.kind()))
    }

    fn flag(&self) -> PyResult<bool> {
        self.value.extract().map_err(|_| self.refused("True or False", &shown(self.value)))
    }

    fn whole<T: TryFrom<u64>>(&self) -> PyResult<T> {
        self.whole_number()
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.refused("a whole number of at least 0", &shown(self.value)))
    }

    /// How many of something; for a default the setting is left out.
    pub fn count(&self) -> PyResult<usize> {
        self.whole_number()
            .filter(|number| *number > 0)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| {
                let wanted = "a whole number of at least 1, or None for the default";
                self.refused(wanted, &shown(self.value))
            })
    }

    fn whole_number(&self) -> Option<u64> {
        match self.value.is_instance_of::<PyBool>() {
            true => None,
            false => self.value.extract::<u64>().ok(),
        }
    }

    fn kind(&self) -> String {
        kind_of(self.value)
    }

    fn refused(&self, wanted: &str, got: &str) -> PyErr {
        let message = format!("{} must be {wanted}, got {got}", self.name);
        raise(self.value.py(), &Error::argument(message))
    }
}

fn kind_of(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "?".to_string(), |name| name.to_string())
}
