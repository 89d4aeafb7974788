// SPDX-License-Identifier: MIT OR Apache-2.0
//! The locks that a step's program has put on before it runs, at either level: access to files (Landlock), capabilities,
//! new privileges, system calls.

use crate::layers::ablation::{Layer, is_left_out};
use crate::layers::landlock;
use crate::layers::level::Level;
use crate::layers::notify::Listener;
use crate::layers::seccomp::{self, Filters};
use crate::layers::template;
use crate::sys;
use rustix::rand::GetRandomFlags;
use rustix::thread::CpuSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub struct Locks<'a> {
    pub level: Level,
    /// The writable tree.
    pub tmp: String,
    /// Landlock's rules; at the full level they do not depend on the run and are made before it is known.
    files: Option<OwnedFd>,
    filters: &'a Filters,
    /// Filters of this level, installed in addition.
    added: Vec<Vec<libc::sock_filter>>,
}

/// In a full jail every device in /dev is harmless. Its /proc is its own, but must not be written: a process could
/// lower the score that makes the kernel end it before the init (`oom.rs`).
const FULL_DEVICES: &[&str] = &["/dev"];
const REDUCED_DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

pub type Failure = (&'static str, io::Error);
type Failed = Box<dyn std::error::Error>;

impl<'a> Locks<'a> {
    pub fn new(
        level: Level,
        tmp: &Path,
        show: &[String],
        filters: &'a Filters,
    ) -> Result<Self, Failure> {
        let tmp = tmp.to_string_lossy().into_owned();
        if level == Level::Full {
            let files = files(&["/".to_string()], &tmp, FULL_DEVICES)?;
            return Ok(Locks { level, tmp, files, filters, added: Vec::new() });
        }
        let standard = template::shown_always().map(str::to_string);
        // Of other processes, /proc shows only what every user may read; Landlock protects the rest.
        let readable: Vec<String> =
            standard.chain(show.iter().cloned()).chain(["/proc".to_string()]).collect();
        let files = files(&readable, &tmp, REDUCED_DEVICES)?;
        let added = added(landlock::kernel_abi(), filters)?;
        Ok(Locks { level, tmp, files, filters, added })
    }

    /// Adds filters for a run that the watchdog limits. Where it alone counts the memory, memfds are refused: one in
    /// transit over a socket, or one that is mapped and has no descriptor, would not be counted.
    pub fn add_accounting_filters(&mut self, is_alone: bool) {
        self.added.push(self.filters.accounting.clone());
        self.added.push(self.filters.uncounted_memory[usize::from(is_alone)].clone());
    }

    /// Puts the locks on this process, for good. In a full jail it has inherited most filters from its init.
    pub fn put_on(&self) -> Result<(), Failure> {
        no_new_privileges()?;
        if let Some(files) = &self.files {
            sys::restrict_files(files.as_fd()).map_err(|e| ("landlock", e))?;
        }
        if self.level == Level::Full {
            drop_capabilities()?;
            return install(self.added.iter());
        }
        drop_bounding_set()?;
        drop_capabilities()?;
        install([&self.filters.every].into_iter().chain(&self.added))
    }
}

/// The additional filters of a run without namespaces, for this version of Landlock.
fn added(abi: i32, filters: &Filters) -> Result<Vec<Vec<libc::sock_filter>>, Failure> {
    let broken = |error: Failed| ("seccomp", io::Error::other(error.to_string()));
    let mut added = vec![filters.reduced.clone(), filters.hidden_flags.clone()];
    if abi < seccomp::LANDLOCK_WITH_TRUNCATION {
        added.push(seccomp::without_truncation().map_err(broken)?);
    }
    if abi < seccomp::LANDLOCK_WITH_SIGNALS {
        added.push(seccomp::without_signals().map_err(broken)?);
    }
    Ok(added)
}

/// Puts on the init the locks that it does not need to be without and that its programs inherit. That is done before the
/// run is known, so that the run waits for less. Returns the listener for calls that are handed to the init, where the
/// kernel has one; with `counts`, calls that use a quota are among them.
pub fn put_on_init(filters: &Filters, counts: bool) -> Result<Option<Listener>, Failure> {
    if !is_left_out(Layer::Rlimits) {
        sys::no_core_file().map_err(|e| ("rlimits", e))?;
    }
    drop_bounding_set()?;
    no_new_privileges()?;
    install_asking(&filters.every_asking[usize::from(counts)], &filters.every)
}

/// The same for an init without namespaces.
pub fn put_on_reduced_init(filters: &Filters, counts: bool) -> Result<Option<Listener>, Failure> {
    no_new_privileges()?;
    install_asking(&filters.reduced_asking[usize::from(counts)], &filters.reduced_unasked)
}

/// Limits this process and its children to `count` of its processors, for good. The first one is random, so that runs do
/// not all share the same ones. To be called after the init's own filter is installed.
pub fn limit_cpus(count: u64) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| ("cpus", io::Error::from(error));
    let own = rustix::thread::sched_getaffinity(None).map_err(failed)?;
    let own: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| own.is_set(cpu)).collect();
    let mut first = [0u8; 2];
    rustix::rand::getrandom(&mut first[..], GetRandomFlags::empty()).map_err(failed)?;
    let first = usize::from(u16::from_ne_bytes(first));
    let mut chosen = CpuSet::new();
    for index in 0..own.len().min(usize::try_from(count).unwrap_or(usize::MAX)) {
        chosen.set(own[(first + index) % own.len()]);
    }
    rustix::thread::sched_setaffinity(None, &chosen).map_err(failed)?;
    let filter = seccomp::without_affinity();
    let filter = filter.map_err(|error| ("seccomp", io::Error::other(error.to_string())))?;
    install([&filter].into_iter())
}

