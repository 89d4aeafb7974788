// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard output of a runtime that writes each line with a system call. While the program prints much, its lines are
//! gathered in a file of the jail that this process has mapped. So nothing is lost, however the process ends: the jail's
//! init writes what is left there.

use super::functions::{errno, is_single_threaded};
use super::pace::{Look, Pace};
use super::system;
use super::{IS_GATHERED, OUTPUT};
use crate::GATHERED_BYTES;
use core::ffi::{c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*,
};

/// The head of the file; the text follows.
#[repr(C)]
struct Gathered {
    /// Where the text begins and, in the upper half, where it ends.
    range: AtomicU64,
    /// Whether a process has it. Of several that find the file the first does.
    is_taken: AtomicU32,
    unused: u32,
}

const ROOM: usize = GATHERED_BYTES - size_of::<Gathered>();
/// The most that is written at once: that much a pipe takes as a whole or not at all.
const WRITE_MAX: usize = 4096;
/// How often a thread yields to another one that adds or writes, and for how many milliseconds it waits then.
const YIELDS_MAX: usize = 100;
const WAIT_MAX_MS: usize = 2_000;

static FILE: AtomicPtr<Gathered> = AtomicPtr::new(null_mut());
/// Whether the file is this process's, in memory that a child finds empty; null before it is known.
static OWNED: AtomicPtr<AtomicBool> = AtomicPtr::new(null_mut());
static OWNER: AtomicI32 = AtomicI32::new(0);
/// The thread that adds or writes; 0 for none.
static LOCK: AtomicUsize = AtomicUsize::new(0);
/// Where the stack of that thread was then.
static LOCKED_AT: AtomicUsize = AtomicUsize::new(0);
/// A child that shares this memory (`vfork`) has another standard output.
static HAS_CHILD: AtomicBool = AtomicBool::new(false);
/// Whether an empty pipe takes as much as is gathered at most.
static HAS_LARGE_PIPE: AtomicBool = AtomicBool::new(false);
static PACE: Pace = Pace::new();

/// Parts of a text, as `writev` takes them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Part {
    pub bytes: *const u8,
    pub len: usize,
}

/// Uses the file at this path. Whether there is one.
pub fn prepare(path: *const c_char) -> bool {
    let Some(file) = system::open(path) else { return false };
    // A page that has no block in the file ends a process that writes to it: the engine has filled it.
    if system::len(file) == GATHERED_BYTES as isize
        && let Some(place) = system::map(file, GATHERED_BYTES)
        && let Some(owned) = system::map(-1, size_of::<AtomicBool>())
    {
        let (place, owned) = (place.cast::<Gathered>(), owned.cast::<AtomicBool>());
        // SAFETY: both are mapped, are large enough, and stay.
        let is_first = unsafe { (*place).is_taken.swap(1, AcqRel) == 0 };
        if is_first {
            // SAFETY: as above.
            unsafe { (*owned).store(true, Relaxed) };
            OWNER.store(system::process_id(), Relaxed);
            let has_room = system::pipe_size(OUTPUT) >= 2 * GATHERED_BYTES as isize;
            HAS_LARGE_PIPE.store(has_room, Relaxed);
            PACE.restart();
            FILE.store(place, Release);
            OWNED.store(owned, Release);
        }
    }
    system::close(file);
    true
}

pub fn is_ours() -> bool {
    file().is_some()
}

/// The file, if it is this process's.
fn file() -> Option<&'static Gathered> {
    let owned = OWNED.load(Acquire);
    // SAFETY: mapped as long as the process lives.
    unsafe {
        if owned.is_null() || !(*owned).load(Relaxed) {
            return None;
        }
        FILE.load(Acquire).as_ref()
    }
}

/// The file, locked. `is_nested`: by this thread already, whose handler of a signal this is; it may show the text and
/// add nothing.
struct Locked {
    file: &'static Gathered,
    is_nested: bool,
}

