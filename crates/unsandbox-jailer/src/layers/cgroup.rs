// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accounting of memory, processes and processor time by the kernel, where this user may have a control group:
//! version 2 below a delegated ancestor, or version 1 where its trees are writable. Elsewhere the init's watchdog
//! counts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use unsandbox_jailer::message::Needs;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    One,
    Two,
}

/// Where the groups of this jailer's runs are made.
pub struct Groups {
    pub version: Version,
    /// One directory for version 2; memory, pids and cpuacct for version 1.
    bases: Vec<(&'static str, PathBuf)>,
    /// Groups of finished runs, kept for runs with the same limits.
    used: Vec<Group>,
}

/// At most this many idle groups are kept for reuse.
const USED_MAX: usize = 8;
/// The largest charge that an empty group of version 1 may have and still be used again. The kernel returns pages in
/// batches of 256 KB for each processor, and some of its own memory late. Cached pages of files that a run was the first
/// to read are more than this, and would be counted for the next run.
const LEFT_MAX: u64 = 1 << 20;

/// The controller and file with a group's events, by version, and the key of the number of killed processes.
const EVENTS: [(&str, &str); 2] = [("memory", "memory.oom_control"), ("", "memory.events")];
const KILLS: &str = "oom_kill ";

const PREFIX: &str = "unsandbox-";
const V1_CONTROLLERS: [&str; 3] = ["memory", "pids", "cpuacct"];

impl Groups {
    /// The best version that this user may use here; the error says why there is none.
    pub fn find() -> Result<Groups, String> {
        let membership = fs::read_to_string("/proc/self/cgroup")
            .map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
        let mut found = version_two(&membership, &mounts).or_else(|two| {
            version_one(&membership, &mounts).map_err(|one| format!("{two}; {one}"))
        });
        if let Ok(groups) = &mut found {
            groups.sweep();
            groups.try_one()?;
        }
        found
    }

    /// Makes and removes a group with the usual limits, before groups are reported as available.
    fn try_one(&mut self) -> Result<(), String> {
        let tried = self.create(0, Needs::USUAL.memory_bytes, Needs::USUAL.processes);
        let group = tried.map_err(|error| format!("a group for a run: {error}"))?;
        group.remove();
        Ok(())
    }

    /// Removes the groups of jailers that were killed.
    fn sweep(&self) {
        for (_, base) in &self.bases {
            let Some(parent) = base.parent() else { continue };
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
                let alive = owner.is_none_or(|pid| Path::new("/proc").join(pid).exists());
                if !alive {
                    remove_tree(&entry.path());
                }
            }
        }
    }

