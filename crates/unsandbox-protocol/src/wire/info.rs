// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an endpoint says about itself: its languages, a key, its health.

use super::error::{decode_error, write_error};
use super::json::Writer;
use super::tolerant::{Content, Fields, Reply, malformed, text};
use crate::backend::{Health, KeyInfo, LanguageInfo};
use crate::error::Error;
use serde_json::Value;

/// The reply to `GET /languages`. `languages` are those that run here; `details` tells of the others
/// what to install.
pub fn encode_languages(languages: &[LanguageInfo]) -> String {
    let usable = || languages.iter().filter(|language| language.available != Some(false));
    Writer::document(|w| {
        w.texts("languages", usable().map(|language| &language.name));
        w.object("aliases", |w| {
            for language in usable() {
                for alias in &language.aliases {
                    w.text(alias, &language.name);
                }
            }
        });
        w.number("count", usable().count());
        w.objects("details", languages, |w, language| {
            w.text("name", &language.name);
            w.texts("aliases", &language.aliases);
            if let Some(available) = language.available {
                w.boolean("available", available);
            }
            w.text_if("version", language.version.as_deref());
            w.text_if("install", language.install.as_deref());
            if language.untested {
                w.boolean("untested", true);
            }
        });
    })
}

/// Reads the reply to `GET /languages`: ours, names with aliases, or an array of names or objects.
pub fn decode_languages(body: &[u8], http_status: u16) -> Result<Vec<LanguageInfo>, Error> {
    if !(200..300).contains(&http_status) {
        return Err(decode_error(http_status, None, body));
    }
    let mut fields = match Reply::read(body.into())?.content {
        Content::Other(Value::Array(items)) => {
            return Ok(items.into_iter().filter_map(language).collect());
        }
        Content::Object(fields) => fields,
        _ => return Err(malformed("a list of languages", body)),
    };
    let items = fields
        .array(&["details", "languages"])
        .ok_or_else(|| malformed("a list of languages", body))?;
    let mut languages: Vec<LanguageInfo> = items.into_iter().filter_map(language).collect();
    for (alias, name) in fields.object("aliases").map(Fields::into_texts).unwrap_or_default() {
        let known = languages.iter_mut().find(|language| language.name == name);
        if let Some(language) = known.filter(|language| !language.aliases.contains(&alias)) {
            language.aliases.push(alias);
        }
    }
    Ok(languages)
}

fn language(value: Value) -> Option<LanguageInfo> {
    let mut info = LanguageInfo {
        name: String::new(),
        aliases: Vec::new(),
        available: None,
        version: None,
        path: None,
        install: None,
        untested: false,
    };
    match value {
        Value::Object(map) => {
            let mut fields = Fields::new(map);
            info.name = fields.word(&["id", "name", "language"])?;
            info.aliases = fields.texts("aliases");
            info.available = fields.boolean("available");
            info.version = fields.word(&["version"]);
            info.path = fields.word(&["path"]);
            info.install = fields.word(&["install"]);
            info.untested = fields.boolean("untested").unwrap_or(false);
        }
        value => info.name = text(value).filter(|name| !name.is_empty())?,
    }
    Some(info)
}

/// The reply to `POST /keys/validate`. A valid one has no `error`: some clients take its mere presence
/// for a refusal.
pub fn encode_key_info(info: &KeyInfo) -> String {
    encode_server_key_info(info, None)
}

/// What one key may ask of a server, as numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyLimits {
    /// Requests in a minute.
    pub rate_per_minute: u64,
    /// Executions that are accepted at once: those that run, and those that wait for their turn.
    pub burst: u64,
    /// Executions that run at once.
    pub concurrency: u64,
}

/// As [`encode_key_info`], with what the service's own clients show of a valid key.
pub fn encode_server_key_info(info: &KeyInfo, limits: Option<KeyLimits>) -> String {
    Writer::document(|w| {
        w.boolean("valid", info.valid);
        if let Some(tier) = &info.tier {
            // Existing clients read a number; our own engine says `local`.
            match tier.parse::<i64>() {
                Ok(number) => w.number("tier", number),
                Err(_) => w.text("tier", tier),
            }
        }
        if info.valid {
            w.text("status", "active");
            if let Some(limits) = limits {
                w.number("rate_per_minute", limits.rate_per_minute);
                w.number("burst", limits.burst);
                w.number("concurrency", limits.concurrency);
            }
        } else {
            let reason = info.reason.as_deref().unwrap_or("invalid_key");
            w.text("reason", reason);
            w.text("error", reason);
        }
    })
}

