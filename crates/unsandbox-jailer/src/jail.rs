// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clones a jail's init into its namespaces and gives it one unprivileged id.

use crate::cgroup::{Group, Groups};
use crate::init::{self, Birth};
use crate::network::Networks;
use crate::seccomp::Filters;
use crate::template::{self, JAIL_ID};
use crate::{probe, sys};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use unsandbox_jailer::channel;
use unsandbox_jailer::message::Trouble;

/// Every namespace that a jail has of its own; the network comes from the pool.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Ids of the host that jails run as when the host is root: high up, where no account is.
const ROOT_IDS_FIRST: u32 = 0x7000_0000;
const ROOT_IDS_COUNT: u32 = 0x1_0000;

/// A jail that waits for its run, or has it.
pub struct Jail {
    pub pid: libc::pid_t,
    pub leash: OwnedFd,
    pub network: OwnedFd,
    pub group: Option<Group>,
    /// The host's id behind the jail's one.
    pub host_id: u32,
}

/// Makes jails.
pub struct Builder {
    filters: Filters,
    home: OwnedFd,
    templates: HashMap<Vec<String>, OwnedFd>,
    pub networks: Networks,
    pub groups: Result<Groups, String>,
    is_root: bool,
    ids: IdRange,
    serial: u64,
}

struct IdRange {
    first: u32,
    count: u32,
}

pub type Doubt<T> = Result<T, Trouble>;

pub fn trouble<'a>(layer: &'a str, what: &'a str) -> impl FnOnce(io::Error) -> Trouble + 'a {
    move |error| Trouble {
        layer: layer.to_string(),
        what: format!("{what}: {error}"),
        errno: error.raw_os_error().unwrap_or(0),
        fix: probe::fix_for(layer, error.raw_os_error().unwrap_or(0)),
    }
}

impl Builder {
    /// Takes this process to where it can make jails: into a user namespace of its own unless it is
    /// root, and into a mount namespace of its own.
    pub fn new() -> Doubt<Builder> {
        let filters = Filters::compile().map_err(|error| {
            trouble("seccomp", "compile the filters")(io::Error::other(error.to_string()))
        })?;
        // Control groups are looked for before the namespaces hide whose they are.
        let groups = Groups::find();
        let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
        let is_root = uid == 0 && sys::unshare(libc::CLONE_NEWNS).is_ok();
        if is_root {
            sys::drop_groups();
        } else {
            sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)
                .map_err(trouble("user namespace", "unshare"))?;
            map_ids("self", (0, uid), (0, gid)).map_err(trouble("user namespace", "map the id"))?;
        }
        let private = libc::MS_REC | libc::MS_PRIVATE;
        sys::mount(c"none", c"/", c"", private, c"")
            .map_err(trouble("mount namespace", "make / private"))?;
        let home = File::open("/proc/self/ns/mnt").map_err(trouble("mount namespace", "open"))?;
        Ok(Builder {
            filters,
            home: home.into(),
            templates: HashMap::new(),
            networks: Networks::default(),
            groups,
            is_root,
            ids: root_ids(),
            serial: 0,
        })
    }

    /// Clones a jail that shows `show`; its init waits for a run.
    pub fn build(&mut self, show: &[String], memory_bytes: u64, processes: u64) -> Doubt<Jail> {
        self.serial += 1;
        if !self.templates.contains_key(show) {
            let root = template::build(show)
                .map_err(|(step, error)| trouble("mount namespace", &step)(error))?;
            self.templates.insert(show.to_vec(), root);
        }
        let group = self.make_group(memory_bytes, processes);
        let meter = match &group {
            Some(group) => Some(group.meter().map_err(trouble("cgroup", "open its files"))?),
            None => None,
        };
        let (leash, other) = channel::pair().map_err(trouble("streams", "make a socket"))?;
        let network = self.networks.enter().map_err(trouble("network namespace", "unshare"))?;
        let root = &self.templates[show];
        sys::setns(root.as_fd(), libc::CLONE_NEWNS).map_err(trouble("mount namespace", "enter"))?;
        let cloned = sys::fork_with(NAMESPACES);
        if let Ok(None) = cloned {
            init::main(Birth { show, leash: other, meter }, &self.filters);
        }
        sys::setns(self.home.as_fd(), libc::CLONE_NEWNS)
            .map_err(trouble("mount namespace", "return"))?;
        let pid = cloned.map_err(trouble("namespaces", "clone"))?.expect("the child is gone above");
        let mut jail = Jail { pid, leash, network, group, host_id: 0 };
        match self.release(&mut jail) {
            Ok(()) => Ok(jail),
            Err(trouble) => {
                let _ = sys::kill(pid, libc::SIGKILL);
                Err(trouble)
            }
        }
    }

    /// Gives the new init its id and its group, and lets it go on.
    fn release(&self, jail: &mut Jail) -> Doubt<()> {
        let slot = (self.serial % u64::from(self.ids.count)) as u32;
        // To a jailer in its own user namespace, the only id there is is its root.
        let outside = if self.is_root { self.ids.first + slot } else { 0 };
        jail.host_id = if self.is_root { outside } else { sys::effective_uid() };
        map_ids(&jail.pid.to_string(), (JAIL_ID, outside), (JAIL_ID, outside))
            .map_err(trouble("user namespace", "map the jail's id"))?;
        if let Some(group) = &jail.group {
            group.add(jail.pid).map_err(trouble("cgroup", "add the init"))?;
        }
        channel::send_bytes(jail.leash.as_fd(), init::GO, &[])
            .map_err(trouble("streams", "speak to the init"))
    }

    fn make_group(&self, memory_bytes: u64, processes: u64) -> Option<Group> {
        let groups = self.groups.as_ref().ok()?;
        // Without a group the watchdog counts; the result's isolation says which of the two it was.
        groups.create(self.serial, memory_bytes, processes).ok()
    }
}

/// Writes the one-line maps of a process, and denies it setgroups.
fn map_ids(process: &str, uid: (u32, u32), gid: (u32, u32)) -> io::Result<()> {
    fs::write(format!("/proc/{process}/setgroups"), "deny")?;
    fs::write(format!("/proc/{process}/gid_map"), format!("{} {} 1", gid.0, gid.1))?;
    fs::write(format!("/proc/{process}/uid_map"), format!("{} {} 1", uid.0, uid.1))
}

/// Ids for jails of a root host: in the high range, or (in a container that maps few) the last of it.
fn root_ids() -> IdRange {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let largest = map
        .lines()
        .filter_map(|line| {
            let numbers: Vec<u32> =
                line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            Some((*numbers.first()?, *numbers.get(2)?))
        })
        .max_by_key(|(_, count)| *count);
    match largest {
        Some((first, count)) if first.saturating_add(count) > ROOT_IDS_FIRST + ROOT_IDS_COUNT => {
            IdRange { first: ROOT_IDS_FIRST, count: ROOT_IDS_COUNT }
        }
        // The very last two are "nobody" to many systems.
        Some((first, count)) if count > 1_000 => IdRange { first: first + count - 600, count: 512 },
        _ => IdRange { first: 65_534, count: 1 },
    }
}