/// Installs a filter that hands calls to this process, or `otherwise` where the process has a listener already or the
/// kernel has no listeners.
fn install_asking(
    asking: &[libc::sock_filter],
    otherwise: &[libc::sock_filter],
) -> Result<Option<Listener>, Failure> {
    if is_left_out(Layer::Seccomp) {
        return Ok(None);
    }
    let listener =
        Listener::install(asking).map(Some).or_else(|error| match error.raw_os_error() {
            Some(libc::EBUSY | libc::EINVAL) => sys::install_filter(otherwise).map(|()| None),
            _ => Err(error),
        });
    listener.map_err(|e| ("seccomp", e))
}

fn drop_bounding_set() -> Result<(), Failure> {
    if is_left_out(Layer::Rights) {
        return Ok(());
    }
    sys::drop_bounding_set().map_err(|e| ("capabilities", e))
}

fn drop_capabilities() -> Result<(), Failure> {
    if is_left_out(Layer::Rights) {
        return Ok(());
    }
    sys::drop_capabilities().map_err(|e| ("capabilities", e))
}

fn install<'a>(programs: impl Iterator<Item = &'a Vec<libc::sock_filter>>) -> Result<(), Failure> {
    for program in programs.filter(|_| !is_left_out(Layer::Seccomp)) {
        sys::install_filter(program).map_err(|e| ("seccomp", e))?;
    }
    Ok(())
}

fn no_new_privileges() -> Result<(), Failure> {
    sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(|e| ("no_new_privs", e))?;
    Ok(())
}

fn files(readable: &[String], tmp: &str, devices: &[&str]) -> Result<Option<OwnedFd>, Failure> {
    if is_left_out(Layer::Landlock) {
        return Ok(None);
    }
    let readable: Vec<&str> = readable.iter().map(String::as_str).collect();
    landlock::lock(&readable, &[tmp], devices)
        .map_err(|e| ("landlock", io::Error::other(e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(programs: &[Vec<libc::sock_filter>]) -> Vec<usize> {
        programs.iter().map(Vec::len).collect()
    }

    #[test]
    fn older_kernels_add_filters() {
        let filters = Filters::compile().unwrap();
        let signals = seccomp::without_signals().unwrap();
        let truncation = seccomp::without_truncation().unwrap();
        let of = |abi| lengths(&added(abi, &filters).unwrap());
        let (reduced, cut) = (filters.reduced.len(), truncation.len());
        let hidden = filters.hidden_flags.len();
        assert_eq!(of(6), [reduced, hidden]);
        assert_eq!(of(5), [reduced, hidden, signals.len()]);
        assert_eq!(of(3), [reduced, hidden, signals.len()]);
        assert_eq!(of(2), [reduced, hidden, cut, signals.len()]);
    }
}
