// SPDX-License-Identifier: MIT OR Apache-2.0
//! The layers of isolation, a file each. The supervisor prepares them, an init puts them on itself and on programs.

pub mod ablation;
pub mod cgroup;
pub mod landlock;
pub mod level;
pub mod locks;
pub mod notify;
pub mod quota;
pub mod seccomp;
pub mod template;
