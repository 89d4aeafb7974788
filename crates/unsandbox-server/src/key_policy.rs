// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each key may do: its quota, its rate, and bounds for its requests. An operator writes it as a TOML file, with a
//! table for each key and one for all others.

use crate::caps::Caps;
use std::collections::HashMap;
use toml::{Table, Value};
use unsandbox_protocol::language::{Language, languages};
use unsandbox_protocol::limits::{LIMIT_TABLE, TTL_MAX_SECONDS};
use unsandbox_protocol::quota::Quota;
use unsandbox_protocol::rules;
use unsandbox_protocol::{Error, ErrorCode, Limits, NetworkMode, ValidRequest};

/// More than any machine runs or keeps, so that a typing error is refused.
const PLACES_MAX: i64 = 1_000_000;
/// One owner may have this many turns for one of another.
const WEIGHT_MAX: i64 = 1_000;
/// Requests in a minute.
const RATE_MAX: i64 = 1_000_000;

/// What one key may do.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyPolicy {
    pub quota: Quota,
    /// `None` for any number of requests.
    pub rate: Option<Rate>,
    /// What `burst` says; without it the burst is the rate of a minute.
    burst: Option<u32>,
    /// Upper bounds for its requests, beside those of the server.
    pub caps: Caps,
    /// The network that its programs may have at most; `None` for any.
    pub network_mode: Option<NetworkMode>,
    /// The languages that it may use; `None` for all.
    pub languages: Option<Vec<&'static str>>,
}

/// How many requests a key may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub per_minute: u32,
    /// Requests that may come at once, after a time without any.
    pub burst: u32,
}

/// The policies of all keys.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KeyPolicies {
    /// For keys without a policy of their own.
    pub default: KeyPolicy,
    /// By a name of the keys file, a public key, or `sha256:` and the digest of a bearer key.
    pub named: HashMap<String, KeyPolicy>,
}

impl KeyPolicies {
    /// Reads a file with a table `[default]` and tables `[key.NAME]`; what such a table does not have is that of the
    /// default.
    ///
    /// # Errors
    /// CONFIG, with the table and the entry, for a file that is not TOML, an entry that is not known, or a value outside
    /// its range.
    pub fn from_toml(text: &str) -> Result<KeyPolicies, Error> {
        if text.trim().is_empty() {
            return Err(Error::config(
                "the key limits file is empty, as one that is being written may be; without limits, write [default]",
            ));
        }
        let mut file: Table = text.parse().map_err(|error: toml::de::Error| {
            // With the line and a pointer to the place; the file has no secrets.
            Error::config(format!("the key limits file is not TOML: {}", error.to_string().trim()))
        })?;
        let default = match file.remove("default") {
            Some(table) => KeyPolicy::default().with("[default]", table)?,
            None => KeyPolicy::default(),
        };
        let mut named = HashMap::new();
        if let Some(keys) = file.remove("key") {
            let Value::Table(keys) = keys else {
                return Err(Error::config(
                    "key in the key limits file is not a table; write [key.NAME]",
                ));
            };
            for (name, table) in keys {
                let policy = default.clone().with(&format!("[key.{name}]"), table)?;
                named.insert(name, policy);
            }
        }
        match file.keys().next() {
            Some(other) => Err(Error::config(format!(
                "the key limits file has {other:?}; it takes [default] and [key.NAME] only"
            ))),
            None => Ok(KeyPolicies { default, named }),
        }
    }
}

impl KeyPolicy {
    fn with(mut self, place: &str, table: Value) -> Result<KeyPolicy, Error> {
        let Value::Table(table) = table else {
            return Err(Error::config(format!("{place} of the key limits file is not a table")));
        };
        for (name, value) in table {
            let entry = Entry { place, name: &name, value: &value };
            match name.as_str() {
                "concurrency" => self.quota.concurrency = Some(entry.count(1, PLACES_MAX)?),
                "reserved" => self.quota.reserved = entry.count(0, PLACES_MAX)?,
                "queue" => self.quota.queue = Some(entry.count(0, PLACES_MAX)?),
                "weight" => self.quota.weight = entry.number(1, WEIGHT_MAX)? as u32,
                "requests_per_minute" => {
                    let per_minute = entry.number(1, RATE_MAX)? as u32;
                    self.rate = Some(Rate { per_minute, burst: per_minute });
                }
                "burst" => self.burst = Some(entry.number(1, RATE_MAX)? as u32),
                "max_ttl" => self.caps.ttl_seconds = entry.number(1, TTL_MAX_SECONDS)?,
                "max_limits" => self.caps.limits = entry.limits(self.caps.limits)?,
                "network_mode" => self.network_mode = Some(entry.network_mode()?),
                "languages" => self.languages = Some(entry.languages()?),
                _ => return Err(entry.unknown()),
            }
        }
        match (&mut self.rate, self.burst) {
            (Some(rate), Some(burst)) => rate.burst = burst,
            (None, Some(_)) => {
                return Err(Error::config(format!(
                    "burst in {place} of the key limits file needs requests_per_minute in the same table or in [default]"
                )));
            }
            (_, None) => {}
        }
        let Quota { concurrency, reserved, .. } = self.quota;
        if let Some(most) = concurrency.filter(|most| *most < reserved) {
            return Err(Error::config(format!(
                "{place} of the key limits file has reserved = {reserved}, more than its concurrency of {most}"
            )));
        }
        Ok(self)
    }

