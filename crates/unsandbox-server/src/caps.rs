// SPDX-License-Identifier: MIT OR Apache-2.0
//! Upper bounds for what a request may ask for: those of the server, and those of a key.

use unsandbox_protocol::limits::{LIMIT_TABLE, TTL_MAX_SECONDS};
use unsandbox_protocol::{Error, ErrorCode, Limits, ValidRequest, rules};

/// Upper bounds of a server for the limits of a request. `None` in `limits` is the bound of the table of limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    pub ttl_seconds: i64,
    pub limits: Limits,
}

impl Default for Caps {
    fn default() -> Self {
        Caps { ttl_seconds: TTL_MAX_SECONDS, limits: Limits::default() }
    }
}

impl Caps {
    /// CONFIG, if a cap is outside the range of its limit.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let ttl = rules::ttl(self.ttl_seconds).map(|_| ());
        ttl.and(rules::check_limits(&self.limits)).map_err(|error| {
            Error::new(
                ErrorCode::Config,
                format!("invalid cap of this server: {}", error.message()),
            )
        })
    }

    /// The lower of both caps, of each limit.
    pub(crate) fn and(&self, other: &Caps) -> Caps {
        let mut both = Caps { ttl_seconds: self.ttl_seconds.min(other.ttl_seconds), ..*self };
        for row in LIMIT_TABLE {
            if let Some(cap) = other.limits.get(row.name)
                && self.limits.get(row.name).is_none_or(|own| cap < own)
            {
                both.limits.set(row.name, cap);
            }
        }
        both
    }

    /// Lowers defaults of a request that are above the caps; ARGUMENT, if the request asks for more than a cap.
    pub(crate) fn apply(&self, request: &mut ValidRequest<'_>) -> Result<(), Error> {
        match request.ttl {
            None => request.set_ttl(request.ttl_seconds().min(self.ttl_seconds))?,
            Some(asked) if asked > self.ttl_seconds => {
                let cap = self.ttl_seconds;
                return Err(Error::argument(format!(
                    "ttl is {asked}; this server allows at most {cap} seconds"
                )));
            }
            Some(_) => {}
        }
        let mut limits = request.limits;
        for row in LIMIT_TABLE {
            let Some(cap) = self.limits.get(row.name) else { continue };
            let default = match request.language() {
                Some(language) => language.default_limit(row),
                None => row.default,
            };
            match limits.get(row.name) {
                Some(asked) if asked > cap => {
                    return Err(Error::argument(format!(
                        "limits.{} is {asked}; this server allows at most {cap}",
                        row.name
                    )));
                }
                None if default.is_none_or(|default| default > cap) => {
                    limits.set(row.name, cap);
                }
                _ => {}
            }
        }
        request.set_limits(limits)?;
        if request.runtime.is_some() {
            return Err(Error::argument("runtime is not supported by servers; remove it"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use unsandbox_protocol::Request;
    use unsandbox_protocol::language::languages;

    /// The request with the caps applied, or the refusal.
    fn capped(caps: Caps, request: Request) -> Result<Request, Error> {
        let mut request = ValidRequest::new(Cow::Owned(request)).unwrap();
        caps.apply(&mut request).map(|()| request.into_request().into_owned())
    }

    #[test]
    fn a_request_over_a_cap_is_refused_with_the_cap() {
        let limits = Limits { memory_bytes: Some(1 << 28), ..Limits::default() };
        let caps = Caps { ttl_seconds: 30, limits };
        let refused = |request: Request| capped(caps, request).unwrap_err();
        capped(caps, Request::new("bash", "").ttl(30).limits(limits)).unwrap();
        let error = refused(Request::new("bash", "").ttl(31));
        assert!(error.message().contains("31") && error.message().contains("30 s"), "{error}");
        let more = Limits { memory_bytes: Some((1 << 28) + 1), ..Limits::default() };
        let error = refused(Request::new("bash", "").ttl(1).limits(more));
        assert!(error.message().contains("limits.memory_bytes"), "{error}");
        let error = refused(Request::new("bash", "").ttl(1).runtime("/bin/sh"));
        assert!(error.message().contains("runtime"), "{error}");
    }

    #[test]
    fn defaults_of_a_request_are_lowered_to_the_caps() {
        let (memory_bytes, cpu_time_ms) = (Some(64 << 20), Some(200));
        let limits =
            Limits { memory_bytes, cpu_time_ms, processes: Some(4096), ..Limits::default() };
        let given = |caps: Caps, name: &str| {
            let request = capped(caps, Request::new(name, "")).unwrap();
            (request.ttl, request.limits)
        };
        let expected = Limits { memory_bytes, cpu_time_ms, ..Limits::default() };
        assert_eq!(given(Caps { ttl_seconds: 30, limits }, "bash"), (Some(30), expected));
        assert_eq!(given(Caps::default(), "bash"), (Some(60), Limits::default()));
        // More than the default, and less than the default of a language that needs more.
        let greedy = languages().iter().max_by_key(|language| language.memory_mb).unwrap();
        assert!(greedy.memory_mb > 600, "{}", greedy.name);
        let some = Limits { memory_bytes: Some(600 << 20), ..Limits::default() };
        assert_eq!(given(Caps { limits: some, ..Caps::default() }, "bash").1, Limits::default());
        assert_eq!(given(Caps { limits: some, ..Caps::default() }, greedy.name).1, some);
    }

    #[test]
    fn a_cap_outside_the_range_of_its_limit_is_refused() {
        let caps = |memory_bytes| Caps {
            limits: Limits { memory_bytes: Some(memory_bytes), ..Limits::default() },
            ..Caps::default()
        };
        caps(16 << 20).validate().unwrap();
        let error = caps(1).validate().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.message().contains("memory_bytes") && error.message().contains("16777216"));
        Caps { ttl_seconds: 0, ..Caps::default() }.validate().unwrap_err();
    }
}
