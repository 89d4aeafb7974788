// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clones a jail's init into its namespaces and gives it one unprivileged id.

use crate::init::{self, InitContext};
use crate::layers::ablation::{Layer, is_left_out};
use crate::layers::cgroup::{Group, Groups};
use crate::layers::landlock;
use crate::layers::level::Level;
use crate::layers::seccomp::{Filters, LANDLOCK_WITH_SIGNALS};
use crate::layers::template::{self, JAIL_ID, Sources};
use crate::supervisor::namespaces;
use crate::supervisor::network::Networks;
use crate::sys;
use crate::trouble::{JailResult, trouble};
use rustix::mount::MountPropagationFlags;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::ids::{self, IdRange};
use unsandbox_jailer::message::{LEVEL_FULL, LEVEL_REDUCED, Needs, Trouble};

/// The namespaces that an init is cloned into. The network namespace comes from the pool, and the init makes its cgroup
/// namespace itself once it is in its group.
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

fn namespaces() -> libc::c_int {
    let each = [
        (Layer::User, libc::CLONE_NEWUSER),
        (Layer::Pid, libc::CLONE_NEWPID),
        (Layer::Ipc, libc::CLONE_NEWIPC),
        (Layer::Uts, libc::CLONE_NEWUTS),
    ];
    let left_out = each.iter().filter(|(layer, _)| is_left_out(*layer));
    NAMESPACES & !left_out.fold(0, |flags, (_, flag)| flags | flag)
}

/// Roots that are kept for further jails that show the same paths.
const TEMPLATES_MAX: usize = 32;

/// How many control groups may wait for a removal while nothing else is to be done.
const PENDING_REMOVALS_MAX: usize = 32;

/// A jail that waits for its run or runs it.
pub struct Jail {
    pub pid: libc::pid_t,
    pub parent_socket: OwnedFd,
    pub network: Option<OwnedFd>,
    pub group: Option<Group>,
    compile_group: Option<Group>,
    /// Identities of the host's files that it shows; `None` at the reduced level, which has no copy of them.
    sources: Option<Rc<Sources>>,
    /// The id on the host that the program runs as.
    pub host_id: u32,
}

impl Jail {
    /// Whether the kernel has ended a process of it for lack of memory. If its init was killed, this is why.
    pub fn was_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(Group::was_out_of_memory)
    }

    /// Waits for the init's report on whether the jail could be finished.
    pub fn await_ready(&self) -> JailResult<()> {
        let received = channel::receive(self.parent_socket.as_fd()).ok().flatten();
        match received.and_then(|(bytes, _)| Option::<Trouble>::from_bytes(&bytes)) {
            Some(report) => report.map_or(Ok(()), Err),
            None => {
                let ended = io::Error::from_raw_os_error(libc::EPIPE);
                Err(trouble("processes", "finish the jail; its init ended")(ended))
            }
        }
    }
}

/// Makes jails.
pub struct Builder {
    filters: Filters,
    pub groups: Result<Groups, String>,
    /// Ids on the host to run programs as, where the host is root and can use them. Other users have only their
    /// own id.
    ids: Option<IdRange>,
    serial: u64,
    groups_made: u64,
    /// Where in their range the ids begin. It is random, so that two engines of root rarely use the same.
    first: u64,
    /// Control groups that could not be removed yet, because their last process was still exiting.
    pending_removals: Vec<Group>,
    /// `None` at the reduced level.
    cache: Option<NamespaceCache>,
}

/// Namespaces that jails are cloned from, kept for further jails.
struct NamespaceCache {
    /// The mount namespace of this process, to return to.
    own_mount_namespace: OwnedFd,
    templates: HashMap<Vec<String>, Template>,
    networks: Networks,
}

/// A root to clone jails from.
struct Template {
    root: OwnedFd,
    sources: Rc<Sources>,
}

