// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unsafe_code)]
//! For programs that print with C's stdio to a pipe: standard output is line-buffered. The functions that print are
//! counted on their way to the C library ([`trampoline`]); after [`BUDGET`] calls in [`MOMENT`] standard output is
//! fully buffered for a while, and a thread shows every [`TICK`] what is in it. A program that sets its own buffering
//! keeps it.

mod libc;
mod thread;
mod trampoline;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use libc::*;

/// Calls after which a program may be one that prints much; a line costs a microsecond.
const BUDGET: i64 = 1_000;
/// Nanoseconds.
const MOMENT: i64 = 20_000_000;

/// Calls that are left. Until the C library's functions are known there is none.
static LEFT: AtomicI64 = AtomicI64::new(-1);
static SINCE: AtomicI64 = AtomicI64::new(0);
/// Whether standard output is this object's to set.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Called by the loader, perhaps after the first functions are.
#[unsafe(link_section = ".init_array")]
#[used]
static START: extern "C" fn() = start;

extern "C" fn start() {
    trampoline::find_functions();
    // SAFETY: no other thread runs.
    unsafe {
        if !leave_environment() || !is_pipe(1) {
            return;
        }
    }
    IS_OURS.store(true, SeqCst);
    thread::prepare();
    restart();
}

/// Counts anew.
fn restart() {
    SINCE.store(nanoseconds(), SeqCst);
    LEFT.store(BUDGET, SeqCst);
}

/// Called when no calls are left.
extern "C" fn tick() {
    trampoline::find_functions();
    // SAFETY: the address of this thread's errno.
    let errno = unsafe { *errno_place() };
    if !IS_OURS.load(SeqCst) || thread::is_running() {
        LEFT.store(i64::MAX, SeqCst);
    } else if nanoseconds() - SINCE.load(SeqCst) > MOMENT || !thread::start() {
        restart();
    }
    // SAFETY: as above.
    unsafe { *errno_place() = errno };
}

/// Called before the program ends in a way that loses what is in a buffer, or starts another.
extern "C" fn show() {
    trampoline::find_functions();
    // SAFETY: as above.
    let errno = unsafe { *errno_place() };
    thread::show();
    // SAFETY: as above.
    unsafe { *errno_place() = errno };
}

/// Called when the program sets the buffering of a stream itself.
extern "C" fn give_up(stream: *mut c_void) {
    trampoline::find_functions();
    if stream == thread::stream() {
        IS_OURS.store(false, SeqCst);
    }
}

/// Opens a stream on a descriptor; one on that of standard output is used instead of the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdopen(descriptor: c_int, mode: *const c_char) -> *mut c_void {
    trampoline::find_functions();
    let Some(open) = trampoline::real_fdopen() else { return null_mut() };
    let stream = open(descriptor, mode);
    if descriptor == 1 && !stream.is_null() {
        thread::adopt(stream);
    }
    stream
}

fn nanoseconds() -> i64 {
    let mut time = [0; 2];
    // SAFETY: room for the time.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
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
