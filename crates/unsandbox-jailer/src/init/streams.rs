// SPDX-License-Identifier: MIT OR Apache-2.0
//! The descriptors that a program is given as its standard streams.

use std::os::fd::OwnedFd;

/// Standard streams of the run step; the compiler's output goes to `stderr` as well.
pub struct Streams {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Where a step's streams go.
pub enum RunStreams<'a> {
    Own(Streams),
    Compiler(&'a OwnedFd),
}