    /// A group for one run, with its limits. A used group is taken if its counters can be reset: making and removing
    /// one takes the kernel longer than everything else that a run does with it.
    pub fn create(&mut self, id: u64, memory_bytes: u64, processes: u64) -> io::Result<Group> {
        let limits = Limits { memory_bytes, processes, has_swap: crate::sys::has_swap() };
        let fits = |group: &mut Group| group.limits == limits;
        let mut left = Vec::new();
        let renewed = self.used.extract_if(.., fits).find_map(|mut group| match group.renew() {
            true => Some(group),
            false => {
                left.push(group);
                None
            }
        });
        self.used.extend(left.into_iter().filter(|group| !group.remove()));
        if let Some(group) = renewed {
            return Ok(group);
        }
        let directories: Vec<(&'static str, PathBuf)> =
            self.bases.iter().map(|(name, base)| (*name, base.join(id.to_string()))).collect();
        let group = Group { version: self.version, directories, limits, kills_before: 0 };
        let made = group.directories.iter().try_for_each(|(_, path)| fs::create_dir(path));
        match made.and_then(|()| group.limit()) {
            Ok(()) => Ok(group),
            Err(error) => {
                group.remove();
                Err(error)
            }
        }
    }

    /// Keeps the group of a finished run, or returns it to be removed. Only version 1 has counters that can be
    /// reset.
    pub fn give_back(&mut self, group: Group) -> Option<Group> {
        if self.version == Version::Two || self.used.len() >= USED_MAX {
            return Some(group);
        }
        self.used.push(group);
        None
    }

    pub fn keeps_any(&self) -> bool {
        !self.used.is_empty()
    }

    /// Removes the groups that are kept, once no run is expected soon.
    pub fn remove_used(&mut self) {
        self.used.retain(|group| !group.remove());
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for (_, base) in &self.bases {
            remove_tree(base);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limits {
    memory_bytes: u64,
    processes: u64,
    /// Whether the machine had swap when the limits were set.
    has_swap: bool,
}

/// The control group of one run.
pub struct Group {
    version: Version,
    directories: Vec<(&'static str, PathBuf)>,
    limits: Limits,
    /// How many processes the kernel had ended for lack of memory before this run.
    kills_before: u64,
}

impl Group {
    fn path(&self, controller: &str, file: &str) -> PathBuf {
        let found = self.directories.iter().find(|(name, _)| *name == controller);
        found.map_or_else(|| self.directories[0].1.join(file), |(_, path)| path.join(file))
    }

    fn set(&self, controller: &str, file: &str, value: u64) -> io::Result<()> {
        fs::write(self.path(controller, file), value.to_string())
    }

    /// Sets the limits. Pages must not leave the limit by going to the swap of the host: swap has to be counted or
    /// forbidden; where the machine has swap and neither works, this fails.
    fn limit(&self) -> io::Result<()> {
        let Limits { memory_bytes, processes, has_swap } = self.limits;
        let no_swap = |set: io::Result<()>| if has_swap { set } else { Ok(()) };
        let pids = processes + 1; // the init is one of them
        match self.version {
            Version::Two => {
                self.set("", "memory.max", memory_bytes)?;
                no_swap(self.set("", "memory.swap.max", 0))?;
                self.set("", "pids.max", pids)
            }
            Version::One => {
                self.set("memory", "memory.limit_in_bytes", memory_bytes)?;
                let counted = self.set("memory", "memory.memsw.limit_in_bytes", memory_bytes);
                no_swap(counted.or_else(|_| self.set("memory", "memory.swappiness", 0)))?;
                // Version 1 counts the buffers of TCP sockets separately, and only if they have a limit.
                self.set("memory", "memory.kmem.tcp.limit_in_bytes", memory_bytes)?;
                self.set("pids", "pids.max", pids)
            }
        }
    }

    /// Resets the counters, if nothing of the last run is left; returns whether it did. The number of killed processes
    /// cannot be reset, so a run counts from its value now.
    fn renew(&mut self) -> bool {
        let number = |controller, file| -> io::Result<u64> {
            let text = crate::proc::whole(&File::open(self.path(controller, file))?)?;
            text.trim().parse().map_err(io::Error::other)
        };
        let is_empty = || -> io::Result<bool> {
            Ok(number("pids", "pids.current")? == 0
                && number("memory", "memory.kmem.tcp.usage_in_bytes")? == 0
                && number("memory", "memory.usage_in_bytes")? <= LEFT_MAX)
        };
        let begin = || {
            self.set("memory", "memory.max_usage_in_bytes", 0)?;
            self.set("cpuacct", "cpuacct.usage", 0)
        };
        let renewed = is_empty().is_ok_and(|empty| empty && begin().is_ok());
        self.kills_before = self.kills();
        renewed
    }

    /// How many processes the kernel has ended for lack of memory since the group was made.
    fn kills(&self) -> u64 {
        let (controller, file) = EVENTS[self.version as usize];
        File::open(self.path(controller, file)).map_or(0, |file| number_after(&read(&file), KILLS))
    }

    /// Whether it has ended one in this run.
    pub fn was_out_of_memory(&self) -> bool {
        self.kills() > self.kills_before
    }

    /// Opens what an init needs of it.
    pub fn open(&self) -> io::Result<OpenGroup> {
        Ok(OpenGroup { entry: self.entry()?, meter: self.meter()? })
    }

    /// Opens the files by which a process enters the group. This needs the rights of the jailer.
    fn entry(&self) -> io::Result<GroupEntry> {
        let open = |(_, directory): &(&str, PathBuf)| GroupEntry::open(self.version, directory);
        Ok(GroupEntry(self.directories.iter().map(open).collect::<io::Result<_>>()?))
    }

    /// Opens the files that the init reads during and after the program.
    fn meter(&self) -> io::Result<Meter> {
        let open = |controller, file| File::open(self.path(controller, file));
        let (controller, file) = EVENTS[self.version as usize];
        let events = open(controller, file)?;
        Ok(match self.version {
            Version::Two => Meter {
                version: self.version,
                peak: open("", "memory.peak").ok(),
                events,
                cpu: open("", "cpu.stat")?,
                members: open("", "cgroup.procs")?,
            },
            Version::One => Meter {
                version: self.version,
                peak: Some(open("memory", "memory.max_usage_in_bytes")?),
                events,
                cpu: open("cpuacct", "cpuacct.usage")?,
                members: open("pids", "cgroup.procs")?,
            },
        })
    }

    /// Kills the processes in it. Without a pid namespace, those of a killed init are still there.
    pub fn end_members(&self) {
        let members = fs::read_to_string(self.directories[0].1.join("cgroup.procs"));
        for pid in members.unwrap_or_default().lines().filter_map(|line| line.parse().ok()) {
            let _ = crate::sys::kill(pid, libc::SIGKILL);
        }
    }

    /// Removes it; false while its last process is still exiting.
    pub fn remove(&self) -> bool {
        self.directories.iter().all(|(_, directory)| {
            let gone = fs::remove_dir(directory);
            gone.is_ok() || gone.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        })
    }
}

/// The open files of a group, for an init.
pub struct OpenGroup {
    pub entry: GroupEntry,
    pub meter: Meter,
}

impl OpenGroup {
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.entry.descriptors().chain(self.meter.descriptors()).collect()
    }
}

/// Open files by which a process moves itself into a group. When a process moves another one, the kernel stops every
/// fork and exit on the machine and waits for those under way. A single thread that moves itself (version 1 has a file
/// for that) does not cause this.
pub struct GroupEntry(Vec<File>);

impl GroupEntry {
    fn open(version: Version, directory: &Path) -> io::Result<File> {
        let file = if version == Version::One { "tasks" } else { "cgroup.procs" };
        File::create(directory.join(file))
    }

    fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.0.iter().map(AsRawFd::as_raw_fd)
    }

    /// Moves this process, which has one thread, into the group.
    pub fn enter(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|mut file| file.write_all(b"0"))
    }
}

/// Open files of a group: readable from inside a jail, where its path is not.
pub struct Meter {
    version: Version,
    peak: Option<File>,
    events: File,
    cpu: File,
    members: File,
}

impl Meter {
    fn descriptors(&self) -> Vec<RawFd> {
        let files = self.peak.iter().chain([&self.events, &self.cpu, &self.members]);
        files.map(AsRawFd::as_raw_fd).collect()
    }

    pub fn peak_bytes(&self) -> u64 {
        self.peak.as_ref().map_or(0, |file| first_number(&read(file)))
    }

    /// How many processes the kernel has ended for lack of memory.
    pub fn out_of_memory_kills(&self) -> u64 {
        number_after(&read(&self.events), KILLS)
    }

    /// Every process in the group, as this one's pid namespace numbers them.
    pub fn members(&self) -> Vec<libc::pid_t> {
        read(&self.members).lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub fn cpu_time_us(&self) -> u64 {
        let text = read(&self.cpu);
        match self.version {
            Version::Two => number_after(&text, "usage_usec "),
            Version::One => first_number(&text) / 1000,
        }
    }
}

fn read(file: &File) -> String {
    crate::proc::whole(file).unwrap_or_default()
}

fn first_number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

fn number_after(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0)
}

fn remove_tree(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(base);
}

/// The mount point of a cgroup file system, and the path inside it that the mount shows.
fn mount_of(mounts: &str, kind: &str, controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let fields: Vec<&str> = left.split(' ').collect();
        let matches = right.next()? == kind
            && controller.is_none_or(|wanted| {
                right.nth(1).is_some_and(|options| options.split(',').any(|o| o == wanted))
            });
        matches.then(|| Some((PathBuf::from(fields.get(4)?), PathBuf::from(fields.get(3)?))))?
    })
}

