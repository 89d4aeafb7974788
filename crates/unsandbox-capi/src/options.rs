// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options of one call: deadline, cancel token, live output, standard input as a stream.

use crate::boundary::{ffi, free, give_out, handle, handle_mut, optional_handle};
use crate::callback::{UserData, unsandbox_free_fn};
use crate::error::unsandbox_error;
use crate::status::unsandbox_stream;
use std::ffi::c_void;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use unsandbox::CallOptions;
use unsandbox_protocol::{CancelToken, Error, Stream};

/// Ends calls from any thread. Shareable between threads; cancelling is final.
pub struct unsandbox_cancel_token {
    pub token: CancelToken,
}

/// Makes a token that ends the calls it is given to.
///
/// @param token  receives a token owned by the caller; free with unsandbox_cancel_token_free. Required.
/// @param err    receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_cancel_token_new(
    token: *mut *mut unsandbox_cancel_token,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(token, "token", || {
            let made = Box::new(unsandbox_cancel_token { token: CancelToken::new() });
            Ok(Box::into_raw(made))
        })
    })
}

/// Ends every call that has the token, now or later: they return UNSANDBOX_ERR_CANCELLED, and what ran
/// for them is stopped. Returns at once; may be called from any thread, but not from a signal handler.
/// NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_cancel_token_cancel(token: *const unsandbox_cancel_token) {
    ffi!(or(), {
        if let Some(it) = optional_handle(token) {
            it.token.cancel();
        }
    })
}

/// 1 once the token was cancelled, else 0; 0 for NULL.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_cancel_token_is_cancelled(token: *const unsandbox_cancel_token) -> i32 {
    ffi!(or 0, { handle(token, "token").map_or(0, |it| i32::from(it.token.is_cancelled())) })
}

/// Frees a token; NULL is fine. Calls that have it keep what they need of it.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_cancel_token_free(token: *mut unsandbox_cancel_token) {
    ffi!(or(), { free(token) })
}

/// Called with output as the program writes it, in order within a stream, from a thread of the
/// library, without locks held. Must not block for long: the program waits.
///
/// `stream` is UNSANDBOX_STREAM_…; `data` is any bytes, borrowed for the call.
pub type unsandbox_output_fn =
    Option<extern "C" fn(user_data: *mut c_void, stream: i32, data: *const u8, data_len: usize)>;

/// Called for more standard input: writes at most `capacity` bytes to `data` and returns how many; 0
/// at the end of the input, negative for an error. Called from a thread of the library; may block.
pub type unsandbox_read_fn =
    Option<extern "C" fn(user_data: *mut c_void, data: *mut u8, capacity: usize) -> i64>;

/// Options of one call. Belongs to one thread at a time; a call takes what it needs of it, so it may
/// be freed or used again while the call runs.
pub struct unsandbox_options {
    deadline: Option<Duration>,
    cancel: Option<CancelToken>,
    output: Option<Arc<Output>>,
    /// Taken by the first call that runs a program.
    stdin: Mutex<Option<Stdin>>,
}

struct Output {
    call: extern "C" fn(*mut c_void, i32, *const u8, usize),
    user_data: UserData,
}

struct Stdin {
    call: extern "C" fn(*mut c_void, *mut u8, usize) -> i64,
    user_data: UserData,
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (self.call)(self.user_data.ptr(), buffer.as_mut_ptr(), buffer.len());
        match usize::try_from(count) {
            Ok(count) if count <= buffer.len() => Ok(count),
            _ => {
                let max = buffer.len();
                let text = format!("the read callback returned {count}; it must return 0 to {max}");
                Err(io::Error::other(text))
            }
        }
    }
}

/// What the client takes, from what C gave; NULL is the defaults.
pub fn call_options(options: *const unsandbox_options) -> CallOptions {
    let mut made = CallOptions::default();
    let Some(given) = optional_handle(options) else {
        return made;
    };
    made.deadline = given.deadline;
    if let Some(cancel) = &given.cancel {
        made.cancel = cancel.clone();
    }
    if let Some(output) = given.output.clone() {
        made.on_output = Some(Arc::new(move |stream, bytes: &[u8]| {
            let stream = match stream {
                Stream::Stdout => unsandbox_stream::UNSANDBOX_STREAM_STDOUT,
                Stream::Stderr => unsandbox_stream::UNSANDBOX_STREAM_STDERR,
            };
            (output.call)(output.user_data.ptr(), stream as i32, bytes.as_ptr(), bytes.len());
        }));
    }
    let stdin = given.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    made.stdin = stdin.map(|stdin| Box::new(stdin) as Box<dyn Read + Send>);
    made
}

/// Makes options with the defaults.
///
/// @param options  receives options owned by the caller; free with unsandbox_options_free. Required.
/// @param err      receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_options_new(
    options: *mut *mut unsandbox_options,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(options, "options", || {
            let made = unsandbox_options {
                deadline: None,
                cancel: None,
                output: None,
                stdin: Mutex::new(None),
            };
            Ok(Box::into_raw(Box::new(made)))
        })
    })
}

/// Sets how long a call may take in all, in milliseconds, after which it returns
/// UNSANDBOX_ERR_TIMEOUT. Without it a call waits for queue, compiler and ttl, and a margin.
///
/// @param timeout_ms  at least 1.
/// @param err         receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_options_set_timeout_ms(
    options: *mut unsandbox_options,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let options = handle_mut(options, "options")?;
        if timeout_ms == 0 {
            return Err(Error::argument("timeout_ms is 0; it must be at least 1"));
        }
        options.deadline = Some(Duration::from_millis(timeout_ms));
        Ok(())
    })
}

/// Gives calls a token that ends them.
///
/// @param token  shared; may be freed before the options.
/// @param err    receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_options_set_cancel_token(
    options: *mut unsandbox_options,
    token: *const unsandbox_cancel_token,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let options = handle_mut(options, "options")?;
        options.cancel = Some(handle(token, "token")?.token.clone());
        Ok(())
    })
}

/// Gives calls a function for output as it comes. The result has the whole output as well. The service
/// gives all of it at the end.
///
/// @param call       NULL ends it.
/// @param user_data  given to every call.
/// @param free_data  called with user_data when the last call has no more use for it; may be NULL.
/// @param err        receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT; user_data is freed then too.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_options_set_output(
    options: *mut unsandbox_options,
    call: unsandbox_output_fn,
    user_data: *mut c_void,
    free_data: unsandbox_free_fn,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let user_data = UserData::new(user_data, free_data);
        let options = handle_mut(options, "options")?;
        options.output = call.map(|call| Arc::new(Output { call, user_data }));
        Ok(())
    })
}

/// Gives the next call that runs a program a function that its standard input is read from, in
/// place of the request's. The local engine reads as the program does; for a server it is read to
/// its end first.
///
/// @param call       NULL takes it back.
/// @param user_data  given to every call.
/// @param free_data  called with user_data when the library has no more use for it; may be NULL.
/// @param err        receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT; user_data is freed then too.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_options_set_stdin(
    options: *mut unsandbox_options,
    call: unsandbox_read_fn,
    user_data: *mut c_void,
    free_data: unsandbox_free_fn,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let user_data = UserData::new(user_data, free_data);
        let options = handle_mut(options, "options")?;
        let stdin = call.map(|call| Stdin { call, user_data });
        let old = {
            let mut slot = options.stdin.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, stdin)
        };
        drop(old);
        Ok(())
    })
}

/// Frees options; NULL is fine. Calls that run keep what they took.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_options_free(options: *mut unsandbox_options) {
    ffi!(or(), { free(options) })
}
