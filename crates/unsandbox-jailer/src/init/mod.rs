// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first process of a jail. It is cloned by the supervisor into its namespaces, finishes the
//! mounts, waits for a run, places its files, takes it through its steps and reports to the engine.
//! It keeps its rights inside the jail to the end; only the steps it starts give theirs up.

mod baseline;
mod collect;
mod entry;
mod feed;
mod files;
mod gathered;
mod kernel_memory;
mod oom;
mod pattern;
mod serve;
mod step;
pub mod streams;
mod system_v;
mod walk;
mod watch;

use crate::folder;
use crate::init::baseline::Baseline;
use crate::init::files::PlanFile;
use crate::init::oom::OomScore;
use crate::init::serve::Server;
use crate::init::step::{Outcome, Received, Stepper};
use crate::init::streams::{RunStreams, Streams};
use crate::init::walk::{ARTIFACTS, WORK};
use crate::layers::ablation::{self, is_left_out};
use crate::layers::cgroup::OpenGroup;
use crate::layers::level::Level;
use crate::layers::locks::{self, Locks};
use crate::layers::notify::{Calls, Listener};
use crate::layers::seccomp::Filters;
use crate::layers::template::{JAIL_ID, NOTHING, place_for, staged};
use crate::sys;
use crate::tree::{self, BETWEEN_TRIES};
use crate::trouble::{JailResult, trouble};
use rustix::mount::MountFlags;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::commands::{
    Answer, Cause, FromInit, PlacedFile, Plan, Step, StepKind, Then, ToInit,
};
use unsandbox_jailer::message::Needs;

/// What the supervisor gives a new init.
pub struct InitContext<'a> {
    pub level: Level,
    /// The needs of the run that this jail is made for.
    pub needs: &'a Needs,
    /// To the supervisor, which sends "go" and then the run.
    pub parent_socket: OwnedFd,
    /// The control group of the init and the program.
    pub group: Option<OpenGroup>,
    /// That of the compiler, where there is one.
    pub compile_group: Option<OpenGroup>,
    /// Whether the run has the id of the host's user, and shares that user's quotas.
    pub shares_user: bool,
}

impl InitContext<'_> {
    /// Whether the init counts its run's use of quotas. It does so where the run shares the quotas of the host's
    /// user, and where nothing else counts the memory behind them.
    fn counts(&self) -> bool {
        self.shares_user || self.group.is_none()
    }
}

/// Messages on the parent socket.
pub const PARENT_READY: &[u8] = b"go";
pub const RUN: &[u8] = b"run";

/// Exit code of an init whose programs had no socket of the network namespace, which is then as it was before.
pub const NETWORK_UNUSED: i32 = 3;

/// The layer to name in an error about a run's folder, where the run has no file system of its own.
const FOLDER: &str = "temporary directory";
/// Where the one writable file system of a full jail is mounted.
const TMP: &str = "/tmp";
/// Directories of the writable tree: work directory, shared memory, home, compiled programs.
const OWN_DIRECTORIES: [&str; 4] = [WORK, ".shm", "home", "build"];
/// Inodes for these directories, in addition to the program's.
const OWN_INODES: u64 = 32;

