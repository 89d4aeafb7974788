// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an endpoint says about itself: languages, key, health, and the layers of the local jail.

use crate::boundary::{ffi, free};
use crate::text::{Text, give, give_empty, give_optional};
use std::ffi::c_char;
use unsandbox_protocol::Probe;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};

fn read<'a, T>(handle: *const T) -> Option<&'a T> {
    // SAFETY: NULL, or an object that the library handed out and nobody has freed.
    unsafe { handle.as_ref() }
}

/// A language as an endpoint offers it. Belongs to its list.
pub struct unsandbox_language {
    name: Text,
    aliases: Vec<Text>,
    available: i32,
    untested: bool,
    version: Option<Text>,
    path: Option<Text>,
    install: Option<Text>,
}

/// Languages, as unsandbox_client_languages gives them. Never changed: any thread may read it.
pub struct unsandbox_language_list {
    languages: Vec<unsandbox_language>,
}

impl unsandbox_language_list {
    pub fn boxed(languages: Vec<LanguageInfo>) -> Box<Self> {
        let languages = languages.into_iter().map(|it| unsandbox_language {
            name: Text::new(it.name),
            aliases: it.aliases.into_iter().map(Text::new).collect(),
            available: it.available.map_or(-1, i32::from),
            untested: it.untested,
            version: it.version.map(Text::new),
            path: it.path.map(Text::new),
            install: it.install.map(Text::new),
        });
        Box::new(unsandbox_language_list { languages: languages.collect() })
    }
}

/// How many languages the list has; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_list_count(
    languages: *const unsandbox_language_list,
) -> usize {
    ffi!(or 0, { read(languages).map_or(0, |it| it.languages.len()) })
}

/// One language of the list; NULL past the last.
///
/// @return borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_list_at(
    languages: *const unsandbox_language_list,
    index: usize,
) -> *const unsandbox_language {
    ffi!(or std::ptr::null(), {
        let found = read(languages).and_then(|it| it.languages.get(index));
        found.map_or(std::ptr::null(), std::ptr::from_ref)
    })
}

/// Frees a list and its languages; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_list_free(languages: *mut unsandbox_language_list) {
    ffi!(or(), { free(languages) })
}

/// The name, as unsandbox_request_new takes it.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_name(
    language: *const unsandbox_language,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), { read(language).map_or_else(|| give_empty(len), |it| give(&it.name, len)) })
}

/// How many further names it has.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_alias_count(language: *const unsandbox_language) -> usize {
    ffi!(or 0, { read(language).map_or(0, |it| it.aliases.len()) })
}

/// One further name; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_alias(
    language: *const unsandbox_language,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(language).and_then(|it| it.aliases.get(index)), len) })
}

/// 1 where it can be run, 0 where its runtime is missing, -1 where the endpoint does not say.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_available(language: *const unsandbox_language) -> i32 {
    ffi!(or 0, { read(language).map_or(0, |it| it.available) })
}

/// 1 where this project runs no test of it, since no registry offers its runtime; else 0, also where the
/// endpoint does not say.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_is_untested(language: *const unsandbox_language) -> i32 {
    ffi!(or 0, { read(language).map_or(0, |it| i32::from(it.untested)) })
}

/// What the runtime says of its version; NULL where the endpoint does not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_version(
    language: *const unsandbox_language,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(language).and_then(|it| it.version.as_ref()), len) })
}

/// Where the runtime is; NULL where the endpoint does not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_path(
    language: *const unsandbox_language,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(language).and_then(|it| it.path.as_ref()), len) })
}

/// What to install where it is missing; NULL where it is not.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the list is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_language_install(
    language: *const unsandbox_language,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(language).and_then(|it| it.install.as_ref()), len) })
}

/// What an endpoint says of a key. Never changed: any thread may read it.
pub struct unsandbox_key {
    valid: bool,
    tier: Option<Text>,
    reason: Option<Text>,
    json: Option<Text>,
}

impl unsandbox_key {
    pub fn boxed(info: KeyInfo) -> Box<Self> {
        Box::new(unsandbox_key {
            valid: info.valid,
            tier: info.tier.map(Text::new),
            reason: info.reason.map(Text::new),
            json: Text::optional(info.raw.as_deref()),
        })
    }
}

