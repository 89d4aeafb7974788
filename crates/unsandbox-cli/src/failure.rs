// SPDX-License-Identifier: MIT OR Apache-2.0
//! The failure of a command: its message and its exit code.

use crate::terminal::say;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use unsandbox::protocol::shell::shell_word;
use unsandbox::{Error, ErrorCode};

/// A value of the command line or of the request is wrong.
pub(crate) const EXIT_USAGE: i32 = 2;
/// unsandbox itself failed.
pub(crate) const EXIT_FAILED: i32 = 125;
/// The exit code of a shell for a program that SIGPIPE ended.
const EXIT_PIPE: i32 = 141;

/// Ends a command early.
#[derive(Debug)]
pub(crate) struct Failure {
    exit_code: i32,
    /// `None` if there is no message, or its reader has closed the stream.
    message: Option<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { exit_code: EXIT_USAGE, message: Some(message.into()), hint: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure { exit_code: EXIT_FAILED, message: Some(message.into()), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn exit_code(mut self, exit_code: i32) -> Failure {
        self.exit_code = exit_code;
        self
    }

    pub(crate) fn is_usage(&self) -> bool {
        self.exit_code == EXIT_USAGE
    }

    /// Puts what the message is about before it.
    pub(crate) fn about(mut self, name: &str) -> Failure {
        self.message = self.message.map(|message| format!("{name}: {message}"));
        self
    }

    pub(crate) fn into_message(self) -> String {
        self.message.unwrap_or_default()
    }

    /// Prints the message on standard error and returns the exit code.
    pub(crate) fn report(self) -> i32 {
        if let Some(message) = self.message {
            say(&message);
        }
        if let Some(hint) = self.hint {
            say(&format!("hint: {hint}"));
        }
        self.exit_code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let hint = socket_hint(&error);
        let hint = hint.or_else(|| error.hint(|hint| hint.shell).map(str::to_string));
        let exit_code = if error.code() == ErrorCode::Argument { EXIT_USAGE } else { EXIT_FAILED };
        Failure { exit_code, message: Some(error.to_string()), hint }
    }
}

/// What is wrong with a Unix socket that cannot be reached.
fn socket_hint(error: &Error) -> Option<String> {
    let (path, _) = error.message().strip_prefix("unix:")?.split_once(" could not be reached")?;
    let start = format!("`unsandbox serve --listen {}`", shell_word(&format!("unix:{path}")));
    match UnixStream::connect(path).err()?.kind() {
        ErrorKind::NotFound => Some(format!("there is no such socket; {start} makes it")),
        ErrorKind::ConnectionRefused => {
            Some(format!("nobody listens at this socket: its server has ended; {start} starts one"))
        }
        ErrorKind::PermissionDenied => Some(
            "the socket is another user's (mode 0600), or in a directory that you may not enter; run this as \
             that user"
                .to_string(),
        ),
        _ => None,
    }
}

/// Standard output cannot be written.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        if error.kind() == ErrorKind::BrokenPipe {
            Failure { exit_code: EXIT_PIPE, message: None, hint: None }
        } else {
            Failure::failed(format!("cannot write the output: {error}"))
        }
    }
}
