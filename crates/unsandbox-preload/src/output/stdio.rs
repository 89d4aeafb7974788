// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard output of a program that prints with C's stdio: line-buffered, and fully buffered while the program prints
//! much. A program that sets its own buffering keeps it.

use super::IS_GATHERED;
use super::functions::{found, function, is_glibc};
use super::pace::{Look, Pace};
use super::system::{self, process_id, thread};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::Relaxed};

const FULL: c_int = 0;
const LINE: c_int = 1;

/// Whether the buffering of standard output is this object's to set.
static IS_OURS: AtomicBool = AtomicBool::new(false);
/// The process that prints: a child of it may hold text in its buffer that its parent writes.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// Whether the program prints without the stream's lock. Then its buffer is for one thread alone, the last that was seen
/// to print.
pub static IS_UNLOCKED: AtomicBool = AtomicBool::new(false);
static PRINTER: AtomicUsize = AtomicUsize::new(0);

/// Whether this process has been seen, in memory that a child finds empty; null for unknown.
static IS_KNOWN: AtomicPtr<AtomicBool> = AtomicPtr::new(null_mut());

/// Standard output, which is gathered; null before it is known.
pub static STREAM: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

pub static PACE: Pace = Pace::new();

pub fn prepare() {
    if let Some(place) = system::map(-1, size_of::<AtomicBool>()) {
        // SAFETY: mapped, large enough, and stays.
        unsafe { (*place.cast::<AtomicBool>()).store(true, Relaxed) };
        IS_KNOWN.store(place.cast(), Relaxed);
    }
    STREAM.store(output(), Relaxed);
    PRINTER.store(thread(), Relaxed);
    OWNER.store(process_id(), Relaxed);
    IS_OURS.store(true, Relaxed);
    with_output(|stream| set_buffering(stream, LINE));
    PACE.restart();
    IS_GATHERED.store(true, Relaxed);
}

/// What there is to do when it is time to look.
pub fn look() {
    // A buffer of wide characters does not bear another kind of buffering.
    if !IS_OURS.load(Relaxed) || is_wide(output()) {
        return PACE.stop();
    }
    if begin_in_child() {
        return;
    }
    let look = PACE.look();
    if matches!(look, Look::Wait) {
        return;
    }
    PRINTER.store(thread(), Relaxed);
    match look {
        Look::Little | Look::Wait => {}
        Look::Gather => match with_output(|stream| set_buffering(stream, FULL)) {
            true => PACE.gather(),
            false => PACE.restart(),
        },
        Look::Show => {
            with_output(|_| ());
        }
        Look::ShowEach => {
            if with_output(|stream| set_buffering(stream, LINE)) {
                PACE.restart();
            }
        }
    }
}

pub fn is_ours() -> bool {
    IS_OURS.load(Relaxed)
}

/// Shows what is gathered, or a line without an end.
pub fn show() {
    if is_empty(output()) || is_locked(output()) {
        return;
    }
    let is_possible = !IS_UNLOCKED.load(Relaxed) || PRINTER.load(Relaxed) == thread();
    if is_possible && (begin_in_child() || OWNER.load(Relaxed) == process_id()) {
        with_output(|_| ());
    }
}

/// In a child by `fork` that prints or waits for the first time: shows each line again. Its parent has shown what it had
/// before it forked.
fn begin_in_child() -> bool {
    let place = IS_KNOWN.load(Relaxed);
    // SAFETY: mapped, as `prepare` has done.
    let is_known = place.is_null() || unsafe { (*place).swap(true, Relaxed) };
    if is_known {
        return false;
    }
    OWNER.store(process_id(), Relaxed);
    PRINTER.store(thread(), Relaxed);
    with_output(|stream| set_buffering(stream, LINE));
    PACE.restart();
    true
}

/// Whether standard output has text in its buffer.
pub fn has_text() -> bool {
    !is_empty(output())
}

/// The program sets the buffering of this stream itself, or closes it.
pub fn leave(stream: *mut c_void) {
    if stream == output() {
        IS_OURS.store(false, Relaxed);
        STREAM.store(null_mut(), Relaxed);
    }
}

/// The program opens another file as this stream, which has the usual buffering then. Whether it is standard output.
pub fn leave_file(stream: *mut c_void) -> bool {
    if stream != output() {
        return false;
    }
    if IS_OURS.load(Relaxed) && !is_wide(stream) {
        with_output(|stream| set_buffering(stream, FULL));
    }
    leave(stream);
    true
}