/// Runs the jail to its end.
pub fn main(context: InitContext<'_>, filters: &Filters) -> ! {
    if context.level == Level::Full {
        // The init dies with the supervisor, and the pid namespace dies with the init. A supervisor that died
        // before this line has closed the socket. Without a pid namespace the init outlives the supervisor and
        // cleans up.
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
    }
    sys::set_name(c"unsandbox-init");
    close_foreign_descriptors(&context);
    let counts = context.counts();
    let entered = context.group.as_ref().map_or(Ok(()), |group| group.entry.enter());
    match channel::receive_short(context.parent_socket.as_fd()) {
        Ok(Some((word, _))) if word == PARENT_READY => {}
        _ => sys::exit_now(1),
    }
    let entered = entered.map_err(trouble("cgroup", "put the init into its group"));
    let prepared = entered.and_then(|()| match context.level {
        Level::Full => prepare(context.needs, counts, filters),
        Level::Reduced { .. } => prepare_reduced(context.needs, counts, filters),
    });
    let report = prepared.as_ref().err().cloned();
    let _ = channel::send(context.parent_socket.as_fd(), &report, &[]);
    let Some((control, plan, streams)) = receive_run(context.parent_socket.as_fd()) else {
        sys::exit_now(1)
    };
    let show = &context.needs.show;
    let (level, shares_user) = (context.level, context.shares_user);
    let groups = [context.group, context.compile_group];
    let run =
        Run { control, filters, level, shares_user, show, parent_socket: context.parent_socket };
    let plan = prepared
        .and_then(|made| Ok((PlanFile::read(plan).map_err(trouble("plan", "read it"))?, made)));
    let own_tree = plan.as_ref().ok().map(|((plan, _), _)| PathBuf::from(&plan.tmp));
    let mut calls = None;
    let end = plan.and_then(|((plan, contents), prepared)| {
        let Prepared { locks, oom_score, listener, sockets } = prepared;
        let calls = calls.insert(Calls::new(listener, !sockets.is_empty()));
        run.carry_out(
            plan,
            contents,
            streams,
            Resources { locks, sockets, calls, oom_score, groups },
        )
    });
    if let Err(trouble) = end {
        let _ = channel::send(run.control.as_fd(), &FromInit::Refused { trouble }, &[]);
    }
    let _ = channel::send(run.control.as_fd(), &FromInit::Done, &[]);
    // Nobody waits for this, so it may take long where the program has left many files.
    if let (Level::Reduced { .. }, Some(tree)) = (run.level, own_tree) {
        let _ = folder::remove(&tree);
        sys::exit_now(0)
    }
    let used = calls.is_none_or(|calls| calls.has_used_network());
    sys::exit_now(if used { 0 } else { NETWORK_UNUSED })
}

/// Closes all that the supervisor had open but this init's own: its socket, and the descriptors of its group.
fn close_foreign_descriptors(context: &InitContext<'_>) {
    let mut keep = vec![context.parent_socket.as_raw_fd()];
    let groups = context.group.iter().chain(&context.compile_group);
    keep.extend(groups.flat_map(OpenGroup::descriptors));
    keep.sort();
    sys::close_all_but(3, &keep);
}

/// Waits for a run: its control socket, its plan and its streams. `None` if the supervisor has gone instead.
fn receive_run(parent_socket: BorrowedFd<'_>) -> Option<(OwnedFd, OwnedFd, Streams)> {
    let (_, fds) = channel::receive_short(parent_socket).ok()??;
    let [control, plan, stdin, stdout, stderr] = <[OwnedFd; 5]>::try_from(fds).ok()?;
    Some((control, plan, Streams { stdin, stdout, stderr }))
}

/// What an init prepares before its run arrives, so that the run waits for less.
struct Prepared<'a> {
    /// `Some` where they do not depend on the run.
    locks: Option<Locks<'a>>,
    oom_score: Option<OomScore>,
    listener: Option<Listener>,
    /// For the engine, which accepts connections on them from outside the jail.
    sockets: Vec<TcpListener>,
}

