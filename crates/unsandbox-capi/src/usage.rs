// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a key may have of an endpoint, what it has now, and what it has used.

use crate::boundary::{ffi, free};
use crate::text::{Text, give, give_empty, give_optional};
use std::ffi::c_char;
use unsandbox_protocol::limits::LIMIT_TABLE;
use unsandbox_protocol::usage::KeyUsage;

/// What a key may have of an endpoint, what it has now, and what it has used. Never changed: any thread may read it.
pub struct unsandbox_usage {
    numbers: KeyUsage,
    key: Option<Text>,
    runs: Vec<(Text, u64)>,
    max_limits: Vec<(Text, u64)>,
    network_mode: Text,
    languages: Vec<Text>,
    json: Option<Text>,
}

impl unsandbox_usage {
    pub fn boxed(usage: KeyUsage) -> Box<Self> {
        let limits = &usage.limits;
        let named = |(name, value): (&str, u64)| (Text::copy(name), value);
        let asked = LIMIT_TABLE.iter().map(|row| (row.name, limits.max_limits.get(row.name)));
        let max_limits = asked.filter_map(|(name, most)| Some(named((name, most?)))).collect();
        let runs = usage.runs.iter().map(|(status, count)| named((status, *count))).collect();
        let languages = limits.languages.iter().flatten().map(|name| Text::copy(name)).collect();
        Box::new(unsandbox_usage {
            key: Text::optional(usage.key.as_deref()),
            runs,
            max_limits,
            network_mode: Text::copy(&limits.network_mode),
            languages,
            json: Text::optional(usage.raw.as_deref()),
            numbers: usage,
        })
    }
}

fn read<'a>(usage: *const unsandbox_usage) -> Option<&'a unsandbox_usage> {
    // SAFETY: NULL, or an object that the library handed out and nobody has freed.
    unsafe { usage.as_ref() }
}

fn number(usage: *const unsandbox_usage, field: impl FnOnce(&KeyUsage) -> u64) -> u64 {
    read(usage).map_or(0, |it| field(&it.numbers))
}

fn has(usage: *const unsandbox_usage, field: impl FnOnce(&KeyUsage) -> bool) -> i32 {
    read(usage).map_or(0, |it| i32::from(field(&it.numbers)))
}

/// The short name of the key, as in the log of the server; NULL without keys.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the usage is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_key(
    usage: *const unsandbox_usage,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(usage).and_then(|it| it.key.as_ref()), len) })
}

/// Programs that run now.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_running(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.running) })
}

/// Submissions that wait for their turn now.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_waiting(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.waiting) })
}

/// Finished jobs that are kept now.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_kept_jobs(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.kept_jobs) })
}

/// Bytes of their results.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_kept_bytes(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.kept_bytes) })
}

/// 1 where the requests of the key are limited and counted, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_has_requests_remaining(usage: *const unsandbox_usage) -> i32 {
    ffi!(or 0, { has(usage, |it| it.requests_remaining.is_some()) })
}

/// Requests that may come at once now; 0 without a limit, too.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_requests_remaining(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.requests_remaining.unwrap_or(0)) })
}

/// When the server started, or the engine of this client was made, in Unix seconds.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_since(usage: *const unsandbox_usage) -> i64 {
    ffi!(or 0, { read(usage).map_or(0, |it| it.numbers.since) })
}

/// With how many statuses runs have ended since then.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_status_count(usage: *const unsandbox_usage) -> usize {
    ffi!(or 0, { read(usage).map_or(0, |it| it.runs.len()) })
}

/// A status with which runs have ended, as unsandbox_result_status_text has it; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the usage is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_status(
    usage: *const unsandbox_usage,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(usage).and_then(|it| it.runs.get(index).map(|it| &it.0)), len) })
}

/// How many runs have ended with that status; 0 past the last.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_status_runs(usage: *const unsandbox_usage, index: usize) -> u64 {
    ffi!(or 0, { read(usage).and_then(|it| it.runs.get(index)).map_or(0, |it| it.1) })
}

/// Processor time of the programs since then in milliseconds.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_cpu_time_ms(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.cpu_time_ms) })
}

/// Their time from start to end in milliseconds.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_wall_time_ms(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.wall_time_ms) })
}

/// How many programs of the key may run at once.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_concurrency(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.limits.concurrency) })
}

/// Of those, places that no other key gets.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_reserved(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.limits.reserved) })
}

/// How many submissions may wait for their turn.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_queue(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.limits.queue) })
}

/// How many submissions start in one turn of the key.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_weight(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.limits.weight) })
}

/// 1 where the requests in a minute are limited, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_has_requests_per_minute(usage: *const unsandbox_usage) -> i32 {
    ffi!(or 0, { has(usage, |it| it.limits.requests_per_minute.is_some()) })
}

/// Requests in a minute; 0 without a limit.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_requests_per_minute(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.limits.requests_per_minute.unwrap_or(0)) })
}

/// 1 where the requests that may come at once are limited, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_has_burst(usage: *const unsandbox_usage) -> i32 {
    ffi!(or 0, { has(usage, |it| it.limits.burst.is_some()) })
}

/// Requests that may come at once; 0 without a limit.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_burst(usage: *const unsandbox_usage) -> u64 {
    ffi!(or 0, { number(usage, |it| it.limits.burst.unwrap_or(0)) })
}

/// The largest ttl in seconds.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_max_ttl(usage: *const unsandbox_usage) -> i64 {
    ffi!(or 0, { read(usage).map_or(0, |it| it.numbers.limits.max_ttl) })
}

/// How many limits of a run are lower for the key than in the table of limits.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_max_limit_count(usage: *const unsandbox_usage) -> usize {
    ffi!(or 0, { read(usage).map_or(0, |it| it.max_limits.len()) })
}

/// The name of such a limit, as unsandbox_request_set_limit takes it; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the usage is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_max_limit_name(
    usage: *const unsandbox_usage,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(usage).and_then(|it| it.max_limits.get(index).map(|it| &it.0)), len) })
}

/// Its largest value; 0 past the last.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_max_limit(usage: *const unsandbox_usage, index: usize) -> u64 {
    ffi!(or 0, { read(usage).and_then(|it| it.max_limits.get(index)).map_or(0, |it| it.1) })
}

/// "zerotrust" alone, or "semitrusted" for both network modes.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the usage is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_network_mode(
    usage: *const unsandbox_usage,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), { read(usage).map_or_else(|| give_empty(len), |it| give(&it.network_mode, len)) })
}

/// 1 where the key may use only some languages, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_has_languages(usage: *const unsandbox_usage) -> i32 {
    ffi!(or 0, { has(usage, |it| it.limits.languages.is_some()) })
}

/// How many languages those are; 0 where it may use all.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_language_count(usage: *const unsandbox_usage) -> usize {
    ffi!(or 0, { read(usage).map_or(0, |it| it.languages.len()) })
}

/// The name of one of them; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the usage is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_language(
    usage: *const unsandbox_usage,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(usage).and_then(|it| it.languages.get(index)), len) })
}

/// The server's whole reply; NULL from the local engine.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the usage is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_json(
    usage: *const unsandbox_usage,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(usage).and_then(|it| it.json.as_ref()), len) })
}

/// Frees it; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_usage_free(usage: *mut unsandbox_usage) {
    ffi!(or(), { free(usage) })
}
