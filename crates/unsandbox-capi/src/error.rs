// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error object: everything that the client knows about a failure, by getters.

use crate::boundary::{ffi, free};
use crate::text::{Text, give, give_empty, give_optional};
use std::ffi::c_char;
use unsandbox_protocol::Error;

/// Why an operation failed. Made by the library, owned by the caller, never changed: any thread may
/// read it. A program that exits non-zero is a result and not an error.
pub struct unsandbox_error {
    error: Error,
    name: Text,
    message: Text,
    body: Option<Text>,
    cause: Option<Text>,
    job_id: Option<Text>,
    hint: Option<Text>,
}

impl unsandbox_error {
    pub fn boxed(error: Error) -> Box<Self> {
        Box::new(unsandbox_error {
            name: Text::copy(error.code().name()),
            message: Text::new(error.to_string()),
            body: Text::optional(error.body()),
            cause: Text::optional(error.cause()),
            job_id: Text::optional(error.job_id()),
            hint: Text::optional(error.hint(|hint| hint.c)),
            error,
        })
    }
}

fn read<'a>(error: *const unsandbox_error) -> Option<&'a unsandbox_error> {
    // SAFETY: NULL, or an error that an operation made and nobody has freed.
    unsafe { error.as_ref() }
}

/// The same number that the operation returned (UNSANDBOX_ERR_…); 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_code(error: *const unsandbox_error) -> i32 {
    ffi!(or 0, { read(error).map_or(0, |e| e.error.code().row().number) })
}

/// The code as a word, such as "RATE_LIMITED"; "" for NULL.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return NUL-terminated, borrowed until the error is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_name(
    error: *const unsandbox_error,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), { read(error).map_or_else(|| give_empty(len), |e| give(&e.name, len)) })
}

/// One sentence that names the thing, the value and the limit, and what lay underneath, as in "… could not be
/// reached: connection refused"; "" for NULL. Keys never appear in it, and control characters are escaped: the
/// words may be a server's.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the error is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_message(
    error: *const unsandbox_error,
    len: *mut usize,
) -> *const c_char {
    ffi!(or c"".as_ptr(), { read(error).map_or_else(|| give_empty(len), |e| give(&e.message, len)) })
}

/// The HTTP status of the reply, or 0 where there was none.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_http_status(error: *const unsandbox_error) -> i32 {
    ffi!(or 0, { read(error).map_or(0, |e| i32::from(e.error.http_status())) })
}

/// The server's own words: the body of its reply, at most 64 KiB of it. NULL where there was none.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the error is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_body(
    error: *const unsandbox_error,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(error).and_then(|e| e.body.as_ref()), len) })
}

/// Milliseconds after which the call may be tried again, or -1 where nobody said.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_retry_after_ms(error: *const unsandbox_error) -> i64 {
    ffi!(or - 1, {
        let wait = read(error).and_then(|e| e.error.retry_after_ms());
        wait.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX))
    })
}

/// 1 where the program may have run although no result came back, else 0.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_may_have_run(error: *const unsandbox_error) -> i32 {
    ffi!(or 0, { read(error).map_or(0, |e| i32::from(e.error.may_have_run())) })
}

/// What lay underneath alone, which ends the message: text from the nearest cause outwards. NULL where nothing
/// did.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the error is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_cause(
    error: *const unsandbox_error,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(error).and_then(|e| e.cause.as_ref()), len) })
}

/// The job that the error is about, so that its result can still be asked for. NULL where it is about
/// none.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the error is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_job_id(
    error: *const unsandbox_error,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(error).and_then(|e| e.job_id.as_ref()), len) })
}

/// What to do about it, where the message does not say. NULL where there is no advice.
///
/// @param len  receives the length in bytes; may be NULL.
/// @return UTF-8, NUL-terminated, borrowed until the error is freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_hint(
    error: *const unsandbox_error,
    len: *mut usize,
) -> *const c_char {
    ffi!(or std::ptr::null(), { give_optional(read(error).and_then(|e| e.hint.as_ref()), len) })
}

/// Frees an error; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_error_free(error: *mut unsandbox_error) {
    ffi!(or(), { free(error) })
}
