// SPDX-License-Identifier: MIT OR Apache-2.0
//! A getter for every field of a job, for runtimes that do not read structs.

use crate::boundary::ffi;
use crate::job::{free_job, owner, read, unsandbox_job};
use crate::result::unsandbox_result;
use crate::text::{give, give_empty, give_raw};
use std::ffi::c_char;

/// The id of the job; "" only for NULL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_job_id(
    job: *const unsandbox_job,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(job).map_or_else(|| give_empty(len), |it| give_raw(it.job_id, it.job_id_len, len))
    })
}

/// Its state: UNSANDBOX_STATUS_…
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_status(job: *const unsandbox_job) -> i32 {
    ffi!(or 0, { read(job).map_or(0, |it| it.status) })
}

/// The state as a word, also where this version does not know it.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_status_text(
    job: *const unsandbox_job,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(job).map_or_else(|| give_empty(len), |it| give_raw(it.status_text, it.status_text_len, len))
    })
}

/// The language; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_language(
    job: *const unsandbox_job,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        read(job).map_or_else(|| give_raw(std::ptr::null(), 0, len), |it| give_raw(it.language, it.language_len, len))
    })
}

/// The language that was detected; NULL unless it was asked for by run.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_detected_language(
    job: *const unsandbox_job,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        read(job).map_or_else(|| give_raw(std::ptr::null(), 0, len), |it| give_raw(it.detected_language, it.detected_language_len, len))
    })
}

/// "zerotrust" or "semitrusted"; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_network_mode(
    job: *const unsandbox_job,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        read(job).map_or_else(|| give_raw(std::ptr::null(), 0, len), |it| give_raw(it.network_mode, it.network_mode_len, len))
    })
}

/// 1 where it is known when the job was made, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_has_created_at(job: *const unsandbox_job) -> i32 {
    ffi!(or 0, { read(job).map_or(0, |it| it.has_created_at.into()) })
}

/// When the job was made, in Unix seconds, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_created_at(job: *const unsandbox_job) -> i64 {
    ffi!(or 0, { read(job).map_or(0, |it| it.created_at) })
}

/// 1 where it is known when the job was started, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_has_started_at(job: *const unsandbox_job) -> i32 {
    ffi!(or 0, { read(job).map_or(0, |it| it.has_started_at.into()) })
}

/// When the job was started, in Unix seconds, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_started_at(job: *const unsandbox_job) -> i64 {
    ffi!(or 0, { read(job).map_or(0, |it| it.started_at) })
}

/// 1 where it is known when the job was over, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_has_completed_at(job: *const unsandbox_job) -> i32 {
    ffi!(or 0, { read(job).map_or(0, |it| it.has_completed_at.into()) })
}

/// When the job was over, in Unix seconds, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_completed_at(job: *const unsandbox_job) -> i64 {
    ffi!(or 0, { read(job).map_or(0, |it| it.completed_at) })
}

/// The result; NULL until the job is over.
///
/// @return borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_result(job: *const unsandbox_job) -> *const unsandbox_result {
    ffi!(or std::ptr::null(), { read(job).map_or(std::ptr::null(), |it| it.result) })
}

/// The whole job as JSON: as the server sent it, or in the same form from the local engine.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the job is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_json(job: *const unsandbox_job, len: *mut usize) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        owner(job).map_or_else(|| give_empty(len), |it| give(it.json(), len))
    })
}

/// Frees a job and all that was borrowed from it; NULL is fine. A job inside a list belongs to the
/// list and is not freed. The execution itself goes on; unsandbox_client_cancel_job ends it.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_job_free(job: *mut unsandbox_job) {
    ffi!(or(), { free_job(job) })
}
