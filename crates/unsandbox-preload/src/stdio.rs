// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unsafe_code)]
//! For programs that print with C's stdio to a pipe: standard output is line-buffered. The functions that print are
//! counted on their way to the C library (`trampoline.rs`); after many of them in a moment (`count.rs`) standard output
//! is fully buffered for a while, and shown now and then, and before the program waits (`output.rs`). A program that sets
//! its own buffering keeps it.

mod count;
mod libc;
mod output;
mod real;
mod trampoline;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::Ordering::SeqCst;
use libc::*;

/// Called by the loader, perhaps after the first functions are.
#[unsafe(link_section = ".init_array")]
#[used]
static START: extern "C" fn() = start;

extern "C" fn start() {
    real::find_functions();
    // SAFETY: no other thread runs.
    unsafe {
        if !leave_environment() || !is_pipe(1) {
            return;
        }
    }
    count::IS_OURS.store(true, SeqCst);
    output::prepare();
    count::restart();
}

/// Opens a stream on a descriptor; one on that of standard output is used instead of the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdopen(descriptor: c_int, mode: *const c_char) -> *mut c_void {
    real::find_functions();
    let Some(open) = real::fdopen() else { return null_mut() };
    let stream = open(descriptor, mode);
    if descriptor == 1 && !stream.is_null() {
        output::adopt(stream);
    }
    stream
}

/// Takes this object out of LD_PRELOAD, so that neither the program nor its children find it there; in place, since
/// an environment that moves is noticed. Whether it was there, and first.
unsafe fn leave_environment() -> bool {
    const NAME: &[u8] = b"LD_PRELOAD=";
    const OURS: &[u8] = b"/build/live/stdio.so";
    // SAFETY: the environment is a list of C strings that ends with a null pointer, and no thread but this runs.
    unsafe {
        let mut place = environ;
        while !place.is_null() && !(*place).is_null() {
            let text = CStr::from_ptr(*place).to_bytes();
            if text.starts_with(NAME) {
                let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
                if !text[..end].ends_with(OURS) {
                    return false;
                }
                let rest = text.get(end + 1..).unwrap_or_default();
                if rest.is_empty() {
                    return unsetenv(c"LD_PRELOAD".as_ptr()) == 0;
                }
                let value = (*place).add(NAME.len());
                value.copy_from(rest.as_ptr().cast(), rest.len() + 1);
                return true;
            }
            place = place.add(1);
        }
    }
    false
}

fn is_pipe(descriptor: c_int) -> bool {
    // A pipe has a size that can be asked for, and nothing else has.
    // SAFETY: no pointer is passed.
    unsafe { fcntl(descriptor, F_GETPIPE_SZ) > 0 }
}
