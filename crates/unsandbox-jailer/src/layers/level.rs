// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two levels of isolation, as the jailer's own processes know them.

/// How strong the jail around an init is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Namespaces and a root of its own.
    Full,
    /// Neither: Landlock and the filters alone. In place of an id of the namespace, one of the host
    /// to take, where the jailer is root.
    Reduced { id: Option<u32> },
}