impl Locked {
    fn take(is_patient: bool) -> Option<Locked> {
        let (file, thread) = (file()?, system::thread());
        let here = (&raw const thread).addr();
        for tries in 0.. {
            let owner = match is_single_threaded() {
                // Without the price of a locked instruction. A handler of a signal gives it back.
                true => match LOCK.load(Relaxed) {
                    0 => {
                        LOCK.store(thread, Relaxed);
                        Ok(0)
                    }
                    owner => Err(owner),
                },
                false => LOCK.compare_exchange(0, thread, Acquire, Relaxed),
            };
            match owner {
                Ok(_) => {
                    LOCKED_AT.store(here, Relaxed);
                    return Some(Locked { file, is_nested: false });
                }
                // A stack that has not grown since: the program has jumped out of the function that took it.
                Err(owner) if owner == thread => {
                    return Some(Locked { file, is_nested: here < LOCKED_AT.load(Relaxed) });
                }
                Err(_) if !is_patient || tries > YIELDS_MAX + WAIT_MAX_MS => break,
                Err(_) if tries < YIELDS_MAX => system::yield_now(),
                Err(_) => system::wait_a_millisecond(),
            }
        }
        None
    }

    fn text(&self) -> *mut u8 {
        core::ptr::from_ref(self.file).cast_mut().wrapping_add(1).cast()
    }

    /// Where the text begins and ends, also as one number.
    fn range(&self) -> (u64, usize, usize) {
        let range = self.file.range.load(Acquire);
        (range, range as u32 as usize, (range >> 32) as usize)
    }

    /// Whether it was still this one: a handler of a signal may have changed it, and no other thread.
    fn set_range(&self, before: u64, begin: usize, end: usize) -> bool {
        system::replace(&self.file.range, before, begin as u64 | (end as u64) << 32)
    }

    fn is_empty(&self) -> bool {
        let (_, begin, end) = self.range();
        begin >= end
    }

    /// Whether there was room.
    fn add(&self, parts: &[Part]) -> bool {
        let mut len = 0_usize;
        for part in parts {
            len = len.saturating_add(part.len);
        }
        loop {
            let (before, begin, end) = self.range();
            if len > ROOM.saturating_sub(end) {
                return false;
            }
            let mut at = end;
            for part in parts {
                // SAFETY: the caller's bytes; there is room, as has been seen.
                unsafe { copy(part.bytes, self.text().add(at), part.len) };
                at += part.len;
            }
            // A handler of a signal may have shown the text meanwhile.
            if self.set_range(before, begin, at) {
                IS_GATHERED.store(true, Relaxed);
                return true;
            }
        }
    }

    /// Writes the text; what cannot be written is gone, with errno saying why. A part counts as written before it is,
    /// since the process may be ended right after it, and the init would write it once more; so the pipe must have room for it.
    fn show(&self) -> bool {
        let is_written = loop {
            let (before, begin, end) = self.range();
            if begin >= end {
                break true;
            }
            let mut len = end.min(ROOM) - begin;
            // An empty pipe has room for all.
            if !HAS_LARGE_PIPE.load(Relaxed) || !system::is_empty(OUTPUT) {
                len = self.first_lines(begin, begin + len);
                system::await_room(OUTPUT);
            }
            if self.set_range(before, begin + len, end)
                && !write_all(self.text().wrapping_add(begin), len)
            {
                break false;
            }
        };
        let (before, begin, end) = self.range();
        if (begin >= end || !is_written) && self.set_range(before, 0, 0) {
            IS_GATHERED.store(false, Relaxed);
        }
        is_written
    }

    /// How much of the text to write at once: whole lines, if there are.
    fn first_lines(&self, begin: usize, end: usize) -> usize {
        if end - begin <= WRITE_MAX {
            return end - begin;
        }
        let mut len = WRITE_MAX;
        // SAFETY: within the text.
        while len > 0 && unsafe { *self.text().add(begin + len - 1) } != b'\n' {
            len -= 1;
        }
        if len > 0 { len } else { WRITE_MAX }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if !self.is_nested {
            LOCK.store(0, Release);
        }
    }
}