impl Builder {
    /// For jails with namespaces. Moves this process into its own mount namespace, and into its own user namespace
    /// unless it is root.
    pub fn full() -> JailResult<Builder> {
        let mut builder = Builder::reduced()?;
        let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
        builder.ids = builder.ids.filter(|_| sys::unshare(libc::CLONE_NEWNS).is_ok());
        if builder.ids.is_none() {
            sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)
                .map_err(trouble("user namespace", "unshare"))?;
            map_ids("self", (0, uid), (0, gid)).map_err(|error| {
                let found = trouble("user namespace", "map the id")(error);
                if uid == 0 { Trouble { fix: ROOT_IN_PART.to_string(), ..found } } else { found }
            })?;
        }
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        rustix::mount::mount_change(c"/", private)
            .map_err(io::Error::from)
            .map_err(trouble("mount namespace", "make / private"))?;
        let own_mount_namespace =
            File::open("/proc/self/ns/mnt").map_err(trouble("mount namespace", "open"))?;
        let networks = Networks::new().map_err(trouble("network namespace", "unshare"))?;
        let templates = HashMap::new();
        builder.cache = Some(NamespaceCache {
            own_mount_namespace: own_mount_namespace.into(),
            templates,
            networks,
        });
        Ok(builder)
    }

    /// For jails without namespaces. Needs Landlock, which is then the only protection of files.
    pub fn reduced() -> JailResult<Builder> {
        own_proc().map_err(trouble("processes", "look at /proc/self"))?;
        let filters = Filters::compile().map_err(|error| {
            trouble("seccomp", "compile the filters")(io::Error::other(error.to_string()))
        })?;
        sys::drop_groups();
        Ok(Builder {
            filters,
            // Before namespaces hide the owners of the groups.
            groups: Groups::find(),
            ids: ids::of_root(sys::effective_uid()),
            serial: 0,
            groups_made: 0,
            first: first_of_ids(),
            pending_removals: Vec::new(),
            cache: None,
        })
    }

    pub fn is_full(&self) -> bool {
        self.cache.is_some()
    }

    /// Makes a jail for a run with these needs; its init waits for the run.
    pub fn build(&mut self, needs: &Needs) -> JailResult<Jail> {
        if let Some(cache) = &mut self.cache {
            cache.refresh_template(&needs.show)?;
        }
        self.build_ahead(needs)
    }

    /// As [`Builder::build`], for a later run. It does not check whether the template is current, because that is
    /// checked when the run arrives ([`Builder::is_current`]).
    pub fn build_ahead(&mut self, needs: &Needs) -> JailResult<Jail> {
        self.serial += 1;
        let group = self.make_group(needs.memory_bytes, needs.processes)?;
        let compile_group = match needs.compile_memory_bytes {
            0 => Ok(None),
            bytes => self.make_group(bytes, needs.compile_processes),
        };
        let made = compile_group.and_then(|compile_group| {
            let made = self.build_in(needs, [&group, &compile_group]);
            match made {
                Ok(jail) => Ok(Jail { compile_group, ..jail }),
                Err(trouble) => {
                    self.remove_group(compile_group);
                    Err(trouble)
                }
            }
        });
        match made {
            Ok(jail) => Ok(Jail { group, ..jail }),
            Err(trouble) => {
                self.remove_group(group);
                Err(trouble)
            }
        }
    }

    fn build_in(&mut self, needs: &Needs, groups: [&Option<Group>; 2]) -> JailResult<Jail> {
        let open = |group: &Option<Group>| {
            let opened = group.as_ref().map(Group::open).transpose();
            opened.map_err(trouble("cgroup", "open its files"))
        };
        let [group, compile_group] = [open(groups[0])?, open(groups[1])?];
        let (parent_socket, other) =
            channel::pair().map_err(trouble("streams", "make a socket"))?;
        let host_id = self.host_id();
        let level = match &self.cache {
            Some(_) => Level::Full,
            None => Level::Reduced { id: self.ids.as_ref().map(|_| host_id) },
        };
        let shares_user = self.ids.is_none();
        let parent = other;
        let context =
            InitContext { level, needs, parent_socket: parent, group, compile_group, shares_user };
        let (pid, network, sources) = match &mut self.cache {
            Some(cache) => cache.clone_into(context, &self.filters)?,
            None => (fork_reduced(context, &self.filters)?, None, None),
        };
        let (group, compile_group) = (None, None);
        let jail = Jail { pid, parent_socket, network, group, compile_group, sources, host_id };
        match self.release(&jail) {
            Ok(()) => Ok(jail),
            Err(trouble) => {
                let _ = sys::kill(pid, libc::SIGKILL);
                Err(trouble)
            }
        }
    }

    /// The level, the layers that it has on this machine, and those that are missing.
    pub fn layers(&self) -> (u8, Vec<String>, Vec<String>) {
        const NAMESPACES: [&str; 7] = [
            "user namespace",
            "mount namespace",
            "pid namespace",
            "network namespace",
            "ipc namespace",
            "uts namespace",
            "cgroup namespace",
        ];
        let level = if self.is_full() { LEVEL_FULL } else { LEVEL_REDUCED };
        let namespaces = NAMESPACES.iter().map(|name| (*name, self.is_full()));
        let always = ["seccomp", "rights", "rlimits"].map(|name| (name, true));
        let abi = landlock::kernel_abi();
        let kernel = [("landlock", abi > 0), ("cgroup", self.groups.is_ok())];
        // An older Landlock does not stop a thread's signal to another process of the same user.
        let exposed = !self.is_full() && self.ids.is_none() && abi < LANDLOCK_WITH_SIGNALS;
        let signals = exposed.then_some(("landlock for signals", false));
        let all = namespaces.chain(always).chain(kernel).chain(signals);
        let (there, missing): (Vec<_>, Vec<_>) = all.partition(|(_, there)| *there);
        let names =
            |list: Vec<(&str, bool)>| list.into_iter().map(|(name, _)| name.to_string()).collect();
        (level, names(there), names(missing))
    }

    /// The id on the host of the next jail's program.
    fn host_id(&self) -> u32 {
        let next =
            |ids: &IdRange| ids.first + ((self.first + self.serial) % u64::from(ids.count)) as u32;
        self.ids.as_ref().map_or_else(sys::effective_uid, next)
    }

    /// Maps the new init's id and tells it to continue.
    fn release(&self, jail: &Jail) -> JailResult<()> {
        if self.is_full() && !is_left_out(Layer::User) {
            // A jailer in its own user namespace has only the id 0.
            let outside = if self.ids.is_some() { jail.host_id } else { 0 };
            map_ids(&jail.pid.to_string(), (JAIL_ID, outside), (JAIL_ID, outside))
                .map_err(trouble("user namespace", "map the jail's id"))?;
        }
        channel::send_bytes(jail.parent_socket.as_fd(), init::PARENT_READY, &[])
            .map_err(trouble("streams", "send the start message to the init"))
    }

    /// Keeps the parts that further jails can use, and removes the rest.
    pub fn recycle(&mut self, jail: Jail, network_is_unused: bool) {
        if let (Some(cache), Some(network)) = (&mut self.cache, jail.network)
            && network_is_unused
        {
            cache.networks.give_back(network);
        }
        for mut group in [jail.group, jail.compile_group] {
            // Its pid namespace has ended, so no process of the run is left.
            if let (Some(_), Ok(groups)) = (&self.cache, &mut self.groups) {
                group = group.and_then(|group| groups.give_back(group));
            }
            self.remove_group(group);
        }
    }

    /// Removes a group, now or once its last process is gone.
    pub fn remove_group(&mut self, group: Option<Group>) {
        self.pending_removals.extend(group.filter(|group| !group.remove()));
        if self.pending_removals.len() >= PENDING_REMOVALS_MAX {
            self.remove_pending_groups(); // the supervisor may be busy for long
        }
    }

    pub fn remove_pending_groups(&mut self) {
        self.pending_removals.retain(|group| {
            group.end_members();
            !group.remove()
        });
    }

    /// Whether there are groups to remove once nothing else is to be done.
    pub fn has_leftovers(&self) -> bool {
        !self.pending_removals.is_empty() || self.groups.as_ref().is_ok_and(Groups::keeps_any)
    }

    pub fn remove_used_groups(&mut self) {
        if let Ok(groups) = &mut self.groups {
            groups.remove_used();
        }
    }

    /// Whether a jail shows these paths as they are now. Where the host has replaced one by another of the same name
    /// (a virtual environment made anew, a file renamed over it), the jail still shows the old one.
    pub fn is_current(&self, jail: &Jail, show: &[String]) -> bool {
        jail.sources.as_ref().is_none_or(|sources| **sources == template::sources(show))
    }

    /// `None` where this machine has no groups. Where it has them and one cannot be made, that is an error, because
    /// the engine reports to callers that the kernel counts.
    fn make_group(&mut self, memory_bytes: u64, processes: u64) -> JailResult<Option<Group>> {
        let groups = self.groups.as_mut().ok().filter(|_| !is_left_out(Layer::Cgroup));
        let Some(groups) = groups else { return Ok(None) };
        self.groups_made += 1;
        let made = groups.create(self.groups_made, memory_bytes, processes);
        made.map(Some).map_err(trouble("cgroup", "make a group"))
    }
}

