// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one table of errors, and the error type that every face translates.

use crate::printable::printable;
use std::borrow::Cow;
use std::fmt;

/// What kind of thing went wrong. The rows of [`ERROR_TABLE`] say what each means on every face.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A value of the request, or of another call, is wrong.
    Argument,
    /// Endpoint, key file or certificate is unusable.
    Config,
    /// The server could not be reached, or was lost on the way.
    Connect,
    /// The certificate was not trusted, or the TLS handshake failed.
    Tls,
    /// The deadline of the call passed. A program that passes its ttl is a result.
    Timeout,
    /// The caller cancelled the call.
    Cancelled,
    /// The server sent a malformed reply.
    Protocol,
    /// The reply has more bytes than the client reads.
    TooLarge,
    /// The key or the signature was refused (HTTP 401).
    Auth,
    /// The key is known but not allowed to do this (HTTP 403).
    Permission,
    /// No such job for this key (HTTP 404).
    NotFound,
    /// The server forgot a job that it had accepted.
    JobLost,
    /// The state does not allow it, as with a closed client (HTTP 409).
    Conflict,
    /// Too many requests or waiting executions (HTTP 429).
    RateLimited,
    /// The language's runtime is missing on that machine.
    LanguageUnavailable,
    /// An isolation layer is missing on that machine.
    IsolationUnavailable,
    /// Any other refusal of the server.
    Api,
    /// The server failed or takes no work now (HTTP 5xx).
    Server,
    /// A bug in this library.
    Internal,
    /// The server cannot write to its store: the disk is full, or broken (HTTP 507).
    Store,
}

/// Whether a caller may try the same call again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// The call should not be repeated as it is.
    No,
    /// It may be repeated, after [`Error::retry_after_ms`] where that is given.
    Yes,
    /// Only if nothing was sent (`may_have_run` is false).
    IfNotSent,
    /// Only for `GET` and `DELETE`.
    Idempotent,
    /// The caller has to decide: the program may have run.
    Ask,
}

/// One row of the table: the same error on every face.
#[derive(Debug)]
pub struct ErrorRow {
    /// The code that this row describes.
    pub code: ErrorCode,
    /// Upper-case name, as in `UNSANDBOX_ERR_<name>`.
    pub name: &'static str,
    /// The C status: negative, explicit, never reused.
    pub number: i32,
    /// The HTTP status with which a server reports it; 0 where it never crosses the wire.
    pub http_status: u16,
    /// The word in the `error` field of a reply; empty where it never crosses the wire.
    pub wire: &'static str,
    /// Class of the Python package.
    pub python: &'static str,
    /// The builtin that the Python class also is; empty for none.
    pub python_base: &'static str,
    /// Whether a call that ended with it may be repeated.
    pub retry: Retry,
    /// Its meaning in a few words: lower case, no final stop.
    pub means: &'static str,
    /// What to do about it, where the message, which all faces share, cannot say it.
    pub hint: Hint,
}

/// The same advice for the faces that show it; empty for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hint {
    /// For the command line: flags and subcommands of `unsandbox`.
    pub shell: &'static str,
    /// For Python: arguments and methods of the package.
    pub python: &'static str,
    /// For C: functions of the library.
    pub c: &'static str,
}

macro_rules! rows {
    (@hint) => { Hint { shell: "", python: "", c: "" } };
    (@hint $shell:literal $in_python:literal $in_c:literal) => { Hint { shell: $shell, python: $in_python, c: $in_c } };
    ($( $code:ident $name:literal $number:literal $http:literal $wire:literal $python:literal $base:literal $retry:ident $means:literal
        $(shell $shell:literal python $in_python:literal c $in_c:literal)?; )*) => {
        /// Every error code, in the order of the C numbers.
        pub const ERROR_TABLE: &[ErrorRow] = &[
            $( ErrorRow {
                code: ErrorCode::$code, name: $name, number: $number, http_status: $http,
                wire: $wire, python: $python, python_base: $base, retry: Retry::$retry, means: $means,
                hint: rows!(@hint $($shell $in_python $in_c)?),
            }, )*
        ];
    };
}

