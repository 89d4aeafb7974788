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

/// The namespaces that an init is cloned into. The network's comes from the pool, and the cgroup's is
/// the init's own doing, once it is in its group.
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

/// Roots that are kept for the next jails that show the same.
const TEMPLATES_MAX: usize = 32;

/// So many control groups may wait for a quiet moment to be removed in.
const DOOMED_MAX: usize = 32;

/// A jail that waits for its run, or has it.
pub struct Jail {
    pub pid: libc::pid_t,
    pub parent_socket: OwnedFd,
    pub network: Option<OwnedFd>,
    pub group: Option<Group>,
    /// What it shows, as it was found on the host; `None` at the reduced level, which looks anew.
    sources: Option<Rc<Sources>>,
    /// The host's id that the program runs as.
    pub host_id: u32,
}

impl Jail {
    /// Whether the kernel has ended a process of it for want of memory: its init, if that was killed.
    pub fn was_out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(Group::was_out_of_memory)
    }

    /// Waits for its init's word on whether the jail could be finished.
    pub fn hear(&self) -> JailResult<()> {
        let heard = channel::receive(self.parent_socket.as_fd()).ok().flatten();
        match heard.and_then(|(bytes, _)| Option::<Trouble>::from_bytes(&bytes)) {
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
    /// Ids of the host to run as, where the host is root and has some to give; everybody else has only
    /// their own.
    ids: Option<IdRange>,
    serial: u64,
    /// Where in their range the ids begin: two engines of root begin at different ones, as a rule.
    first: u64,
    /// Control groups whose last process was still on its way out.
    doomed: Vec<Group>,
    /// What namespaces need; `None` at the reduced level.
    rooms: Option<Rooms>,
}

/// Where jails with namespaces are cloned from.
struct Rooms {
    /// This process's own mount namespace, to come back to.
    home: OwnedFd,
    templates: HashMap<Vec<String>, Template>,
    networks: Networks,
}

/// A root to clone jails from.
struct Template {
    root: OwnedFd,
    sources: Rc<Sources>,
}

impl Builder {
    /// Takes this process to where it can make full jails: into a user namespace of its own unless it
    /// is root, and into a mount namespace of its own.
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
        let home = File::open("/proc/self/ns/mnt").map_err(trouble("mount namespace", "open"))?;
        let networks = Networks::new().map_err(trouble("network namespace", "unshare"))?;
        let templates = HashMap::new();
        builder.rooms = Some(Rooms { home: home.into(), templates, networks });
        Ok(builder)
    }

    /// Without namespaces. Needs Landlock, which then is the only wall around files.
    pub fn reduced() -> JailResult<Builder> {
        own_proc().map_err(trouble("processes", "look at /proc/self"))?;
        let filters = Filters::compile().map_err(|error| {
            trouble("seccomp", "compile the filters")(io::Error::other(error.to_string()))
        })?;
        sys::drop_groups();
        Ok(Builder {
            filters,
            // Looked for before namespaces hide whose they are.
            groups: Groups::find(),
            ids: ids::of_root(sys::effective_uid()),
            serial: 0,
            first: first_of_ids(),
            doomed: Vec::new(),
            rooms: None,
        })
    }

    pub fn is_full(&self) -> bool {
        self.rooms.is_some()
    }

    /// Makes a jail for what a run needs; its init waits for it.
    pub fn build(&mut self, needs: &Needs) -> JailResult<Jail> {
        if let Some(rooms) = &mut self.rooms {
            rooms.look_at(&needs.show)?;
        }
        self.build_ahead(needs)
    }

    /// As [`Builder::build`], for a run that is not there yet: whether the jail still shows what there is
    /// has to be looked at then (`is_current`), so that it is not looked at now.
    pub fn build_ahead(&mut self, needs: &Needs) -> JailResult<Jail> {
        self.serial += 1;
        let group = self.make_group(needs)?;
        let made = self.build_in(needs, group.as_ref());
        match made {
            Ok(jail) => Ok(Jail { group, ..jail }),
            Err(trouble) => {
                self.doom(group);
                Err(trouble)
            }
        }
    }

    fn build_in(&mut self, needs: &Needs, group: Option<&Group>) -> JailResult<Jail> {
        let own = group.map(|group| Ok((group.door()?, group.meter()?))).transpose();
        let group = own.map_err(trouble("cgroup", "open its files"))?;
        let (parent_socket, other) =
            channel::pair().map_err(trouble("streams", "make a socket"))?;
        let host_id = self.host_id();
        let level = match &self.rooms {
            Some(_) => Level::Full,
            None => Level::Reduced { id: self.ids.as_ref().map(|_| host_id) },
        };
        let shares_user = self.ids.is_none();
        let context = InitContext { level, needs, parent_socket: other, group, shares_user };
        let (pid, network, sources) = match &mut self.rooms {
            Some(rooms) => rooms.clone_into(context, &self.filters)?,
            None => (fork_reduced(context, &self.filters)?, None, None),
        };
        let jail = Jail { pid, parent_socket, network, group: None, sources, host_id };
        match self.release(&jail) {
            Ok(()) => Ok(jail),
            Err(trouble) => {
                let _ = sys::kill(pid, libc::SIGKILL);
                Err(trouble)
            }
        }
    }

    /// The level, what it is made of here, and what it lacks.
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
        // An older Landlock lets a thread's signal through to any process of the same user.
        let exposed = !self.is_full() && self.ids.is_none() && abi < LANDLOCK_WITH_SIGNALS;
        let signals = exposed.then_some(("landlock for signals", false));
        let all = namespaces.chain(always).chain(kernel).chain(signals);
        let (there, missing): (Vec<_>, Vec<_>) = all.partition(|(_, there)| *there);
        let names =
            |list: Vec<(&str, bool)>| list.into_iter().map(|(name, _)| name.to_string()).collect();
        (level, names(there), names(missing))
    }

    /// The id that the next jail's program has to the host.
    fn host_id(&self) -> u32 {
        let next =
            |ids: &IdRange| ids.first + ((self.first + self.serial) % u64::from(ids.count)) as u32;
        self.ids.as_ref().map_or_else(sys::effective_uid, next)
    }

    /// Gives the new init its id, and lets it go on.
    fn release(&self, jail: &Jail) -> JailResult<()> {
        if self.is_full() && !is_left_out(Layer::User) {
            // To a jailer in its own user namespace, the only id there is is its root.
            let outside = if self.ids.is_some() { jail.host_id } else { 0 };
            map_ids(&jail.pid.to_string(), (JAIL_ID, outside), (JAIL_ID, outside))
                .map_err(trouble("user namespace", "map the jail's id"))?;
        }
        channel::send_bytes(jail.parent_socket.as_fd(), init::GO, &[])
            .map_err(trouble("streams", "send the start message to the init"))
    }

    /// Takes back what the next jail can use again, and removes the rest.
    pub fn recycle(&mut self, jail: Jail, network_is_unused: bool) {
        if let (Some(rooms), Some(network)) = (&mut self.rooms, jail.network)
            && network_is_unused
        {
            rooms.networks.give_back(network);
        }
        let mut group = jail.group;
        // With its pid namespace every process of the run is gone.
        if let (Some(_), Ok(groups)) = (&self.rooms, &mut self.groups) {
            group = group.and_then(|group| groups.give_back(group));
        }
        self.doom(group);
    }

    /// Removes a group, now or when its last process is gone.
    pub fn doom(&mut self, group: Option<Group>) {
        self.doomed.extend(group.filter(|group| !group.remove()));
        if self.doomed.len() >= DOOMED_MAX {
            self.remove_doomed(); // there may be no quiet moment for long
        }
    }

    pub fn remove_doomed(&mut self) {
        self.doomed.retain(|group| {
            group.end_members();
            !group.remove()
        });
    }

    /// Whether there is something to remove when nothing else is to be done.
    pub fn has_leftovers(&self) -> bool {
        !self.doomed.is_empty() || self.groups.as_ref().is_ok_and(Groups::keeps_any)
    }

    pub fn forget_used_groups(&mut self) {
        if let Ok(groups) = &mut self.groups {
            groups.forget_used();
        }
    }

    /// Whether a jail shows what these paths are now: one that the host has replaced by another of the
    /// same name (a virtual environment made anew, a file renamed over it) is still the old one in there.
    pub fn is_current(&self, jail: &Jail, show: &[String]) -> bool {
        jail.sources.as_ref().is_none_or(|sources| **sources == template::sources(show))
    }

    /// A result says that the kernel counts: where it cannot, after all, there is none.
    fn make_group(&mut self, needs: &Needs) -> JailResult<Option<Group>> {
        let groups = self.groups.as_mut().ok().filter(|_| !is_left_out(Layer::Cgroup));
        let Some(groups) = groups else { return Ok(None) };
        let made = groups.create(self.serial, needs.memory_bytes, needs.processes);
        made.map(Some).map_err(trouble("cgroup", "make a group"))
    }
}

impl Rooms {
    /// Makes the root with these paths anew, unless there is one that shows what they are now.
    fn look_at(&mut self, show: &[String]) -> JailResult<()> {
        let sources = template::sources(show);
        if self.templates.get(show).is_some_and(|template| *template.sources == sources) {
            return Ok(());
        }
        // One for each set of shown paths; a caller who names ever new runtimes has them made again.
        if self.templates.len() >= TEMPLATES_MAX {
            self.templates.clear();
        }
        // Looked at before it is made: what is replaced meanwhile is seen the next time.
        let root = template::build(show)
            .map_err(|(step, error)| trouble("mount namespace", &step)(error))?;
        self.templates.insert(show.to_vec(), Template { root, sources: Rc::new(sources) });
        Ok(())
    }

    /// Clones an init into its namespaces, from inside the root that it is to have.
    fn clone_into(
        &mut self,
        context: InitContext<'_>,
        filters: &Filters,
    ) -> JailResult<(libc::pid_t, Option<OwnedFd>, Option<Rc<Sources>>)> {
        let show = &context.needs.show;
        if !self.templates.contains_key(show) {
            self.look_at(show)?;
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
        sys::setns(self.home.as_fd(), libc::CLONE_NEWNS)
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