impl NamespaceCache {
    /// Builds the root with these paths, unless there is one that is current.
    fn refresh_template(&mut self, show: &[String]) -> JailResult<()> {
        let sources = template::sources(show);
        if self.templates.get(show).is_some_and(|template| *template.sources == sources) {
            return Ok(());
        }
        // There is one for each set of shown paths; a caller who always names new ones must not fill the memory.
        if self.templates.len() >= TEMPLATES_MAX {
            self.templates.clear();
        }
        // The identities are read before the root is built, so that a replacement in between is found the next time.
        let root = template::build(show)
            .map_err(|(step, error)| trouble("mount namespace", &step)(error))?;
        self.templates.insert(show.to_vec(), Template { root, sources: Rc::new(sources) });
        Ok(())
    }

    /// Clones an init into its namespaces, from inside its root.
    fn clone_into(
        &mut self,
        context: InitContext<'_>,
        filters: &Filters,
    ) -> JailResult<(libc::pid_t, Option<OwnedFd>, Option<Rc<Sources>>)> {
        let show = &context.needs.show;
        if !self.templates.contains_key(show) {
            self.refresh_template(show)?;
        }
        let network = self.networks.enter().map_err(trouble("network namespace", "unshare"))?;
        let template = &self.templates[show];
        let sources = template.sources.clone();
        if !is_left_out(Layer::Mount) {
            sys::setns(template.root.as_fd(), libc::CLONE_NEWNS)
                .map_err(trouble("mount namespace", "enter"))?;
        }
        let cloned = sys::fork_with(namespaces());
        if let Ok(None) = cloned {
            init::main(context, filters);
        }
        sys::setns(self.own_mount_namespace.as_fd(), libc::CLONE_NEWNS)
            .map_err(trouble("mount namespace", "return"))?;
        self.networks.leave().map_err(trouble("network namespace", "return"))?;
        let pid = cloned.map_err(|error| {
            let many = error.raw_os_error() == Some(libc::EAGAIN);
            trouble(if many { "processes" } else { namespaces::missing_namespace() }, "clone")(
                error,
            )
        });
        let pid = pid?.expect("the child is gone above");
        Ok((pid, Some(network), Some(sources)))
    }
}

