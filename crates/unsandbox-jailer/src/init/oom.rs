// SPDX-License-Identifier: MIT OR Apache-2.0
//! Has the kernel end a program before its init when memory is short. A process may raise its own score
//! and take that back; what it starts in between keeps the higher one.

use crate::sys;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

pub struct OomScore {
    file: File,
    own: String,
}

impl OomScore {
    /// For this process, which for a moment owns its files in /proc: only one that may be dumped does. None
    /// where there is no such file; a short memory then ends what it likes.
    pub fn of_this_process() -> Option<OomScore> {
        let _ = sys::prctl(libc::PR_SET_DUMPABLE, 1);
        let mut file =
            File::options().read(true).write(true).open("/proc/self/oom_score_adj").ok()?;
        let mut own = String::new();
        file.read_to_string(&mut own).ok()?;
        Some(OomScore { file, own })
    }

    /// Before a child is started, which goes first from then on.
    pub fn raise(&self) {
        let _ = self.file.write_at(b"1000", 0);
    }

    /// Once it is: also by the child itself, for its parent.
    pub fn restore(&self) {
        let _ = self.file.write_at(self.own.trim().as_bytes(), 0);
    }
}