fn write_all(mut bytes: *const u8, mut len: usize) -> bool {
    while len > 0 {
        let written = system::write(OUTPUT, bytes, len);
        if written >= 0 {
            len -= (written as usize).min(len);
            bytes = bytes.wrapping_add(written as usize);
        } else if !try_again() {
            return false;
        }
    }
    true
}

/// Whether a write that failed is to be tried again.
fn try_again() -> bool {
    const EINTR: c_int = 4;
    const EAGAIN: c_int = 11;
    match errno() {
        Some(&mut EINTR) => true,
        Some(&mut EAGAIN) => {
            system::await_room(OUTPUT);
            true
        }
        _ => false,
    }
}

/// Adds what is written to standard output, and shows it unless it is gathered. `None`: the C library is to write it.
pub fn write(parts: &[Part]) -> Option<bool> {
    if HAS_CHILD.load(Relaxed) && is_child() {
        return None;
    }
    let locked = Locked::take(true)?;
    if locked.is_nested {
        locked.show();
        return None;
    }
    if !PACE.is_gathering() && locked.is_empty() {
        count();
        return None;
    }
    if !locked.add(parts) {
        let is_written = locked.show();
        if !is_written {
            return Some(false);
        }
        if !locked.add(parts) {
            return None;
        }
    }
    if count() || !PACE.is_gathering() { Some(locked.show()) } else { Some(true) }
}

/// Counts a line; whether it is to be shown now.
fn count() -> bool {
    if !PACE.count() {
        return false;
    }
    match PACE.look() {
        Look::Little | Look::Wait => false,
        Look::Gather => {
            PACE.gather();
            false
        }
        Look::Show => true,
        Look::ShowEach => {
            PACE.restart();
            true
        }
    }
}

/// Adds a text, and whether it was: where that needs no system call, and does not make it due to be shown. `None`: nothing is
/// gathered in this process.
pub fn keep(part: Part) -> Option<bool> {
    file()?;
    let Some(locked) = Locked::take(false) else { return Some(false) };
    if locked.is_nested {
        return Some(false);
    }
    if !holds_line_end(part) {
        return Some(locked.add(&[part]));
    }
    let is_added = PACE.is_gathering() && !PACE.is_due() && locked.add(&[part]);
    if is_added {
        PACE.count();
    }
    Some(is_added)
}

fn holds_line_end(part: Part) -> bool {
    let mut at = part.len;
    while at > 0 {
        at -= 1;
        // SAFETY: within the caller's bytes.
        if unsafe { *part.bytes.add(at) } == b'\n' {
            return true;
        }
    }
    false
}

/// Shows what is gathered, unless it is written at this moment. Whether it could be written.
pub fn show() -> bool {
    match Locked::take(false) {
        Some(locked) if !locked.is_empty() => is_child() || locked.show(),
        _ => true,
    }
}

/// Standard output is another file from now on.
pub fn leave() {
    if file().is_none() {
        return;
    }
    if is_child() {
        return HAS_CHILD.store(true, Relaxed);
    }
    // SAFETY: mapped, as `file` has seen.
    unsafe { (*OWNED.load(Relaxed)).store(false, Relaxed) };
}

/// Whether this is a child that shares the memory of the file's process, until it executes a program.
fn is_child() -> bool {
    let is_child = OWNER.load(Relaxed) != system::process_id();
    if !is_child {
        HAS_CHILD.store(false, Relaxed);
    }
    is_child
}

/// # Safety
/// `from` holds `len` bytes, `to` has room for them, and they lie apart.
unsafe fn copy(mut from: *const u8, mut to: *mut u8, mut len: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        while len >= 8 {
            to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned());
            (from, to, len) = (from.add(8), to.add(8), len - 8);
        }
        while len > 0 {
            *to = *from;
            (from, to, len) = (from.add(1), to.add(1), len - 1);
        }
    }
}