rows! {
    Argument "ARGUMENT" -1 400 "invalid_request" "InvalidRequestError" "ValueError" No "a value of the request is wrong";
    Config "CONFIG" -2 0 "" "ConfigError" "ValueError" No "endpoint, key file or certificate is unusable";
    Connect "CONNECT" -3 0 "" "ConnectError" "ConnectionError" IfNotSent "the server could not be reached, or the connection broke"
        shell "check that the server runs and that the URL (--url, or UNSANDBOX_URL) is right"
        python "check that the server runs and that the URL (base_url, or UNSANDBOX_URL) is right"
        c "check that the server runs and that the URL (unsandbox_config_set_base_url, or UNSANDBOX_URL) is right";
    Tls "TLS" -4 0 "" "TlsError" "ConnectionError" No "certificate or handshake failed"
        shell "give --ca-file FILE for a private certificate; use an http:// URL for a server without TLS"
        python "give ca_file for a private certificate; use an http:// URL for a server without TLS"
        c "give a file by unsandbox_config_set_ca_file for a private certificate; use an http:// URL for a server without TLS";
    Timeout "TIMEOUT" -5 0 "" "RequestTimeoutError" "TimeoutError" Ask "the deadline of the call passed";
    Cancelled "CANCELLED" -6 0 "" "CancelledError" "" No "the caller cancelled the call";
    Protocol "PROTOCOL" -7 0 "" "ProtocolError" "" No "the server sent a malformed reply";
    TooLarge "TOO_LARGE" -8 0 "" "ReplyTooLargeError" "" No "the reply is larger than reply_max_bytes";
    Auth "AUTH" -9 401 "invalid_api_key" "AuthenticationError" "" No "key or signature was refused"
        shell "give a key that this server knows with UNSANDBOX_API_KEY, or a row of the accounts file with --account"
        python "give the key as api_key, or in UNSANDBOX_API_KEY"
        c "give the key by unsandbox_config_set_api_key, or in UNSANDBOX_API_KEY";
    Permission "PERMISSION" -10 403 "forbidden" "PermissionDeniedError" "PermissionError" No "the key is known but not allowed";
    NotFound "NOT_FOUND" -11 404 "not_found" "NotFoundError" "LookupError" No "no such job for this key";
    JobLost "JOB_LOST" -12 0 "" "JobLostError" "" Ask "the server accepted the job and now answers 404 for it";
    Conflict "CONFLICT" -13 409 "conflict" "ConflictError" "" No "the request conflicts with the current state";
    RateLimited "RATE_LIMITED" -14 429 "rate_limit_exceeded" "RateLimitError" "" Yes "too many requests";
    LanguageUnavailable "LANGUAGE_UNAVAILABLE" -15 422 "language_unavailable" "LanguageUnavailableError" "" No "the language's runtime is missing on that machine"
        shell "`unsandbox languages` lists the installed languages"
        python "languages() lists the installed languages"
        c "unsandbox_client_languages lists the installed languages";
    IsolationUnavailable "ISOLATION_UNAVAILABLE" -16 501 "isolation_unavailable" "IsolationUnavailableError" "" No "an isolation layer is missing on that machine"
        shell "`unsandbox doctor` shows each layer and how to get it"
        python "probe() shows each layer and how to get it"
        c "unsandbox_client_probe shows each layer and how to get it";
    Api "API" -17 0 "" "ApiError" "" No "any other refusal of the server";
    Server "SERVER" -18 0 "" "ServerError" "" Idempotent "the server failed";
    Internal "INTERNAL" -19 500 "internal" "InternalError" "" No "a bug in this library";
    Store "STORE" -20 507 "store_failed" "StoreError" "" Yes "the server's store is full or cannot be written";
}

/// The word of the wire for a signature that another secret made.
pub const INVALID_SIGNATURE: &str = "invalid_signature";

/// The word of the wire where as many executions of a key run and wait as may.
pub const CONCURRENCY_LIMIT_REACHED: &str = "concurrency_limit_reached";

/// For a request that was signed with another secret.
const SIGNATURE_HINT: Hint = Hint {
    shell: "check that UNSANDBOX_PUBLIC_KEY and UNSANDBOX_SECRET_KEY, or the row of the accounts file, are one pair",
    python: "check that public_key and secret_key, or the row of the accounts file, are one pair",
    c: "check that both keys of unsandbox_config_set_key_pair, or of the row of the accounts file, are one pair",
};

impl ErrorCode {
    /// This code's row of the table.
    pub fn row(self) -> &'static ErrorRow {
        // The table is in declaration order; a test holds that true.
        &ERROR_TABLE[self as usize]
    }

    /// Upper-case name, as in `UNSANDBOX_ERR_<name>`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The code with this C status; `None` for 0 and for numbers that this version does not know.
    pub fn from_number(number: i32) -> Option<ErrorCode> {
        ERROR_TABLE.iter().find(|row| row.number == number).map(|row| row.code)
    }
}

/// Why an operation gave no result. A program that failed is a result, never an error.
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    message: String,
    wire: Option<String>,
    http_status: u16,
    body: Option<String>,
    retry_after_ms: Option<u64>,
    may_have_run: bool,
    job_id: Option<String>,
    cause: Option<String>,
}

/// The body of a refused reply is kept up to this many bytes.
pub const ERROR_BODY_LIMIT: usize = 64 * 1024;