fn prepare<'a>(needs: &Needs, counts: bool, filters: &'a Filters) -> JailResult<Prepared<'a>> {
    let layer = "mount namespace";
    if !is_left_out(ablation::Layer::User) {
        sys::set_ids(JAIL_ID, JAIL_ID).map_err(trouble("user namespace", "take the jail's id"))?;
    }
    let oom_score = OomScore::of_this_process();
    make_undumpable().map_err(trouble("rights", "make the init undumpable"))?;
    // Not at the clone: the root of the new namespace is the group that the process is in now.
    if !is_left_out(ablation::Layer::CgroupNamespace) {
        sys::unshare(libc::CLONE_NEWCGROUP).map_err(trouble("cgroup namespace", "unshare"))?;
    }
    sys::new_session();
    sys::set_umask(0o022);
    if !is_left_out(ablation::Layer::Uts) {
        sys::set_host_name("sandbox").map_err(trouble("uts namespace", "set the host name"))?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if !is_left_out(ablation::Layer::Pid) {
        sys::mount(c"proc", c"/proc", c"proc", flags, c"")
            .map_err(trouble("pid namespace", "mount /proc"))?;
    }
    if !is_left_out(ablation::Layer::User) {
        limit_inotify().map_err(trouble("user namespace", "limit inotify"))?;
    }
    if !is_left_out(ablation::Layer::Pid) && !is_left_out(ablation::Layer::Mount) {
        protect_proc().map_err(trouble(layer, "cover the files of /proc"))?;
    }
    mount_tmp(needs).map_err(trouble(layer, "mount /tmp"))?;
    mount_terminals().map_err(trouble(layer, "mount /dev/pts"))?;
    create_layout(Path::new(TMP)).map_err(trouble(layer, "create the directories of /tmp"))?;
    // A path that the host has removed is not shown.
    for (stage, path) in staged(&needs.show).filter(|(stage, _)| Path::new(stage).exists()) {
        bind(&stage, path).map_err(trouble(layer, &format!("show {path}")))?;
    }
    if needs.cpus != 0 {
        show_processors(needs.cpus).map_err(trouble(layer, "show the processors"))?;
    }
    // Before the filter, which hands each call of socket() to this process: it could not answer its own.
    let sockets = listen(&needs.listen)
        .map_err(trouble("network namespace", "open the sockets of the gateway"))?;
    let listener = locks::put_on_init(filters, counts)
        .map_err(|(layer, error)| trouble(layer, "install the rules of the init")(error))?;
    limit_cpus(needs)?;
    let locks = Some(locks_for(Level::Full, Path::new(TMP), &needs.show, filters)?);
    Ok(Prepared { locks, oom_score, listener, sockets })
}

fn limit_cpus(needs: &Needs) -> JailResult<()> {
    match needs.cpus {
        0 => Ok(()),
        count => locks::limit_cpus(count)
            .map_err(|(layer, error)| trouble(layer, "limit the processors")(error)),
    }
}

/// Shows a /proc/stat with `count` processors: without /sys, the C library counts the lines of that file and
/// ignores the affinity mask.
fn show_processors(count: u64) -> io::Result<()> {
    const STAT: &str = "/proc/stat";
    let mut left = count;
    let mut shown = String::new();
    for line in fs::read_to_string(STAT)?.lines() {
        let is_processor = line.starts_with("cpu") && !line.starts_with("cpu ");
        if is_processor && left == 0 {
            continue;
        }
        left -= u64::from(is_processor);
        shown.push_str(line);
        shown.push('\n');
    }
    let own = format!("{TMP}/.stat");
    fs::write(&own, shown)?;
    let place = sys::c_string(STAT)?;
    sys::mount(&sys::c_string(&own)?, &place, c"", MountFlags::BIND, c"")?;
    sys::mount_setattr(None, &place, sys::MOUNT_ATTR_RDONLY)?;
    // The mount keeps the file.
    fs::remove_file(own)
}

fn listen(ports: &[u16]) -> io::Result<Vec<TcpListener>> {
    ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect()
}

fn locks_for<'a>(
    level: Level,
    tmp: &Path,
    show: &[String],
    filters: &'a Filters,
) -> JailResult<Locks<'a>> {
    let made = Locks::new(level, tmp, show, filters);
    made.map_err(|(layer, error)| trouble(layer, "build the rules of the program")(error))
}