/// Reads the reply to `POST /keys/validate`. A refusal of the key itself is an answer, not an error.
pub fn decode_key_info(body: &[u8], http_status: u16) -> Result<KeyInfo, Error> {
    let refused = matches!(http_status, 401 | 403);
    if !refused && !(200..300).contains(&http_status) {
        return Err(decode_error(http_status, None, body));
    }
    let (mut fields, raw) = match Reply::object(body.into()) {
        Ok(reply) => reply,
        Err(_) if refused => return Err(decode_error(http_status, None, body)),
        Err(error) => return Err(error),
    };
    let reason = fields.word(&["reason"]).or_else(|| fields.word(&["error"]));
    let stated = fields.boolean("valid").or_else(|| fields.boolean("success"));
    if refused && stated != Some(false) {
        return Err(decode_error(http_status, None, body));
    }
    // A wrong clock is not a statement about the key.
    if refused && reason.as_deref() == Some("invalid_timestamp") {
        return Err(decode_error(http_status, None, body));
    }
    Ok(KeyInfo {
        valid: stated.unwrap_or(reason.is_none()),
        tier: fields.word(&["tier", "plan"]),
        reason: reason.filter(|_| stated != Some(true)),
        raw: Some(raw),
    })
}

/// The reply to a list of things that this server does not have, as `{"services":[],"count":0}`.
pub fn encode_empty_list(name: &str) -> String {
    Writer::document(|w| {
        w.texts(name, [""; 0]);
        w.number("count", 0);
    })
}

/// The reply to `GET /healthz`.
pub fn encode_alive() -> String {
    Writer::document(|w| w.text("status", "ok"))
}

/// One thing that has to be in order before a server runs a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadyCheck {
    /// `store`, `jailer`, `queue`, `level` or `accepting`.
    pub name: &'static str,
    /// What is wrong, if something is.
    pub trouble: Option<String>,
}

/// The reply to `GET /readyz`; `checks` are left out for a client without a key.
pub fn encode_ready(is_ready: bool, checks: Option<&[ReadyCheck]>) -> String {
    Writer::document(|w| {
        w.text("status", if is_ready { "ready" } else { "not_ready" });
        if let Some(checks) = checks {
            w.objects("checks", checks, |w, check| {
                w.text("name", check.name);
                w.boolean("ok", check.trouble.is_none());
                w.text_if("detail", check.trouble.as_deref());
            });
        }
    })
}

/// What `health` gives, as JSON.
pub fn encode_health(health: &Health) -> String {
    Writer::document(|w| w.text("status", &health.status))
}

/// The reply to `GET /health`: a status, the names of the stores of idempotency keys (of `jobs` where that is
/// another store), and, where the server takes no work, the envelope of an error that says why.
pub fn encode_server_health(
    status: &str,
    store: &str,
    jobs: Option<&str>,
    trouble: Option<&Error>,
) -> String {
    Writer::document(|w| {
        w.text("status", status);
        if let Some(trouble) = trouble {
            write_error(w, trouble);
        }
        w.text("idempotency", store);
        w.text_if("idempotency_jobs", jobs);
    })
}

/// Reads the reply to `GET /health`: 200 is healthy, whatever the body says, and 503 with a status in
/// words is not. Any other reply tells nothing about the server, and is an error.
pub fn decode_health(body: &[u8], http_status: u16) -> Result<Health, Error> {
    let (status, raw) = match Reply::object(body.into()) {
        Ok((mut fields, raw)) => (fields.word(&["status"]), Some(raw)),
        Err(_) => (None, None),
    };
    // A status that only repeats the number is a gateway's, and not a statement of the server.
    let in_words = status.as_deref().is_some_and(|status| status.parse::<u16>().is_err());
    let healthy = match http_status {
        200..300 => true,
        503 if in_words => false,
        _ => return Err(decode_error(http_status, None, body)),
    };
    Ok(Health { healthy, status: status.unwrap_or_else(|| "ok".to_string()), raw })
}
