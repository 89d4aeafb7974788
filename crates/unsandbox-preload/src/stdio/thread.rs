// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread that shows what a program prints while it prints much.

use super::count::{IS_OURS, restart, stop};
use super::libc::*;
use super::real;
use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering::SeqCst};

/// Nanoseconds between two looks.
const TICK: i64 = 20_000_000;
/// Looks after which lines are shown and counted again.
const TICKS: usize = 10;

static IS_RUNNING: AtomicBool = AtomicBool::new(false);
static IS_SHOWING: AtomicBool = AtomicBool::new(false);
/// Forks that are under way, and the end of the process: the thread leaves standard output alone.
static HOLDS: AtomicI64 = AtomicI64::new(0);

/// The stream that is standard output instead of the C library's own; null for none.
static ADOPTED: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

pub fn is_running() -> bool {
    IS_RUNNING.load(SeqCst)
}

/// Makes standard output line-buffered, and has the thread stopped at the end of the process and while it forks.
pub fn prepare() {
    with_output(|| set_buffering(_IOLBF));
    type Handler = extern "C" fn();
    type AtFork = extern "C" fn(Handler, Handler, Handler, *const c_void) -> c_int;
    // SAFETY: the functions have these types in every C library that has them.
    unsafe {
        atexit(hold);
        // glibc has it under the first name, others under the second.
        for name in [c"__register_atfork", c"pthread_atfork"] {
            let found = dlsym(RTLD_NEXT, name.as_ptr());
            if !found.is_null() {
                let at_fork: AtFork = core::mem::transmute(found);
                at_fork(before_fork, after_fork, after_fork_in_child, null());
                break;
            }
        }
    }
}

/// Starts the thread; whether it could be started.
pub fn start() -> bool {
    if IS_RUNNING.swap(true, SeqCst) {
        return true;
    }
    stop();
    // Here, where this thread prints nothing: it would hold the lock of a line-buffered stream most of its time.
    let is_started = with_output(|| set_buffering(_IOFBF)) && create();
    if !is_started {
        with_output(|| set_buffering(_IOLBF));
        IS_RUNNING.store(false, SeqCst);
    }
    is_started
}

fn create() -> bool {
    let (mut thread, mut mask) = (0, [0; 16]);
    // SAFETY: the arguments live as long as the calls. Signals are for the program's own threads; the new one is not
    // waited for.
    unsafe {
        pthread_sigmask(SIG_SETMASK, &[u64::MAX; 16], &mut mask);
        let status = pthread_create(&mut thread, null(), main, null_mut());
        pthread_sigmask(SIG_SETMASK, &mask, null_mut());
        status == 0 && pthread_detach(thread) == 0
    }
}

extern "C" fn main(_: *mut c_void) -> *mut c_void {
    for _ in 0..TICKS {
        wait();
        with_output(|| ());
    }
    while !with_output(|| set_buffering(_IOLBF)) && IS_OURS.load(SeqCst) {
        wait();
    }
    IS_RUNNING.store(false, SeqCst);
    restart();
    null_mut()
}

fn wait() {
    // SAFETY: a time, and no place for what is left of it.
    unsafe { nanosleep(&[0, TICK], null_mut()) };
}

/// Does this and writes what is in the buffer, unless standard output is used at this moment or no longer ours.
fn with_output(change: impl Fn()) -> bool {
    IS_SHOWING.store(true, SeqCst);
    let is_free = HOLDS.load(SeqCst) == 0 && IS_OURS.load(SeqCst);
    let is_done = is_free && with_lock(change);
    IS_SHOWING.store(false, SeqCst);
    is_done
}

fn with_lock(change: impl Fn()) -> bool {
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
    if !is_running() && IS_OURS.load(SeqCst) {
        ADOPTED.store(stream, SeqCst);
        with_output(|| set_buffering(_IOLBF));
    }
}

/// Shows what is gathered.
pub fn show() {
    if is_running() && IS_OURS.load(SeqCst) {
        with_lock(|| ());
    }
}

/// Standard output is the program's own from now on.
pub fn leave() {
    IS_OURS.store(false, SeqCst);
    await_thread();
}

/// The same, with the buffering that a pipe has by itself.
pub fn leave_buffered() {
    with_output(|| set_buffering(_IOFBF));
    leave();
}

extern "C" fn hold() {
    HOLDS.fetch_add(1, SeqCst);
    await_thread();
}

fn await_thread() {
    while IS_SHOWING.load(SeqCst) {
        // SAFETY: no argument.
        unsafe { sched_yield() };
    }
}

/// What is gathered is the parent's: the child would write it once more.
extern "C" fn before_fork() {
    hold();
    show();
}

extern "C" fn after_fork() {
    HOLDS.fetch_sub(1, SeqCst);
}

extern "C" fn after_fork_in_child() {
    HOLDS.store(0, SeqCst);
    if IS_RUNNING.swap(false, SeqCst) {
        with_output(|| set_buffering(_IOLBF));
        restart();
    }
}
