// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reply to `GET /usage`.

use super::error::decode_error;
use super::json::Writer;
use super::tolerant::{Fields, Reply, malformed};
use crate::error::Error;
use crate::limits::{LIMIT_TABLE, Limits};
use crate::usage::{KeyAllowance, KeyUsage};

/// The reply to `GET /usage`.
pub fn encode_usage(usage: &KeyUsage) -> String {
    Writer::document(|w| {
        w.text_or_null("key", usage.key.as_deref());
        w.number("running", usage.running);
        w.number("waiting", usage.waiting);
        w.number("kept_jobs", usage.kept_jobs);
        w.number("kept_bytes", usage.kept_bytes);
        w.number_or_null("requests_remaining", usage.requests_remaining);
        w.number("since", usage.since);
        w.object("runs", |w| {
            usage.runs.iter().for_each(|(status, count)| w.number(status, count));
        });
        w.number("cpu_time_ms", usage.cpu_time_ms);
        w.number("wall_time_ms", usage.wall_time_ms);
        w.object("limits", |w| write_allowance(w, &usage.limits));
    })
}

fn write_allowance(w: &mut Writer, allowed: &KeyAllowance) {
    w.number("concurrency", allowed.concurrency);
    w.number("reserved", allowed.reserved);
    w.number("queue", allowed.queue);
    w.number("weight", allowed.weight);
    w.number_or_null("requests_per_minute", allowed.requests_per_minute);
    w.number_or_null("burst", allowed.burst);
    w.number("max_ttl", allowed.max_ttl);
    w.object("max_limits", |w| {
        for row in LIMIT_TABLE {
            w.number_if(row.name, allowed.max_limits.get(row.name));
        }
    });
    w.text("network_mode", &allowed.network_mode);
    match &allowed.languages {
        Some(names) => w.texts("languages", names.iter()),
        None => w.null("languages"),
    }
}

/// Reads the reply to `GET /usage`. A count that is missing is 0, a limit that is missing is none.
///
/// # Errors
///
/// PROTOCOL if it is not an object with `running` and the object `limits`; for another status than 2xx, the error that
/// the reply tells.
pub fn decode_usage(body: &[u8], http_status: u16) -> Result<KeyUsage, Error> {
    if !(200..300).contains(&http_status) {
        return Err(decode_error(http_status, None, body));
    }
    let (mut fields, raw) = Reply::object(body.into())?;
    let (Some(running), Some(limits)) = (count(&mut fields, "running"), fields.object("limits"))
    else {
        return Err(malformed("what a key uses and may use", body));
    };
    Ok(KeyUsage {
        key: fields.word(&["key"]),
        running,
        waiting: count(&mut fields, "waiting").unwrap_or(0),
        kept_jobs: count(&mut fields, "kept_jobs").unwrap_or(0),
        kept_bytes: count(&mut fields, "kept_bytes").unwrap_or(0),
        requests_remaining: count(&mut fields, "requests_remaining"),
        since: fields.time(&["since"]).unwrap_or(0),
        runs: fields
            .object("runs")
            .map(Fields::into_counts)
            .unwrap_or_default()
            .into_iter()
            .collect(),
        cpu_time_ms: count(&mut fields, "cpu_time_ms").unwrap_or(0),
        wall_time_ms: count(&mut fields, "wall_time_ms").unwrap_or(0),
        limits: read_allowance(limits),
        raw: Some(raw),
    })
}

fn read_allowance(mut fields: Fields) -> KeyAllowance {
    let mut max_limits = Limits::default();
    for (name, most) in fields.object("max_limits").map(Fields::into_counts).unwrap_or_default() {
        max_limits.set(&name, most);
    }
    KeyAllowance {
        concurrency: count(&mut fields, "concurrency").unwrap_or(0),
        reserved: count(&mut fields, "reserved").unwrap_or(0),
        queue: count(&mut fields, "queue").unwrap_or(0),
        weight: count(&mut fields, "weight").unwrap_or(0),
        requests_per_minute: count(&mut fields, "requests_per_minute"),
        burst: count(&mut fields, "burst"),
        max_ttl: fields.integer(&["max_ttl"]).unwrap_or(0),
        max_limits,
        network_mode: fields.word(&["network_mode"]).unwrap_or_default(),
        languages: fields.has("languages").then(|| fields.texts("languages")),
    }
}

fn count(fields: &mut Fields, key: &str) -> Option<u64> {
    fields.integer(&[key])?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::result::RawJson;

    fn usage() -> KeyUsage {
        let mut usage = KeyUsage { key: Some("1a2b3c4d".into()), since: 7, ..KeyUsage::default() };
        usage.limits.network_mode = "zerotrust".into();
        usage.limits.max_limits.memory_bytes = Some(1 << 26);
        usage.limits.languages = Some(vec!["bash".into()]);
        usage.runs.insert("completed".into(), 2);
        usage
    }

    #[test]
    fn a_key_sees_its_limits_and_what_it_has_of_them() {
        assert_eq!(
            encode_usage(&usage()),
            "{\"key\":\"1a2b3c4d\",\"running\":0,\"waiting\":0,\"kept_jobs\":0,\"kept_bytes\":0,\
             \"requests_remaining\":null,\"since\":7,\"runs\":{\"completed\":2},\"cpu_time_ms\":0,\
             \"wall_time_ms\":0,\"limits\":{\"concurrency\":0,\"reserved\":0,\"queue\":0,\"weight\":0,\
             \"requests_per_minute\":null,\"burst\":null,\"max_ttl\":0,\
             \"max_limits\":{\"memory_bytes\":67108864},\"network_mode\":\"zerotrust\",\
             \"languages\":[\"bash\"]}}"
        );
    }

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        let mut full = usage();
        (full.running, full.waiting, full.kept_jobs, full.kept_bytes) = (1, 2, 3, 4);
        (full.requests_remaining, full.cpu_time_ms, full.wall_time_ms) = (Some(5), 6, 8);
        let limits = &mut full.limits;
        (limits.concurrency, limits.reserved, limits.queue, limits.weight) = (9, 10, 11, 12);
        (limits.requests_per_minute, limits.burst, limits.max_ttl) = (Some(13), Some(14), 15);
        for usage in [full, usage(), KeyUsage::default()] {
            let body = encode_usage(&usage);
            let read = decode_usage(body.as_bytes(), 200).unwrap();
            assert_eq!(read, KeyUsage { raw: Some(RawJson::from(body)), ..usage });
        }
    }

    #[test]
    fn a_reply_of_another_kind_is_an_error() {
        for body in
            ["{}", "[]", "{\"running\":1}", "{\"limits\":{}}", "{\"running\":-1,\"limits\":{}}"]
        {
            let error = decode_usage(body.as_bytes(), 200).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Protocol, "{body}");
        }
        let body = encode_usage(&usage());
        assert_eq!(decode_usage(body.as_bytes(), 401).unwrap_err().code(), ErrorCode::Auth);
    }
}
