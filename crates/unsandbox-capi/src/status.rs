// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every number of the ABI and its name. Tests compare them with the protocol's tables.

// C reads the constants by name; Rust itself uses few of them.
#![allow(dead_code)]

use crate::boundary::ffi;
use std::ffi::c_char;
use unsandbox_protocol::{ErrorCode, LimitKind, Status};

/// What an operation returns. Numbers are never reused; treat an unknown negative number as an error.
#[repr(C)]
pub enum unsandbox_code {
    /// It worked.
    UNSANDBOX_OK = 0,
    /// Not finished yet; only unsandbox_task_wait returns it.
    UNSANDBOX_PENDING = 1,
    /// A value of the request is wrong; the message names the field, the value and the limit.
    UNSANDBOX_ERR_ARGUMENT = -1,
    /// Endpoint, key file or certificate is unusable.
    UNSANDBOX_ERR_CONFIG = -2,
    /// The server could not be reached, or the connection broke.
    UNSANDBOX_ERR_CONNECT = -3,
    /// Certificate or handshake failed.
    UNSANDBOX_ERR_TLS = -4,
    /// The deadline of the call passed. A program that passes its ttl is a result, not this.
    UNSANDBOX_ERR_TIMEOUT = -5,
    /// The caller cancelled the call.
    UNSANDBOX_ERR_CANCELLED = -6,
    /// The server sent a malformed reply.
    UNSANDBOX_ERR_PROTOCOL = -7,
    /// The reply is larger than reply_max_bytes.
    UNSANDBOX_ERR_TOO_LARGE = -8,
    /// Key or signature was refused.
    UNSANDBOX_ERR_AUTH = -9,
    /// The key is known but not allowed.
    UNSANDBOX_ERR_PERMISSION = -10,
    /// No such job for this key.
    UNSANDBOX_ERR_NOT_FOUND = -11,
    /// The server accepted the job and now answers 404 for it.
    UNSANDBOX_ERR_JOB_LOST = -12,
    /// The request conflicts with the current state.
    UNSANDBOX_ERR_CONFLICT = -13,
    /// Too many requests; unsandbox_error_retry_after_ms says how long to wait.
    UNSANDBOX_ERR_RATE_LIMITED = -14,
    /// The language's runtime is missing on that machine; the message names the package.
    UNSANDBOX_ERR_LANGUAGE_UNAVAILABLE = -15,
    /// An isolation layer is missing on that machine; the message names layer, cause and fix.
    UNSANDBOX_ERR_ISOLATION_UNAVAILABLE = -16,
    /// Any other refusal of the server.
    UNSANDBOX_ERR_API = -17,
    /// The server failed.
    UNSANDBOX_ERR_SERVER = -18,
    /// A bug in this library.
    UNSANDBOX_ERR_INTERNAL = -19,
    /// The server's store is full or cannot be written; nothing was run.
    UNSANDBOX_ERR_STORE = -20,
}

/// State of a job, and of the result of a finished one.
#[repr(C)]
pub enum unsandbox_status {
    /// A word that this version does not know; status_text has it.
    UNSANDBOX_STATUS_OTHER = 0,
    UNSANDBOX_STATUS_PENDING = 1,
    UNSANDBOX_STATUS_RUNNING = 2,
    /// The program ended by itself, with whatever exit code.
    UNSANDBOX_STATUS_COMPLETED = 3,
    /// The program passed its ttl; what it had written by then is there.
    UNSANDBOX_STATUS_TIMEOUT = 4,
    UNSANDBOX_STATUS_CANCELLED = 5,
    /// The engine or server failed, not the program.
    UNSANDBOX_STATUS_FAILED = 6,
}

/// The limit that ended a program.
#[repr(C)]
pub enum unsandbox_limit {
    UNSANDBOX_LIMIT_NONE = 0,
    UNSANDBOX_LIMIT_WALL = 1,
    UNSANDBOX_LIMIT_CPU = 2,
    UNSANDBOX_LIMIT_MEMORY = 3,
    UNSANDBOX_LIMIT_PROCESSES = 4,
    UNSANDBOX_LIMIT_OUTPUT = 5,
    UNSANDBOX_LIMIT_FILES = 6,
}