    /// Lowers defaults of a request to the caps of the key and of the server, and refuses what the key may not ask for.
    ///
    /// # Errors
    /// ARGUMENT for a value over a cap; PERMISSION for a language or a network that the key may not use.
    pub(crate) fn apply(&self, request: &mut ValidRequest<'_>, server: &Caps) -> Result<(), Error> {
        let permission = |text: String| Err(Error::new(ErrorCode::Permission, text));
        if let (Some(allowed), Some(asked)) = (&self.languages, request.language())
            && !allowed.contains(&asked.name)
        {
            return permission(format!(
                "this key may not run {}; it may run {}",
                asked.name,
                allowed.join(", ")
            ));
        }
        if self.network_mode == Some(NetworkMode::Zerotrust)
            && request.network_mode() != NetworkMode::Zerotrust
        {
            return permission(format!(
                "this key may not use network_mode {:?}; it may use \"zerotrust\"",
                request.network_mode().as_str()
            ));
        }
        server.and(&self.caps).apply(request)
    }

    /// Whether the language has to be known before [`KeyPolicy::apply`].
    pub(crate) fn needs_language(&self) -> bool {
        self.languages.is_some()
    }
}

/// One entry of a table.
struct Entry<'a> {
    place: &'a str,
    name: &'a str,
    value: &'a Value,
}

const ENTRIES: &str = "concurrency, reserved, queue, weight, requests_per_minute, burst, max_ttl, max_limits, network_mode \
                       and languages";