/// Without namespaces there is nothing to mount. Orphans of the run become children of this process.
fn prepare_reduced<'a>(needs: &Needs, counts: bool, filters: &Filters) -> JailResult<Prepared<'a>> {
    let oom_score = OomScore::of_this_process();
    sys::new_session();
    sys::set_umask(0o022);
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
        .map_err(trouble("processes", "become a subreaper"))?;
    let listener = locks::put_on_reduced_init(filters, counts)
        .map_err(|(layer, error)| trouble(layer, "install the rules of the init")(error))?;
    limit_cpus(needs)?;
    Ok(Prepared { locks: None, oom_score, listener, sockets: Vec::new() })
}

fn create_layout(tmp: &Path) -> io::Result<()> {
    OWN_DIRECTORIES.iter().try_for_each(|name| {
        let mode = if *name == ".shm" { 0o1777 } else { 0o755 };
        fs::DirBuilder::new().mode(mode).create(tmp.join(name))
    })
}

/// The program has the init's id. Without this it could write the init's files in /proc (with autogroup, for
/// example, it could starve the init). The death signal is set again because a change of id clears it.
fn make_undumpable() -> io::Result<()> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0)?;
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)
}

/// The kernel counts a run's inotify instances and watches also for the user who made its namespace (root, too).
/// That user has 128 instances on most machines, so a run may have only a few.
fn limit_inotify() -> io::Result<()> {
    const LIMITS: [(&str, &str); 2] =
        [("max_inotify_instances", "4"), ("max_inotify_watches", "4096")];
    LIMITS.iter().try_for_each(|(name, value)| {
        match fs::write(format!("/proc/sys/user/{name}"), value) {
            // A kernel without inotify.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            written => written,
        }
    })
}

/// Files that describe all runs and the host: locks on shown files, keys of the host's user.
const HIDDEN: [&str; 3] = ["/proc/locks", "/proc/keys", "/proc/key-users"];

/// Hides those files and makes /proc read-only. With its own files there a process could lower the score that makes
/// the kernel end it before the init (`oom.rs`), or change its scheduling among the host's processes.
fn protect_proc() -> io::Result<()> {
    for path in HIDDEN.into_iter().filter(|path| Path::new(path).exists()) {
        sys::mount(NOTHING, &sys::c_string(path)?, c"", MountFlags::BIND, c"")?;
    }
    sys::mount_setattr(None, c"/proc", sys::MOUNT_ATTR_RDONLY)
}

/// Mounts a path that the template has staged to its place below /tmp.
fn bind(stage: &str, path: &str) -> io::Result<()> {
    place_for(Path::new(path), fs::metadata(stage)?.is_dir())?;
    let flags = MountFlags::BIND | MountFlags::REC;
    sys::mount(&sys::c_string(stage)?, &sys::c_string(path)?, c"", flags, c"")
}

fn mount_tmp(needs: &Needs) -> io::Result<()> {
    let inodes = needs.work_files + OWN_INODES;
    let data = format!("mode=1777,size={},nr_inodes={inodes}", needs.work_bytes);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    sys::mount(c"tmp", c"/tmp", c"tmpfs", flags, &sys::c_string(&data)?)
}

/// The jail's own pseudo-terminals. Each takes kernel memory that no group counts, and the machine has 4,096 (kernel.pty.max)
/// for all jails and the host's containers. Programs change the rights of their own (PTY.open of Ruby does), and can make no
/// file there.
fn mount_terminals() -> io::Result<()> {
    let data = c"newinstance,mode=0600,ptmxmode=0666,max=16";
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    match sys::mount(c"pts", c"/dev/pts", c"devpts", flags, data) {
        // A kernel without pseudo-terminals.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        mounted => mounted,
    }
}

/// What an init needs to run steps.
struct Resources<'a> {
    locks: Option<Locks<'a>>,
    sockets: Vec<TcpListener>,
    calls: &'a mut Calls,
    oom_score: Option<OomScore>,
    /// Of the program, and of the compiler.
    groups: [Option<OpenGroup>; 2],
}

struct Run<'a> {
    control: OwnedFd,
    filters: &'a Filters,
    level: Level,
    shares_user: bool,
    show: &'a [String],
    parent_socket: OwnedFd,
}