/// Which stream a piece of output belongs to.
#[repr(C)]
pub enum unsandbox_stream {
    UNSANDBOX_STREAM_STDOUT = 1,
    UNSANDBOX_STREAM_STDERR = 2,
}

/// What happened to a job.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum unsandbox_kind_of_event {
    /// An event that this version does not know.
    UNSANDBOX_EVENT_OTHER = 0,
    /// The job is accepted.
    UNSANDBOX_EVENT_QUEUED = 1,
    /// The program was started.
    UNSANDBOX_EVENT_STARTED = 2,
    /// The program wrote something.
    UNSANDBOX_EVENT_OUTPUT = 3,
    /// Output that is not kept any more.
    UNSANDBOX_EVENT_GAP = 4,
    /// The job is over. The last event.
    UNSANDBOX_EVENT_FINISHED = 5,
}

/// How much the log callback is told; each level includes those before it.
#[repr(C)]
pub enum unsandbox_log_level {
    UNSANDBOX_LOG_OFF = 0,
    UNSANDBOX_LOG_ERROR = 1,
    UNSANDBOX_LOG_WARN = 2,
    UNSANDBOX_LOG_INFO = 3,
    UNSANDBOX_LOG_DEBUG = 4,
    UNSANDBOX_LOG_TRACE = 5,
}

pub fn status_number(status: &Status) -> i32 {
    use unsandbox_status::*;
    let number = match status {
        Status::Pending => UNSANDBOX_STATUS_PENDING,
        Status::Running => UNSANDBOX_STATUS_RUNNING,
        Status::Completed => UNSANDBOX_STATUS_COMPLETED,
        Status::Timeout => UNSANDBOX_STATUS_TIMEOUT,
        Status::Cancelled => UNSANDBOX_STATUS_CANCELLED,
        Status::Failed => UNSANDBOX_STATUS_FAILED,
        _ => UNSANDBOX_STATUS_OTHER,
    };
    number as i32
}

pub fn limit_number(limit: Option<LimitKind>) -> i32 {
    use unsandbox_limit::*;
    let number = match limit {
        None => UNSANDBOX_LIMIT_NONE,
        Some(LimitKind::Wall) => UNSANDBOX_LIMIT_WALL,
        Some(LimitKind::Cpu) => UNSANDBOX_LIMIT_CPU,
        Some(LimitKind::Memory) => UNSANDBOX_LIMIT_MEMORY,
        Some(LimitKind::Processes) => UNSANDBOX_LIMIT_PROCESSES,
        Some(LimitKind::Output) => UNSANDBOX_LIMIT_OUTPUT,
        Some(LimitKind::Files) => UNSANDBOX_LIMIT_FILES,
    };
    number as i32
}

/// The word for what an operation returned: "OK", "PENDING", "ARGUMENT", …; "UNKNOWN" for a number
/// that this version does not know.
///
/// @return NUL-terminated and never freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_code_name(code: i32) -> *const c_char {
    ffi!(or c"UNKNOWN".as_ptr(), {
        let name = match code {
            0 => c"OK",
            1 => c"PENDING",
            number => ErrorCode::from_number(number).map_or(c"UNKNOWN", error_name),
        };
        name.as_ptr()
    })
}

/// The table's names, with the NUL that the table's own text has not.
fn error_name(code: ErrorCode) -> &'static std::ffi::CStr {
    use std::sync::OnceLock;
    static NAMES: OnceLock<Vec<std::ffi::CString>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let rows = unsandbox_protocol::error::ERROR_TABLE.iter();
        rows.map(|row| std::ffi::CString::new(row.name).expect("a name without NUL")).collect()
    });
    &names[code as usize]
}
