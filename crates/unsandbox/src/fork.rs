// SPDX-License-Identifier: MIT OR Apache-2.0
//! A value per process: after a fork the child makes a new one, and never touches its parent's sockets, locks or
//! jailer.

use std::fmt;
use std::sync::OnceLock;

/// A chain with one link for each process that used it. No lock is held between calls, so none can be
/// found locked in a child.
pub(crate) struct PerProcess<T> {
    slot: OnceLock<(u32, Option<T>)>,
    next: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        PerProcess { slot: OnceLock::new(), next: OnceLock::new() }
    }

    /// This process's value, made at its first use.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let pid = std::process::id();
        let mut make = Some(make);
        let mut link = self;
        loop {
            let (owner, value) = link.slot.get_or_init(|| (pid, make.take().map(|make| make())));
            match value {
                Some(value) if *owner == pid => return value,
                _ => link = link.next.get_or_init(|| Box::new(PerProcess::new())),
            }
        }
    }

    /// This process's value, if it has been made.
    #[cfg_attr(not(all(feature = "engine", target_os = "linux")), allow(dead_code))]
    pub(crate) fn get(&self) -> Option<&T> {
        let pid = std::process::id();
        let mut link = Some(self);
        while let Some(here) = link {
            match here.slot.get() {
                Some((owner, value)) if *owner == pid => return value.as_ref(),
                _ => link = here.next.get().map(Box::as_ref),
            }
        }
        None
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        // A value of another process is leaked: dropping it would act on that process.
        match self.slot.take() {
            Some((owner, value)) if owner != std::process::id() => std::mem::forget(value),
            _ => {}
        }
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerProcess")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_one_value_and_keeps_out_of_another_ones() {
        let values = PerProcess::new();
        assert!(values.get().is_none());
        assert_eq!(*values.get_or_init(|| 1), 1);
        assert_eq!(*values.get_or_init(|| 2), 1);
        assert_eq!(values.get(), Some(&1));

        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped in a process that does not own it");
            }
        }
        let foreign: PerProcess<Option<Bomb>> = PerProcess::new();
        assert!(foreign.slot.set((u32::MAX, Some(Some(Bomb)))).is_ok());
        assert!(foreign.get().is_none());
        assert!(foreign.get_or_init(|| None).is_none());
    }
}