impl Run<'_> {
    fn carry_out(
        &self,
        plan: Plan,
        contents: PlanFile,
        streams: Streams,
        resources: Resources<'_>,
    ) -> JailResult<()> {
        let tmp = PathBuf::from(&plan.tmp);
        let done = self.prepare_tree(&tmp).and_then(|()| {
            let baseline = self.fill(&tmp, &plan.files, contents)?;
            self.run_in(&tmp, plan, baseline, streams, resources)
        });
        if self.level != Level::Full {
            tree::end(tree::own, || std::thread::sleep(BETWEEN_TRIES));
        }
        done
    }

    /// The writable tree where the jail has mounted none: a folder of the host.
    fn prepare_tree(&self, tmp: &Path) -> JailResult<()> {
        if let Level::Reduced { id } = self.level {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(tmp)
                .map_err(trouble(FOLDER, &format!("make {}", tmp.display())))?;
            if let Some(id) = id {
                std::os::unix::fs::chown(tmp, Some(id), Some(id)).map_err(trouble(
                    "rights",
                    &format!("change the owner of {}", tmp.display()),
                ))?;
                // Now, because with the id root loses the right to empty it.
                sys::drop_bounding_set().map_err(trouble("rights", "empty the bounding set"))?;
                sys::set_ids(id, id).map_err(trouble("rights", "take an unprivileged id"))?;
            }
            sys::prctl(libc::PR_SET_DUMPABLE, 0)
                .map_err(trouble("rights", "make the init undumpable"))?;
            return create_layout(tmp)
                .map_err(trouble(FOLDER, &format!("create the directories of {}", tmp.display())));
        }
        Ok(())
    }

    /// Places the files.
    fn fill(
        &self,
        tmp: &Path,
        files: &[PlacedFile],
        mut contents: PlanFile,
    ) -> JailResult<Baseline> {
        let work = tmp.join(WORK);
        // An error here is a full file system: the jail's own, or the host's.
        let layer = if self.level == Level::Full { "files" } else { FOLDER };
        let here = work.display();
        std::env::set_current_dir(&work).map_err(trouble(layer, &format!("enter {here}")))?;
        // At the reduced level such a call waits for an answer of this very process.
        let backdate = self.level == Level::Full;
        let mut times = Vec::with_capacity(files.len());
        for file in files {
            let what = format!("place {:?} in {}", file.name, tmp.display());
            times.push(contents.place(tmp, file, backdate).map_err(trouble(layer, &what))?);
        }
        // A program alone changes no file that was given to it.
        if let (false, Some(last), 2..) = (backdate, times.last(), files.len()) {
            files::await_tick(*last);
        }
        let artifacts = tmp.join(ARTIFACTS);
        if !artifacts.exists() {
            let what = format!("make {}", artifacts.display());
            fs::create_dir(&artifacts).map_err(trouble(layer, &what))?;
        }
        Ok(Baseline::new(files, &times))
    }

    fn run_in(
        &self,
        tmp: &Path,
        mut plan: Plan,
        mut baseline: Baseline,
        streams: Streams,
        Resources { locks, sockets, calls, oom_score, groups }: Resources<'_>,
    ) -> JailResult<()> {
        self.hand_over(sockets).map_err(trouble("streams", "hand over sockets"))?;
        calls.set_writable_tree(tmp);
        let locks = match locks {
            Some(locks) => locks,
            None => locks_for(self.level, tmp, self.show, self.filters)?,
        };
        let mut stepper = Stepper::new(&plan, locks, groups, self.shares_user, oom_score, calls)
            .map_err(trouble("streams", "prepare the steps"))?;
        if plan.then == Then::Serve {
            serve::limit_answers(self.control.as_fd())
                .map_err(trouble("streams", "limit the time of an answer"))?;
        }
        let steps = std::mem::take(&mut plan.steps);
        // An error here makes files of the compiler look like the program's, and nothing worse.
        let add_compiled = || {
            if let Ok(root) = fs::File::open(tmp) {
                baseline.add_made(&root.into());
            }
        };
        let collects = self.take_steps(steps, &mut stepper, streams, plan.then, add_compiled)?;
        if plan.then == Then::Serve {
            let ends = [self.control.as_fd(), self.parent_socket.as_fd()];
            let served = Server::new(ends, &plan, tmp).and_then(|it| it.serve(&mut stepper));
            // An error means that the engine is gone; there is nobody to report it to.
            return served.or(Ok(()));
        }
        if collects {
            let send = |message: FromInit, fds: &[BorrowedFd<'_>]| {
                channel::send(self.control.as_fd(), &message, fds)
            };
            // A failure here loses the artifacts, never the result.
            if let Err(error) = collect::collect(&plan, tmp, Some(&baseline), send) {
                let (name, why) = ("artifacts/".to_string(), error.to_string());
                let _ = send(FromInit::Skipped { name, why }, &[]);
            }
        }
        Ok(())
    }

    /// Sends the listening sockets to the engine and closes them here.
    fn hand_over(&self, sockets: Vec<TcpListener>) -> io::Result<()> {
        if sockets.is_empty() {
            return Ok(());
        }
        let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        channel::send(self.control.as_fd(), &FromInit::Listening, &fds)
    }

    /// True if artifacts are wanted after the steps. `compiled` is called between the steps of the compiler and the
    /// program.
    fn take_steps(
        &self,
        steps: Vec<Step>,
        stepper: &mut Stepper<'_>,
        streams: Streams,
        then: Then,
        mut compiled: impl FnMut(),
    ) -> JailResult<bool> {
        let mut streams = Some(streams);
        for (index, step) in steps.into_iter().enumerate() {
            let outcome = if step.kind == StepKind::Run {
                if index > 0 {
                    compiled();
                }
                // The init gives its copies of the streams away, so that they end with the program.
                let Some(streams) = streams.take() else { break };
                self.take(&step, stepper, RunStreams::Own(streams), then)?
            } else {
                let Some(streams) = &streams else { break };
                self.take(&step, stepper, RunStreams::Compiler(&streams.stderr), then)?
            };
            if outcome.end.cause == Cause::Stopped {
                return Ok(outcome.collect);
            }
            let failed = outcome.end.cause != Cause::Exited || outcome.end.code != 0;
            if step.kind == StepKind::Compile && failed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(
        &self,
        step: &Step,
        stepper: &mut Stepper<'_>,
        streams: RunStreams<'_>,
        then: Then,
    ) -> JailResult<Outcome> {
        let send = |message: &FromInit| channel::send(self.control.as_fd(), message, &[]);
        let started = || send(&FromInit::Started { kind: step.kind });
        let outcome = stepper.take(
            step,
            streams,
            [self.control.as_fd(), self.parent_socket.as_fd()],
            started,
            &mut || self.receive_in_batch(then),
        )?;
        // If the engine is gone, the next message fails as well.
        let _ = send(&FromInit::Ended { kind: step.kind, end: outcome.end });
        Ok(outcome)
    }

    /// A message during the batch; only `Stop` is accepted.
    fn receive_in_batch(&self, then: Then) -> Received {
        let control = self.control.as_fd();
        let received = match then {
            Then::End => channel::receive_short(control),
            Then::Serve => channel::receive(control),
        };
        let Ok(Some((bytes, _))) = received else { return Received::Closed };
        match ToInit::from_bytes(&bytes) {
            Some(ToInit::Stop { collect }) => Received::Stop { collect },
            Some(ToInit::Command { id, .. }) => {
                let why = "the batch is not over".to_string();
                let answer = Answer::Refused { why, errno: libc::EBUSY };
                match channel::try_send(control, &FromInit::Answer { id, answer }, &[]) {
                    Ok(()) => Received::Nothing,
                    Err(_) => Received::Closed,
                }
            }
            None => Received::Closed,
        }
    }
}