/// 1 where the key is valid, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_key_is_valid(key: *const unsandbox_key) -> i32 {
    ffi!(or 0, { read(key).map_or(0, |it| i32::from(it.valid)) })
}

/// What the key is worth, in the server's words; "local" for the local engine. NULL where not said.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the key is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_key_tier(key: *const unsandbox_key, len: *mut usize) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(key).and_then(|it| it.tier.as_ref()), len) })
}

/// Why the key is not valid; NULL where not said.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the key is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_key_reason(
    key: *const unsandbox_key,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(key).and_then(|it| it.reason.as_ref()), len) })
}

/// The server's whole reply; NULL from the local engine.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the key is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_key_json(key: *const unsandbox_key, len: *mut usize) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(key).and_then(|it| it.json.as_ref()), len) })
}

/// Frees it; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_key_free(key: *mut unsandbox_key) {
    ffi!(or(), { free(key) })
}

/// How an endpoint is. Never changed: any thread may read it.
pub struct unsandbox_health {
    healthy: bool,
    status: Text,
    json: Option<Text>,
}

impl unsandbox_health {
    pub fn boxed(health: Health) -> Box<Self> {
        Box::new(unsandbox_health {
            healthy: health.healthy,
            status: Text::new(health.status),
            json: Text::optional(health.raw.as_deref()),
        })
    }
}

/// 1 where the endpoint takes executions, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_health_is_healthy(health: *const unsandbox_health) -> i32 {
    ffi!(or 0, { read(health).map_or(0, |it| i32::from(it.healthy)) })
}

/// "ok", or the server's own word.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the health is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_health_status(
    health: *const unsandbox_health,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), { read(health).map_or_else(|| give_empty(len), |it| give(&it.status, len)) })
}

/// The server's whole reply; NULL from the local engine.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the health is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_health_json(
    health: *const unsandbox_health,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(health).and_then(|it| it.json.as_ref()), len) })
}

/// Frees it; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_health_free(health: *mut unsandbox_health) {
    ffi!(or(), { free(health) })
}

/// Which isolation layers this machine gives. Never changed: any thread may read it.
pub struct unsandbox_probe {
    level: Option<Text>,
    layers: Vec<ProbeLayer>,
}

struct ProbeLayer {
    name: Text,
    available: bool,
    detail: Text,
    fix: Text,
}

impl unsandbox_probe {
    pub fn boxed(probe: Probe) -> Box<Self> {
        let layers = probe.layers.into_iter().map(|layer| ProbeLayer {
            name: Text::new(layer.name),
            available: layer.available,
            detail: Text::new(layer.detail),
            fix: Text::new(layer.fix),
        });
        Box::new(unsandbox_probe {
            level: probe.level.map(|level| Text::copy(level.as_str())),
            layers: layers.collect(),
        })
    }
}

/// The best level available, "full" or "reduced"; NULL where execution would be refused.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the probe is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_level(
    probe: *const unsandbox_probe,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(probe).and_then(|it| it.level.as_ref()), len) })
}

/// How many layers there are to tell of.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_layer_count(probe: *const unsandbox_probe) -> usize {
    ffi!(or 0, { read(probe).map_or(0, |it| it.layers.len()) })
}

/// The name of a layer; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the probe is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_layer_name(
    probe: *const unsandbox_probe,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(probe).and_then(|it| it.layers.get(index).map(|it| &it.name)), len) })
}

/// 1 where the layer is available here, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_layer_is_available(
    probe: *const unsandbox_probe,
    index: usize,
) -> i32 {
    ffi!(or 0, { read(probe)
            .and_then(|it| it.layers.get(index))
            .map_or(0, |it| i32::from(it.available)) })
}

/// What the layer is made of here, or why it is missing; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the probe is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_layer_detail(
    probe: *const unsandbox_probe,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(probe).and_then(|it| it.layers.get(index).map(|it| &it.detail)), len) })
}

/// How to get the layer, "" where it is there; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the probe is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_layer_fix(
    probe: *const unsandbox_probe,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(probe).and_then(|it| it.layers.get(index).map(|it| &it.fix)), len) })
}

/// Frees it; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_probe_free(probe: *mut unsandbox_probe) {
    ffi!(or(), { free(probe) })
}
