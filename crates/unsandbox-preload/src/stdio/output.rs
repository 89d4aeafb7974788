// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard output: line-buffered, and fully buffered while the program prints much. No thread of ours watches it: a
//! second thread would make the C library lock its streams and its memory, and `putc_unlocked` knows no lock.

use super::count::{self, IS_OURS};
use super::libc::*;
use super::real;
use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

static IS_GATHERING: AtomicBool = AtomicBool::new(false);

/// The stream that is standard output instead of the C library's own; null for none.
static ADOPTED: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Makes standard output line-buffered, and shows what is gathered before a fork: the child would write it once more.
pub fn prepare() {
    with_output(|| set_buffering(_IOLBF));
    type Handler = Option<extern "C" fn()>;
    type AtFork = extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;
    // glibc has it under the first name, others under the second.
    for name in [c"__register_atfork", c"pthread_atfork"] {
        // SAFETY: a C string; the function has this type in every C library that has it.
        unsafe {
            let found = dlsym(RTLD_NEXT, name.as_ptr());
            if !found.is_null() {
                let at_fork: AtFork = core::mem::transmute(found);
                at_fork(Some(before_fork), None, None, null());
                break;
            }
        }
    }
}

extern "C" fn before_fork() {
    show();
}

/// What there is to do when the calls are used up that the program had.
pub fn look() {
    if !IS_OURS.load(SeqCst) {
        return count::stop();
    }
    match (IS_GATHERING.load(SeqCst), count::is_busy()) {
        (false, true) if with_output(|| set_buffering(_IOFBF)) => {
            IS_GATHERING.store(true, SeqCst);
            count::begin_gathering();
        }
        (false, _) => count::restart(),
        (true, _) => match count::gathered() {
            count::Gathered::Little => {}
            count::Gathered::ToShow => {
                with_output(|| ());
            }
            count::Gathered::LongEnough => {
                if with_output(|| set_buffering(_IOLBF)) {
                    IS_GATHERING.store(false, SeqCst);
                    count::restart();
                }
            }
        },
    }
}

/// Writes what is in the buffer and does this, unless another thread uses standard output at this moment.
fn with_output(change: impl Fn()) -> bool {
    // SAFETY: the stream is used with its lock alone.
    unsafe {
        if ftrylockfile(stream()) != 0 {
            return false;
        }
        fflush_unlocked(stream());
        change();
        funlockfile(stream());
    }
    true
}

/// Sets the buffering of standard output, whose buffer is empty and stays.
fn set_buffering(mode: c_int) {
    let Some(set) = real::setvbuf() else { return };
    set(stream(), null_mut(), mode, 0);
    // SAFETY: a stream; mode 0 asks.
    let is_wide = unsafe { fwide(stream(), 0) } > 0;
    if mode == _IOLBF && real::is_glibc() && !is_wide {
        // Its macros and printf look for the end of the room before they look for the buffering. These places are part
        // of its ABI, since `putc_unlocked` has them in programs.
        const WRITE_POINTER: usize = 5;
        const WRITE_END: usize = 6;
        let words = stream().cast::<*mut c_void>();
        // SAFETY: a stream of that library, used with its lock.
        unsafe { *words.add(WRITE_END) = *words.add(WRITE_POINTER) };
    }
}

pub fn stream() -> *mut c_void {
    let adopted = ADOPTED.load(SeqCst);
    // SAFETY: the C library has set it.
    if adopted.is_null() { unsafe { stdout } } else { adopted }
}

/// Takes another stream on the descriptor of standard output for standard output, as Perl has one.
pub fn adopt(stream: *mut c_void) {
    if !IS_GATHERING.load(SeqCst) && IS_OURS.load(SeqCst) {
        ADOPTED.store(stream, SeqCst);
        with_output(|| set_buffering(_IOLBF));
    }
}

/// Shows what is gathered.
pub fn show() {
    if IS_GATHERING.load(SeqCst) && IS_OURS.load(SeqCst) {
        with_output(|| ());
    }
}

/// Standard output is the program's own from now on.
pub fn leave() {
    IS_OURS.store(false, SeqCst);
}
