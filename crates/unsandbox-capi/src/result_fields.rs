// SPDX-License-Identifier: MIT OR Apache-2.0
//! A getter for every field of a result, for runtimes that do not read structs.

use crate::artifact::unsandbox_artifact;
use crate::boundary::ffi;
use crate::result::{ResultBox, free_result, owner, read, unsandbox_result};
use crate::text::{give, give_empty, give_optional, give_raw};
use std::ffi::c_char;

/// 1 where the program ended by itself with exit code 0, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_success(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.success.into()) })
}

/// How it ended: UNSANDBOX_STATUS_…
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_status(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.status) })
}

/// The status as a word, such as "completed", also where this version does not know it.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_status_text(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(result).map_or_else(|| give_empty(len), |it| give_raw(it.status_text, it.status_text_len, len))
    })
}

/// What the program wrote to standard output: bytes, which may hold NUL; never NULL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_stdout(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(result).map_or_else(|| give_empty(len), |it| give_raw(it.stdout_data, it.stdout_len, len))
    })
}

/// What the program wrote to standard error: bytes, which may hold NUL; never NULL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_stderr(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        read(result).map_or_else(|| give_empty(len), |it| give_raw(it.stderr_data, it.stderr_len, len))
    })
}

/// 1 where the exit code is known, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_has_exit_code(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.has_exit_code.into()) })
}

/// The exit code, where it is known: 124 past the ttl, 128 + n for signal n, -1 when cancelled.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_exit_code(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.exit_code) })
}

/// 1 where a signal ended the program, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_has_signal(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.has_signal.into()) })
}

/// The number of the signal that ended the program, or 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_signal(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.signal) })
}

/// The limit that ended the program: UNSANDBOX_LIMIT_…
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_limit(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.limit) })
}

/// 1 where a stream reached its limit and the rest of it is gone, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_truncated(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.truncated.into()) })
}

/// Why it did not succeed, or what could not be collected, in one sentence; NULL where nothing is to be said.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_error(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("error")), len)
    })
}

/// The language that ran; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_language(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("language")), len)
    })
}

/// The language that was detected; NULL unless it was asked for by run.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_detected_language(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("detected_language")), len)
    })
}

/// The id of the job; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_job_id(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("job_id")), len)
    })
}

/// "cold" or "pooled"; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_execution_mode(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("execution_mode")), len)
    })
}

/// "zerotrust" or "semitrusted"; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_network_mode(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("network_mode")), len)
    })
}

/// Path of the interpreter or compiler that was chosen; NULL where the server did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_runtime(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("runtime")), len)
    })
}

/// 1 where the total time is known, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_has_total_time_ms(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { owner(result).and_then(|it| it.number("total_time_ms")).is_some().into() })
}

/// Milliseconds for queue, compiler and program together, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_total_time_ms(result: *const unsandbox_result) -> u64 {
    ffi!(or 0, { owner(result).and_then(|it| it.number("total_time_ms")).map_or(0, |it| it as u64) })
}

/// 1 where processor time and memory of the program are known, else 0; 0 also where it was not started.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_has_usage(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { read(result).map_or(0, |it| it.has_usage.into()) })
}

/// Milliseconds of processor time of the program, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_cpu_time_ms(result: *const unsandbox_result) -> u64 {
    ffi!(or 0, { read(result).map_or(0, |it| it.cpu_time_ms) })
}

/// Largest memory of the program in bytes, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_peak_memory_bytes(result: *const unsandbox_result) -> u64 {
    ffi!(or 0, { read(result).map_or(0, |it| it.peak_memory_bytes) })
}

/// Milliseconds from the start of the program to its end, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_wall_time_ms(result: *const unsandbox_result) -> u64 {
    ffi!(or 0, { owner(result).and_then(ResultBox::usage).map_or(0, |it| it.wall_time_ms) })
}

/// 1 where a compiler has run and its time and memory are known, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_has_compile(result: *const unsandbox_result) -> i32 {
    ffi!(or 0, { owner(result).and_then(ResultBox::compile).is_some().into() })
}

/// Milliseconds of processor time of the compiler, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_compile_cpu_time_ms(result: *const unsandbox_result) -> u64 {
    ffi!(or 0, { owner(result).and_then(ResultBox::compile).map_or(0, |it| it.cpu_time_ms) })
}

/// Largest memory of the compiler in bytes, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_compile_peak_memory_bytes(
    result: *const unsandbox_result,
) -> u64 {
    ffi!(or 0, { owner(result).and_then(ResultBox::compile).map_or(0, |it| it.peak_memory_bytes) })
}

/// Milliseconds from the start of the compiler to its end, where known.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_compile_wall_time_ms(result: *const unsandbox_result) -> u64 {
    ffi!(or 0, { owner(result).and_then(ResultBox::compile).map_or(0, |it| it.wall_time_ms) })
}

/// How many files the run gave back.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_artifact_count(result: *const unsandbox_result) -> usize {
    ffi!(or 0, { read(result).map_or(0, |it| it.artifact_count) })
}

/// One file that the run gave back; NULL past the last.
///
/// @return borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_artifact(
    result: *const unsandbox_result,
    index: usize,
) -> *const unsandbox_artifact {
    ffi!(or std::ptr::null(), {
        owner(result).and_then(|it| it.artifact(index)).unwrap_or(std::ptr::null())
    })
}

/// How many names unsandbox_result_left_file has.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_left_file_count(result: *const unsandbox_result) -> usize {
    ffi!(or 0, { owner(result).map_or(0, ResultBox::left_file_count) })
}

/// The path of one file in the working directory that the program made or changed and that nothing asked for (see
/// unsandbox_request_add_output); NULL past the last. At most 100 are named.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_left_file(
    result: *const unsandbox_result,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.left_file(index)), len)
    })
}

/// "full" or "reduced", or another server's word; NULL where it did not say.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_isolation_level(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.text("isolation_level")), len)
    })
}

/// How many names unsandbox_result_isolation_layer has.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_isolation_layer_count(result: *const unsandbox_result) -> usize {
    ffi!(or 0, { read(result).map_or(0, |it| it.isolation_layer_count) })
}

/// One layer of the jail that the program ran in; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_isolation_layer(
    result: *const unsandbox_result,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.isolation_layer(index)), len)
    })
}

/// How many names unsandbox_result_isolation_missing has.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_isolation_missing_count(
    result: *const unsandbox_result,
) -> usize {
    ffi!(or 0, { read(result).map_or(0, |it| it.isolation_missing_count) })
}

/// One layer that this machine could not give; NULL past the last.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_isolation_missing(
    result: *const unsandbox_result,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), {
        give_optional(owner(result).and_then(|it| it.isolation_missing(index)), len)
    })
}

/// The whole result as JSON: as the server sent it, or in the same form from the local engine. Holds
/// fields that this version does not know.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the result is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_json(
    result: *const unsandbox_result,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), {
        owner(result).map_or_else(|| give_empty(len), |it| give(it.json(), len))
    })
}

/// Frees a result and all that was borrowed from it; NULL is fine. A result inside a job belongs to
/// the job and is not freed.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_result_free(result: *mut unsandbox_result) {
    ffi!(or(), { free_result(result) })
}