impl Error {
    /// One sentence, lower case, no final stop; names the thing, the value and the limit.
    ///
    /// Control characters in it are escaped: the words may be a server's, and end on a terminal or in a log.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error {
            inner: Box::new(Inner {
                code,
                message: in_one_line(message.into()),
                wire: None,
                http_status: 0,
                body: None,
                retry_after_ms: None,
                may_have_run: false,
                job_id: None,
                cause: None,
            }),
        }
    }

    /// An ARGUMENT error; the message is as in [`Error::new`].
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Argument, message)
    }

    /// A CONFIG error; the message is as in [`Error::new`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Config, message)
    }

    /// An INTERNAL error, for a bug in this library; the message is as in [`Error::new`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// The word of the wire where it differs from the table's (`too_large`, `invalid_timestamp`, …).
    pub fn with_wire(mut self, wire: impl Into<String>) -> Self {
        self.inner.wire = Some(wire.into());
        self
    }

    /// Sets the HTTP status of the reply; 0, the default, for none.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.inner.http_status = status;
        self
    }

    /// Keeps the server's own words, at most [`ERROR_BODY_LIMIT`] bytes of them.
    pub fn with_body(mut self, body: &[u8]) -> Self {
        let kept = &body[..body.len().min(ERROR_BODY_LIMIT)];
        self.inner.body = Some(String::from_utf8_lossy(kept).into_owned());
        self
    }

    /// Sets how many milliseconds to wait before the call is repeated.
    pub fn with_retry_after_ms(mut self, ms: u64) -> Self {
        self.inner.retry_after_ms = Some(ms);
        self
    }

    /// Sets whether the program may have run although no result came back; false by default.
    pub fn with_may_have_run(mut self, may_have_run: bool) -> Self {
        self.inner.may_have_run = may_have_run;
        self
    }

    /// Sets the id of the job that the error is about.
    pub fn with_job_id(mut self, job_id: impl Into<String>) -> Self {
        self.inner.job_id = Some(job_id.into());
        self
    }

    /// Adds what lay underneath, as text: the chain from the nearest cause outwards.
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.inner.cause = Some(match self.inner.cause {
            Some(old) => format!("{old}: {}", in_one_line(cause.to_string())),
            None => in_one_line(cause.to_string()),
        });
        self
    }

    /// The kind of error, for a program to branch on.
    pub fn code(&self) -> ErrorCode {
        self.inner.code
    }

    /// One sentence in one line, without the cause; control characters are escaped.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The HTTP status that was received, or 0.
    pub fn http_status(&self) -> u16 {
        self.inner.http_status
    }

    /// The server's word for it (`error` of the envelope), or the table's.
    pub fn wire(&self) -> &str {
        self.inner.wire.as_deref().unwrap_or(self.inner.code.row().wire)
    }

    /// The reply's body as text, from its first [`ERROR_BODY_LIMIT`] bytes; `None` if it was not kept.
    pub fn body(&self) -> Option<&str> {
        self.inner.body.as_deref()
    }

    /// Milliseconds to wait before the call is repeated; `None` where nothing says how long.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.inner.retry_after_ms
    }

    /// Whether the program may have run although no result came back.
    pub fn may_have_run(&self) -> bool {
        self.inner.may_have_run
    }

    /// The job that the error is about, so that its result can still be asked for.
    pub fn job_id(&self) -> Option<&str> {
        self.inner.job_id.as_deref()
    }

    /// What to do about it on one face, as `|hint| hint.shell`. A lost connection needs no other endpoint.
    pub fn hint(&self, face: impl Fn(&Hint) -> &'static str) -> Option<&'static str> {
        let is_lost = self.code() == ErrorCode::Connect && self.may_have_run();
        let hint = match self.wire() {
            INVALID_SIGNATURE => &SIGNATURE_HINT,
            _ => &self.code().row().hint,
        };
        Some(face(hint)).filter(|hint| !hint.is_empty() && !is_lost)
    }

    /// What lay underneath, as text in one line; `None` if unknown.
    pub fn cause(&self) -> Option<&str> {
        self.inner.cause.as_deref()
    }
}

/// The text itself, or a copy of it that is [`printable`].
fn in_one_line(text: String) -> String {
    match printable(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        match &self.inner.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.inner.code.name())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_says_is_one_printable_line() {
        let error = Error::new(ErrorCode::Api, "a\u{1b}]52;c;eA==\u{7}\nb").with_cause("c\u{9b}m");
        assert_eq!(error.to_string(), "a\\u{1b}]52;c;eA==\\u{7}\\nb: c\\u{9b}m");
        assert_eq!(error.message(), "a\\u{1b}]52;c;eA==\\u{7}\\nb");
        assert_eq!(error.with_body(b"\x1b").body(), Some("\u{1b}"), "the body is kept as it came");
    }

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_of_the_numbers() {
        for (index, row) in ERROR_TABLE.iter().enumerate() {
            assert_eq!(row.code as usize, index, "{}", row.name);
            assert_eq!(row.number, -(index as i32) - 1, "{}", row.name);
            assert_eq!(row.code.row().name, row.name);
        }
    }
}