fn first_of_ids() -> u64 {
    let mut bytes = [0; 4];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from(u32::from_ne_bytes(bytes))
}

fn fork_reduced(context: InitContext<'_>, filters: &Filters) -> JailResult<libc::pid_t> {
    match sys::fork_with(0).map_err(trouble("processes", "fork"))? {
        None => init::main(context, filters),
        Some(pid) => Ok(pid),
    }
}

/// Writes the one-line maps of a process, and denies it setgroups.
fn map_ids(process: &str, uid: (u32, u32), gid: (u32, u32)) -> io::Result<()> {
    fs::write(format!("/proc/{process}/setgroups"), "deny")?;
    fs::write(format!("/proc/{process}/gid_map"), format!("{} {} 1", gid.0, gid.1))?;
    fs::write(format!("/proc/{process}/uid_map"), format!("{} {} 1", uid.0, uid.1))
}

/// What a root without capabilities can do: the kernel gives its own id to no user namespace.
const ROOT_IN_PART: &str = "the process runs as root without capabilities that it needs: add CAP_CHOWN, \
                            CAP_SETUID, CAP_SETGID, CAP_SETFCAP and CAP_SYS_ADMIN, or run it as an ordinary user";

/// Processes are found, watched and ended through /proc: one that is missing, or that shows another pid
/// namespace, would let them go unseen.
fn own_proc() -> io::Result<()> {
    let shown = fs::read_link("/proc/self")?;
    if shown == Path::new(&std::process::id().to_string()) {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::ESRCH))
}