/// The program forbids itself system calls, of which this object makes more than the C library would.
pub fn leave_line_buffered() {
    // A child that shares this memory forbids it itself alone.
    if IS_OURS.load(Relaxed) && OWNER.load(Relaxed) == process_id() {
        if PACE.is_gathering() {
            with_output(|stream| set_buffering(stream, LINE));
        }
        leave(output());
    }
}

/// The program handles a signal: `putc`, too, is to lock the stream, so that a handler in its midst finds it in use.
pub fn lock_each_character() {
    // In glibc, where this place is part of the ABI. Versions before 2.26 always lock.
    const FLAGS: usize = 29;
    const NEED_LOCK: c_int = 128;
    let stream = output();
    if IS_OURS.load(Relaxed) && is_glibc() && !stream.is_null() {
        // SAFETY: a stream of that library, which sets the flag itself when a thread is started.
        unsafe { *stream.cast::<c_int>().add(FLAGS) |= NEED_LOCK };
    }
}

/// The stream; null for none.
fn output() -> *mut c_void {
    let place: *mut *mut c_void = found!(stdout).cast();
    // SAFETY: the C library's variable, which is never unmapped.
    if place.is_null() { null_mut() } else { unsafe { *place } }
}

/// Writes what is in its buffer and calls `change`, unless another thread uses it at this moment. This one may have locked it
/// for several calls.
fn with_output(change: impl Fn(*mut c_void)) -> bool {
    type OfStream = extern "C" fn(*mut c_void) -> c_int;
    let stream = output();
    let (Some(try_lock), Some(flush), Some(unlock)) = (
        function!(ftrylockfile: OfStream),
        function!(fflush_unlocked: OfStream),
        function!(funlockfile: extern "C" fn(*mut c_void)),
    ) else {
        return false;
    };
    if stream.is_null() || try_lock(stream) != 0 {
        return false;
    }
    let state = set_cancellation(1);
    flush(stream);
    change(stream);
    set_cancellation(state);
    unlock(stream);
    true
}

/// Whether a thread has locked it, perhaps this one: then a handler of a signal may have interrupted a call that prints.
fn is_locked(stream: *mut c_void) -> bool {
    // In glibc, where these places are part of the ABI.
    const LOCK: usize = 17;
    const OWNER: usize = 1;
    if !is_glibc() {
        return false;
    }
    // SAFETY: a stream of that library has a lock, which has an owner.
    unsafe {
        let lock = *stream.cast::<*mut *mut c_void>().add(LOCK);
        !lock.is_null() && !(*lock.add(OWNER)).is_null()
    }
}

/// Forbids (1) or allows (0) that the thread is cancelled in a write, with the stream locked; the state before.
fn set_cancellation(state: c_int) -> c_int {
    type Set = extern "C" fn(c_int, *mut c_int) -> c_int;
    let mut before = 0;
    if let Some(set) = function!(pthread_setcancelstate: Set) {
        set(state, &mut before);
    }
    before
}

fn is_wide(stream: *mut c_void) -> bool {
    type Wide = extern "C" fn(*mut c_void, c_int) -> c_int;
    function!(fwide: Wide).is_some_and(|orientation| orientation(stream, 0) > 0)
}

// Places of glibc's streams, in words: part of its ABI, since `putc_unlocked` has them in programs.
const WRITE_BASE: usize = 4;
const WRITE_POINTER: usize = 5;
const WRITE_END: usize = 6;

fn is_empty(stream: *mut c_void) -> bool {
    let words = stream.cast::<*mut c_void>();
    // SAFETY: a stream of that library; another thread's write may be seen or not.
    !stream.is_null()
        && is_glibc()
        && unsafe { *words.add(WRITE_POINTER) == *words.add(WRITE_BASE) }
}

/// Sets the buffering of a stream whose buffer is empty and stays.
fn set_buffering(stream: *mut c_void, mode: c_int) {
    type Set = extern "C" fn(*mut c_void, *mut c_void, c_int, usize) -> c_int;
    let Some(set) = function!(setvbuf: Set) else { return };
    set(stream, null_mut(), mode, 0);
    if mode == LINE && is_glibc() && !is_wide(stream) {
        // Its macros and printf look for the end of the room before they look for the buffering.
        let words = stream.cast::<*mut c_void>();
        // SAFETY: a stream of that library, used with its lock.
        unsafe { *words.add(WRITE_END) = *words.add(WRITE_POINTER) };
    }
}
