// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts of every callback: the host's pointer, and the function that frees it.

use std::ffi::c_void;

/// Frees the user_data of a callback.
pub type unsandbox_free_fn = Option<extern "C" fn(user_data: *mut c_void)>;

/// The host's pointer, freed by the host's function once the last user of it is gone.
pub struct UserData {
    pointer: *mut c_void,
    free: unsandbox_free_fn,
}

// SAFETY: the library only hands the pointer back; that the host's functions may be called with it
// on any thread is the documented contract of every callback.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    pub fn new(pointer: *mut c_void, free: unsandbox_free_fn) -> Self {
        UserData { pointer, free }
    }

    pub fn ptr(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            free(self.pointer);
        }
    }
}