impl Entry<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::config(format!("{} in {} of the key limits file {what}", self.name, self.place))
    }

    fn unknown(&self) -> Error {
        self.wrong(&format!("is not known; there are {ENTRIES}"))
    }

    fn number(&self, least: i64, most: i64) -> Result<i64, Error> {
        match self.value.as_integer() {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(self.wrong(&format!(
                "is {}; it takes a whole number from {least} to {most}",
                self.value
            ))),
        }
    }

    fn count(&self, least: i64, most: i64) -> Result<usize, Error> {
        Ok(usize::try_from(self.number(least, most)?).unwrap_or(usize::MAX))
    }

    fn network_mode(&self) -> Result<NetworkMode, Error> {
        let modes = [NetworkMode::Zerotrust, NetworkMode::Semitrusted];
        let word = self.value.as_str();
        modes.into_iter().find(|mode| Some(mode.as_str()) == word).ok_or_else(|| {
            self.wrong(&format!("is {}; it takes \"zerotrust\" or \"semitrusted\"", self.value))
        })
    }

    fn languages(&self) -> Result<Vec<&'static str>, Error> {
        let names = self.value.as_array().filter(|names| !names.is_empty());
        let names = names.ok_or_else(|| {
            self.wrong(&format!("is {}; it takes a list of languages, at least one", self.value))
        })?;
        let named = |name: &Value| {
            let is_named = |language: &&Language| {
                name.as_str()
                    .is_some_and(|name| language.name == name || language.aliases.contains(&name))
            };
            let language = languages().iter().find(is_named);
            language.map(|language| language.name).ok_or_else(|| {
                self.wrong(&format!(
                    "has {name}, which is not a language; `unsandbox languages` lists them"
                ))
            })
        };
        names.iter().map(named).collect()
    }

    fn limits(&self, mut limits: Limits) -> Result<Limits, Error> {
        let Value::Table(table) = self.value else {
            return Err(self.wrong("takes a table, as { memory_bytes = 268435456 }"));
        };
        for (name, value) in table {
            let Some(row) = LIMIT_TABLE.iter().find(|row| row.name == name) else {
                let names: Vec<&str> = LIMIT_TABLE.iter().map(|row| row.name).collect();
                return Err(self.wrong(&format!("has {name:?}; there are {}", names.join(", "))));
            };
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            let number = number.ok_or_else(|| {
                self.wrong(&format!("has {name} = {value}; it takes a whole number"))
            })?;
            limits.set(row.name, number);
        }
        rules::check_limits(&limits)
            .map_err(|error| self.wrong(&format!("has {}", error.message())))?;
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use unsandbox_protocol::Request;

    fn read(text: &str) -> Result<KeyPolicies, Error> {
        KeyPolicies::from_toml(text)
    }

    #[test]
    fn a_key_has_the_entries_of_its_table_and_for_the_rest_the_default() {
        let policies = read(
            "[default]\nconcurrency = 2\nrequests_per_minute = 60\nmax_ttl = 30\n\
             [key.alice]\nconcurrency = 8\nreserved = 1\nweight = 3\nqueue = 0\nburst = 5\n\
             languages = [\"py\", \"bash\"]\nnetwork_mode = \"zerotrust\"\n\
             max_limits = { memory_bytes = 67108864 }\n\
             [key.\"sha256:00\"]\nrequests_per_minute = 6\n",
        )
        .unwrap();
        let default = &policies.default;
        assert_eq!(default.quota, Quota { concurrency: Some(2), ..Quota::default() });
        assert_eq!(default.rate, Some(Rate { per_minute: 60, burst: 60 }));
        let alice = &policies.named["alice"];
        let quota = Quota { concurrency: Some(8), reserved: 1, queue: Some(0), weight: 3 };
        assert_eq!(alice.quota, quota);
        assert_eq!(alice.rate, Some(Rate { per_minute: 60, burst: 5 }));
        assert_eq!(alice.caps.ttl_seconds, 30);
        assert_eq!(alice.caps.limits.memory_bytes, Some(64 << 20));
        assert_eq!(alice.languages.as_deref(), Some(["python", "bash"].as_slice()));
        let other = &policies.named["sha256:00"];
        assert_eq!((other.quota, other.rate.unwrap().burst), (default.quota, 6));
        assert_eq!(read("[default]").unwrap(), KeyPolicies::default());
        let file =
            "[default]\nrequests_per_minute = 60\nburst = 5\n[key.a]\nrequests_per_minute = 600\n";
        let rate = Rate { per_minute: 600, burst: 5 };
        assert_eq!(read(file).unwrap().named["a"].rate, Some(rate), "the burst is the default's");
    }

    #[test]
    fn a_fault_is_told_with_its_place_its_value_and_what_is_taken() {
        for (text, expected) in [
            (
                "[default]\nconcurrency = 0",
                "concurrency in [default] of the key limits file is 0; it takes a whole number from 1 to",
            ),
            (
                "[key.a]\nconcurency = 1",
                "concurency in [key.a] of the key limits file is not known; there are",
            ),
            (
                "[default]\nburst = 3",
                "burst in [default] of the key limits file needs requests_per_minute",
            ),
            ("[default]\nlanguages = []", "takes a list of languages"),
            ("[default]\nlanguages = [\"pithon\"]", "has \"pithon\", which is not a language"),
            ("[default]\nnetwork_mode = \"open\"", "is \"open\"; it takes \"zerotrust\""),
            ("[default]\nmax_limits = { memory = 1 }", "has \"memory\"; there are"),
            ("[default]\nmax_limits = { memory_bytes = 1 }", "memory_bytes"),
            ("[default]\nmax_ttl = 901", "is 901; it takes a whole number from 1 to 900"),
            ("[default]\nweight = \"3\"", "is \"3\"; it takes a whole number from 1 to 1000"),
            ("[default]\nconcurrency = 1\nreserved = 2", "more than its concurrency of 1"),
            ("[defaults]", "has \"defaults\"; it takes [default] and [key.NAME] only"),
            ("key = 1", "is not a table"),
            ("x = [", "is not TOML"),
            ("\n", "is empty"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.message().contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_request_is_bound_by_the_key_and_by_the_server() {
        let policy = read(
            "[default]\nlanguages = [\"bash\"]\nnetwork_mode = \"zerotrust\"\nmax_ttl = 50\n\
             max_limits = { memory_bytes = 67108864 }",
        )
        .unwrap()
        .default;
        let server = Caps { ttl_seconds: 40, ..Caps::default() };
        let applied = |request: Request| {
            let mut request = ValidRequest::new(Cow::Owned(request)).unwrap();
            policy.apply(&mut request, &server).map(|()| (request.ttl, request.limits.memory_bytes))
        };
        assert_eq!(applied(Request::new("sh", "")).unwrap(), (Some(40), Some(64 << 20)));
        let code = |request: Request| applied(request).unwrap_err().code();
        assert_eq!(code(Request::new("python", "")), ErrorCode::Permission);
        assert_eq!(
            code(Request::new("bash", "").network_mode("semitrusted")),
            ErrorCode::Permission
        );
        assert_eq!(code(Request::new("bash", "").ttl(41)), ErrorCode::Argument);
    }
}
