// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the kernel end a program before its init when memory is short. A process may raise its own score
//! and lower it again; a child that it starts in between keeps the higher one.

use crate::sys;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

pub struct OomScore {
    file: File,
    own: String,
}

impl OomScore {
    /// For this process, which is made dumpable for a moment, so that it may open its own file in /proc. `None` where
    /// there is no such file; the kernel may then end the init first.
    pub fn of_this_process() -> Option<OomScore> {
        let _ = sys::prctl(libc::PR_SET_DUMPABLE, 1);
        let mut file =
            File::options().read(true).write(true).open("/proc/self/oom_score_adj").ok()?;
        let mut own = String::new();
        file.read_to_string(&mut own).ok()?;
        Some(OomScore { file, own })
    }

    /// To be called before a child is started, which the kernel then ends first.
    pub fn raise(&self) {
        let _ = self.file.write_at(b"1000", 0);
    }

    /// To be called once the child is started; the child may call it for its parent.
    pub fn restore(&self) {
        let _ = self.file.write_at(self.own.trim().as_bytes(), 0);
    }
}