/// The directory of this process, given its path in the hierarchy.
fn own_directory(mount: &Path, shown: &Path, path: &str) -> PathBuf {
    let path = Path::new(path);
    let below = path.strip_prefix(shown).unwrap_or(path.strip_prefix("/").unwrap_or(path));
    mount.join(below)
}

fn version_two(membership: &str, mounts: &str) -> Result<Groups, String> {
    let path = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("cgroup v2 is not in use")?;
    let (mount, shown) = mount_of(mounts, "cgroup2", None).ok_or("cgroup v2 is not mounted")?;
    let own = own_directory(&mount, &shown, path);
    let name = format!("{PREFIX}{}", std::process::id());
    let mut reason = String::from("cgroup v2 has no memory and pids controllers here");
    // Processes and controllers may not share a group, so ours goes beside the caller's own.
    for ancestor in own.ancestors().take_while(|path| path.starts_with(&mount)) {
        let enabled =
            fs::read_to_string(ancestor.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |controller| enabled.split_whitespace().any(|word| word == controller);
        if !(has("memory") && has("pids")) {
            continue;
        }
        let base = ancestor.join(&name);
        match prepare_two(&base) {
            Ok(()) => {
                let (version, bases) = (Version::Two, vec![("", base)]);
                return Ok(Groups { version, bases, used: Vec::new() });
            }
            Err(error) => reason = format!("cgroup v2 below {}: {error}", ancestor.display()),
        }
    }
    Err(reason)
}

fn prepare_two(base: &Path) -> io::Result<()> {
    fs::create_dir(base)?;
    let enable = || {
        fs::write(base.join("cgroup.subtree_control"), "+memory +pids")?;
        // Moving a process also needs the right to write the list of the common ancestor, so try it.
        let trial = base.join("trial");
        fs::create_dir(&trial)?;
        let moved = try_member(Version::Two, &trial);
        let _ = fs::remove_dir(&trial);
        moved
    };
    enable().inspect_err(|_| remove_tree(base))
}

fn version_one(membership: &str, mounts: &str) -> Result<Groups, String> {
    let mut bases = Vec::new();
    for controller in V1_CONTROLLERS {
        let path = membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let names = fields.nth(1)?;
            let path = fields.next()?;
            names.split(',').any(|name| name == controller).then_some(path)
        });
        let path = path.ok_or(format!("cgroup v1 has no {controller} controller"))?;
        let (mount, shown) = mount_of(mounts, "cgroup", Some(controller))
            .ok_or(format!("cgroup v1 {controller} is not mounted"))?;
        let own = own_directory(&mount, &shown, path);
        let base = own.join(format!("{PREFIX}{}", std::process::id()));
        let made = fs::create_dir(&base).and_then(|()| try_member(Version::One, &base));
        bases.push((controller, base));
        if let Err(error) = made {
            bases.iter().for_each(|(_, base)| remove_tree(base));
            return Err(format!("cgroup v1 {controller} at {}: {error}", own.display()));
        }
    }
    Ok(Groups { version: Version::One, bases, used: Vec::new() })
}

/// Tests with a short-lived child whether a process can enter the group.
fn try_member(version: Version, group: &Path) -> io::Result<()> {
    let entry = GroupEntry(vec![GroupEntry::open(version, group)?]);
    let Some(pid) = crate::sys::fork_with(0)? else {
        let errno =
            entry.enter().map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
        crate::sys::exit_now(errno)
    };
    loop {
        if let Some(reaped) = crate::sys::reap(true)?.filter(|reaped| reaped.pid == pid) {
            return match reaped.end() {
                Ok(0) => Ok(()),
                Ok(errno) => Err(io::Error::from_raw_os_error(errno)),
                Err(_) => Err(io::Error::from_raw_os_error(libc::ECHILD)),
            };
        }
    }
}

#[cfg(test)]
mod tests;
