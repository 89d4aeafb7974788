// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boundary of every exported function: it stops panics, and turns errors into a number and an object.

use crate::error::unsandbox_error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use unsandbox_protocol::{Error, ErrorCode};

/// The body of an exported function.
///
/// `ffi!(err, { … })` is for operations: the block gives `Result<(), Error>`, or another status than
/// 0 through `Result<i32, Error>`. `ffi!(or default, { … })` is for functions that cannot fail; they
/// give `default` after a panic.
macro_rules! ffi {
    (or $default:expr, $body:block) => {
        $crate::boundary::infallible($default, || $body)
    };
    ($err:expr, $body:block) => {
        $crate::boundary::fallible($err, || $body)
    };
}
pub(crate) use ffi;

/// The value of an operation's body that did not fail.
pub trait Outcome {
    fn status(self) -> i32;
}

impl Outcome for () {
    fn status(self) -> i32 {
        0
    }
}

impl Outcome for i32 {
    fn status(self) -> i32 {
        self
    }
}

/// Runs the body of an operation; a failure goes to `*err` where the caller wants it.
pub fn fallible<T: Outcome>(
    err: *mut *mut unsandbox_error,
    body: impl FnOnce() -> Result<T, Error>,
) -> i32 {
    let error = match guarded(body) {
        Ok(Ok(outcome)) => return outcome.status(),
        Ok(Err(error)) => error,
        Err(text) => {
            Error::internal("the library panicked (a bug; please report it)").with_cause(text)
        }
    };
    let status = error.code().row().number;
    if !err.is_null() {
        // SAFETY: `err` is writable or NULL, by the contract of every operation.
        unsafe { err.write(Box::into_raw(unsandbox_error::boxed(error))) };
    }
    status
}

/// Runs the body of a function that cannot fail.
pub fn infallible<T>(default: T, body: impl FnOnce() -> T) -> T {
    guarded(body).unwrap_or(default)
}

fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    silence_panics();
    // State that a panicking body has changed is protected by a lock or not reachable any more.
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(feature = "panic-injection")]
        injection::panic_if_armed();
        body()
    }))
    .map_err(|payload| panic_text(&*payload))
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_string(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

/// Reports panics to the log callback and never to the host's standard error. The library has its own copy of the
/// standard library, so this does not change the host's hook.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| log::error!("panic: {info}")));
    });
}

/// ARGUMENT for a pointer that may not be NULL.
pub fn required<T>(pointer: *mut T, name: &str) -> Result<*mut T, Error> {
    if pointer.is_null() { Err(null(name)) } else { Ok(pointer) }
}

/// Gives a value to the caller. ARGUMENT, before the value is made, if the output pointer is NULL.
pub fn give_out<T>(
    out: *mut T,
    name: &str,
    value: impl FnOnce() -> Result<T, Error>,
) -> Result<(), Error> {
    let out = required(out, name)?;
    let value = value()?;
    // SAFETY: not NULL, and writable by the contract of the ABI.
    unsafe { out.write(value) };
    Ok(())
}

/// A handle that may be NULL.
pub fn optional_handle<'a, T>(pointer: *const T) -> Option<&'a T> {
    // SAFETY: a handle is NULL or came from its constructor and lives, by the contract of the ABI.
    unsafe { pointer.as_ref() }
}

/// A handle that may not be NULL.
pub fn handle<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Error> {
    optional_handle(pointer).ok_or_else(|| null(name))
}

/// A handle that only the caller uses, and that may not be NULL.
pub fn handle_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Error> {
    // SAFETY: as for `optional_handle`; types that are changed through it belong to one thread.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// Frees what `Box::into_raw` made; NULL is fine.
pub fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: it came from `Box::into_raw` and is freed once, by the contract of the ABI.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

fn null(name: &str) -> Error {
    Error::new(ErrorCode::Argument, format!("{name} is NULL"))
}

#[cfg(feature = "panic-injection")]
mod injection {
    use std::sync::atomic::{AtomicBool, Ordering};

    static ARMED: AtomicBool = AtomicBool::new(false);

    pub fn panic_if_armed() {
        assert!(!ARMED.load(Ordering::SeqCst), "forced by the test");
    }

    /// Makes every exported function panic (1), or stops it (0). Not part of the ABI.
    #[unsafe(no_mangle)]
    pub extern "C" fn unsandbox_test_arm_panics(armed: i32) {
        ARMED.store(armed != 0, Ordering::SeqCst);
    }
}
