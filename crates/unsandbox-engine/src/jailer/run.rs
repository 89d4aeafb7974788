// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run in its jail: its descriptors, its output so far, and the result that is made from them.

use crate::egress::{Egress, Gateway};
use crate::jailer::handle::Handle;
use crate::jailer::token::{self, CONTROL, STDERR, STDOUT};
use crate::jobs::ending::Ending;
use crate::jobs::follower::Follower;
use crate::jobs::offline;
use crate::jobs::outcome;
use crate::jobs::tell;
use crate::programs::plan::Prepared;
use crate::programs::temporary;
use rustix::event::epoll;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::commands::{Cause, FromInit, RunLimits, StepEnd, StepKind};
use unsandbox_jailer::message::Trouble;
use unsandbox_protocol::{
    Artifact, Error, ErrorCode, Event, EventSink, ExecutionResult, Job, Owner, Status, Stream,
    Usage,
};

/// One stream of the program.
#[derive(Debug)]
struct Output {
    pipe: Option<File>,
    kept: Vec<u8>,
}

/// The state of a run in the reactor.
pub struct Run {
    pub job_id: String,
    pub owner: Owner,
    sink: Arc<dyn EventSink>,
    followers: Vec<Follower>,
    pub handle: Arc<Handle>,
    epoll: Arc<OwnedFd>,
    egress: Arc<Egress>,
    /// Whether its init was asked to listen. An init that listens without that gets no gateway.
    is_semitrusted: bool,
    gateway: Option<Gateway>,
    /// The host's folder with its writable tree, at the reduced level.
    base: Option<PathBuf>,
    control_open: bool,
    outputs: [Output; 2],
    ending: Ending,
    truncated: bool,
    end: Option<(StepKind, StepEnd)>,
    compile: Option<Usage>,
    artifacts: Vec<Artifact>,
    left_files: Vec<String>,
    notes: Vec<String>,
    trouble: Option<Trouble>,
    /// The step that was started last.
    step: StepKind,
    /// Whether the run step has begun.
    has_begun: bool,
    /// Whether its sinks were told so.
    has_started: bool,
    /// Whether the kernel killed the init because memory was short.
    out_of_memory: bool,
    done: bool,
}

/// The parts of a launch that its run needs.
pub struct Begin {
    pub job_id: String,
    pub owner: Owner,
    pub sink: Arc<dyn EventSink>,
    pub handle: Arc<Handle>,
    pub epoll: Arc<OwnedFd>,
    pub egress: Arc<Egress>,
    pub pipes: [OwnedFd; 2],
    pub ending: Ending,
    pub base: Option<PathBuf>,
}

/// The progress of a run after an event.
#[derive(PartialEq, Eq, Debug)]
pub enum Progress {
    Going,
    /// The run step's program is running.
    Started,
    /// The init has reported everything.
    Finished,
}

// Errors of the kernel.
const ENOENT: i32 = 2;
const ENOEXEC: i32 = 8;
const E2BIG: i32 = 7;
const EACCES: i32 = 13;
const NO_SPACE: i32 = 28; // ENOSPC
/// A stack beside which all arguments and variables fit that a request may have, and their pointers.
const ENOUGH_FOR_ARGUMENTS: u64 = 16 << 20;
/// The most reads from one stream before the others get theirs.
const READ_AT_ONCE: usize = 4;
const READ_BYTES: usize = 64 * 1024;
/// In the order of a run's outputs.
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Run {
    pub fn new(prepared: &Prepared, begin: Begin) -> Run {
        let Begin { job_id, owner, sink, handle, epoll, egress, pipes, ending, base } = begin;
        Run {
            job_id,
            owner,
            sink,
            followers: Vec::new(),
            handle,
            epoll,
            egress,
            is_semitrusted: !prepared.needs.listen.is_empty(),
            gateway: None,
            base,
            control_open: true,
            outputs: pipes.map(|pipe| Output { pipe: Some(pipe.into()), kept: Vec::new() }),
            ending,
            truncated: false,
            end: None,
            compile: None,
            artifacts: Vec::new(),
            left_files: Vec::new(),
            notes: prepared.notes.clone(),
            trouble: None,
            step: StepKind::Run,
            has_begun: false,
            has_started: false,
            out_of_memory: false,
            done: false,
        }
    }

    /// Reports the output so far to new followers, which get the rest as it comes.
    pub fn follow(&mut self, job: &Job, new: Vec<Follower>) {
        self.followers.retain(|follower| tell::is_wanted(&*follower.sink));
        let (outputs, has_started) = (&self.outputs, self.has_started);
        let told = |follower: &Follower| {
            (!has_started || follower.started(&job.as_started()))
                && outputs
                    .iter()
                    .zip(STREAMS)
                    .all(|(output, stream)| follower.output(stream, 0, &output.kept))
        };
        self.followers.extend(new.into_iter().filter(told));
    }

    /// Whether the end comes so soon that nobody was told of the start.
    pub fn is_start_untold(&self) -> bool {
        self.has_begun && !self.has_started
    }

    /// Reports that the run step began.
    pub fn tell_started(&mut self, job: &Job) {
        self.has_started = true;
        self.followers.retain(|follower| follower.started(job));
        if !self.handle.is_left() && !tell::event(&*self.sink, Event::Started(job)) {
            self.handle.leave();
        }
    }

    /// Starts watching: the reactor gets its events under `id`.
    pub fn watch(&self, id: u64) -> io::Result<()> {
        let add = |fd: BorrowedFd<'_>, which| {
            let data = token::of_run(id, which);
            epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)
        };
        for (output, which) in self.outputs.iter().zip([STDOUT, STDERR]) {
            if let Some(pipe) = &output.pipe {
                add(pipe.as_fd(), which)?;
            }
        }
        Ok(add(self.handle.control.as_fd(), CONTROL)?)
    }

    /// Stops watching everything, for a run that was not launched.
    pub fn unwatch_all(&self) {
        for pipe in self.outputs.iter().filter_map(|output| output.pipe.as_ref()) {
            self.unwatch(pipe.as_fd());
        }
        self.unwatch(self.handle.control.as_fd());
    }

    /// Stops watching before a descriptor is closed: a forked copy of the host may hold it open.
    fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Reads one of the descriptors.
    pub fn on_readable(&mut self, which: u64, buffer: &mut Vec<u8>) -> Progress {
        let mut started = false;
        match which {
            CONTROL => started = self.read_messages(buffer),
            STDOUT => _ = self.read(0, READ_AT_ONCE, buffer),
            _ => _ = self.read(1, READ_AT_ONCE, buffer),
        }
        if self.done {
            self.finish_reading(buffer);
            Progress::Finished
        } else if started {
            Progress::Started
        } else {
            Progress::Going
        }
    }

    /// Reads the rest, after the init and all that it started are gone.
    pub fn on_exit(&mut self, out_of_memory: bool, buffer: &mut Vec<u8>) {
        self.out_of_memory = out_of_memory;
        self.read_messages(buffer);
        self.finish_reading(buffer);
    }

    /// Reads the rest of the pipes. No process of the run is left, so nothing more will be written. The end of file is
    /// not waited for: a forked copy of the host may hold the other side open.
    fn finish_reading(&mut self, buffer: &mut Vec<u8>) {
        for index in 0..self.outputs.len() {
            // Only the bytes that are there now, in case another process holds the other end and still writes.
            let pipe = self.outputs[index].pipe.as_ref();
            let mut waiting =
                pipe.and_then(|pipe| rustix::io::ioctl_fionread(pipe).ok()).unwrap_or(0) as usize;
            // A program can make its pipe return one write for each read (O_DIRECT).
            while waiting > 0 {
                match self.read(index, 1, buffer) {
                    0 => break,
                    len => waiting = waiting.saturating_sub(len),
                }
            }
            if let Some(pipe) = self.outputs[index].pipe.take() {
                self.unwatch(pipe.as_fd());
            }
        }
        self.unwatch(self.handle.control.as_fd());
        if let Some(gateway) = self.gateway.take() {
            self.notes.extend(gateway.end());
        }
    }

    /// Reads all queued messages of the init; true if the run step has started.
    fn read_messages(&mut self, buffer: &mut Vec<u8>) -> bool {
        let mut started = false;
        while self.control_open && !self.done {
            match channel::receive_into(self.handle.control.as_fd(), false, buffer) {
                Ok(Some((len, fds))) => match FromInit::from_bytes(&buffer[..len]) {
                    Some(FromInit::Started { kind: StepKind::Run }) => {
                        // The end of the compile step is not the end of the run.
                        self.end = None;
                        self.step = StepKind::Run;
                        (started, self.has_begun) = (true, true);
                    }
                    Some(message) => self.take(message, fds),
                    None => self.control_open = false,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(None) | Err(_) => self.control_open = false,
            }
        }
        if !self.control_open {
            // The jailer reports the end of the init; until then there is nothing to read.
            self.unwatch(self.handle.control.as_fd());
        }
        started
    }

    fn take(&mut self, message: FromInit, fds: Vec<OwnedFd>) {
        if let FromInit::Ended { kind, end } = &message {
            let (cause, code, ms) = (end.cause, end.code, end.wall_us / 1000);
            log::debug!("{}: step {kind:?} took {ms} ms: {cause:?}, {code}", self.job_id);
            if *kind != StepKind::Run {
                outcome::add_compile(&mut self.compile, end);
            }
        }
        match message {
            // A stopped step is the last one, and its end is that of the run.
            FromInit::Ended { kind: kind @ (StepKind::Pack | StepKind::Wasm), end }
                if end.cause != Cause::Stopped =>
            {
                if !succeeded(&end) {
                    let what =
                        if kind == StepKind::Pack { "artifact" } else { "WebAssembly artifact" };
                    let why = outcome::in_words(kind, &end, &self.ending);
                    self.notes.push(format!("the {what} was not created: {why} (see stderr)"));
                }
            }
            FromInit::Ended { kind, end } => self.end = Some((kind, end)),
            FromInit::Artifact { name, kind, size } => {
                // Read at once: descriptors are few, and there may be a hundred artifacts.
                match read_artifact(name, kind, size, fds.into_iter().next()) {
                    Ok(artifact) => self.artifacts.push(artifact),
                    Err(note) => self.notes.push(note),
                }
            }
            FromInit::Skipped { name, why } if name.is_empty() => self.notes.push(why),
            FromInit::Skipped { name, why } => {
                self.notes.push(format!("artifact {name:?} was skipped: {why}"));
            }
            FromInit::Left { name } => self.left_files.push(name),
            FromInit::Refused { trouble } => self.trouble = Some(trouble),
            FromInit::Done => self.done = true,
            FromInit::Listening if self.is_semitrusted && self.gateway.is_none() => {
                self.start_gateway(fds);
            }
            FromInit::Started { kind } => self.step = kind,
            // No gateway was asked for, and the engine sends no commands that have answers.
            FromInit::Listening | FromInit::Answer { .. } => {}
        }
    }

    fn start_gateway(&mut self, sockets: Vec<OwnedFd>) {
        match Gateway::start(&self.egress, &self.owner, sockets) {
            Ok(gateway) => self.gateway = Some(gateway),
            Err(error) => {
                self.notes.push(format!("no network: the egress gateway could not start: {error}"));
            }
        }
    }

    pub fn refuse(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
    }

    /// Reads up to `times` buffers without blocking. Returns the number of bytes.
    fn read(&mut self, index: usize, times: usize, buffer: &mut Vec<u8>) -> usize {
        buffer.resize(READ_BYTES, 0);
        let mut sum = 0;
        for _ in 0..times {
            let Some(pipe) = &mut self.outputs[index].pipe else { break };
            match pipe.read(buffer) {
                Ok(len) if len > 0 => {
                    self.append_output(index, &buffer[..len]);
                    sum += len;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    let pipe = self.outputs[index].pipe.take();
                    pipe.iter().for_each(|pipe| self.unwatch(pipe.as_fd()));
                }
            }
        }
        sum
    }

    /// Appends output up to the limit; the first byte over it ends the program.
    fn append_output(&mut self, index: usize, bytes: &[u8]) {
        let output = &mut self.outputs[index];
        let room = (self.ending.output_bytes as usize).saturating_sub(output.kept.len());
        let kept = &bytes[..bytes.len().min(room)];
        if !kept.is_empty() {
            let (stream, offset) = (STREAMS[index], output.kept.len() as u64);
            output.kept.extend_from_slice(kept);
            self.followers.retain(|follower| follower.output(stream, offset, kept));
            if !self.handle.is_left()
                && !tell::event(&*self.sink, Event::Output { stream, offset, bytes: kept })
            {
                self.handle.leave();
            }
        }
        if bytes.len() > room && !self.truncated {
            self.truncated = true;
            self.handle.stop(true);
        }
    }

    /// The reason why no program starts from the writable tree of this run, if that is a folder of the host.
    fn noexec(&self) -> Option<String> {
        let base = self.base.as_deref()?;
        temporary::noexec(base)
    }

    /// The layer of its jail that could not be set up, if that ends the run.
    pub fn failed_layer(&self) -> Option<&str> {
        let trouble = self.trouble.as_ref().filter(|_| self.handle.cancelled().is_none())?;
        (!self.made_no_program(trouble)).then_some(&trouble.layer)
    }

    /// How long its last step ran.
    pub fn ran_for(&self) -> Duration {
        self.end.as_ref().map_or(Duration::ZERO, |(_, end)| Duration::from_micros(end.wall_us))
    }

    /// The result, or the error.
    pub fn into_result(mut self) -> Result<ExecutionResult, Error> {
        self.ending.cancelled = self.handle.cancelled();
        if let Some(trouble) = &self.trouble {
            if let Some(reason) = self.ending.cancelled {
                return Ok(ExecutionResult::cancelled(reason));
            }
            if !self.made_no_program(trouble) {
                return Err(self.error_of(trouble));
            }
        }
        let noexec = self.noexec();
        let mut result = ExecutionResult::new(Status::Failed);
        let [stdout, stderr] = self.outputs;
        (result.stdout, result.stderr) = (stdout.kept, stderr.kept);
        result.truncated = self.truncated;
        result.compile = self.compile;
        if self.trouble.is_some() {
            outcome::no_program(&mut result);
            return Ok(result);
        }
        match self.end {
            Some((kind, end)) if kind == StepKind::Run || !succeeded(&end) => {
                outcome::describe(&mut result, kind, &end, &self.ending);
            }
            _ => match self.ending.cancelled {
                Some(reason) => outcome::cancelled(&mut result, reason),
                None if self.out_of_memory => {
                    outcome::out_of_memory(&mut result, self.step, &self.ending);
                }
                None => {
                    let text = "the jail ended before the program did; please report this";
                    result.error = Some(text.to_string());
                }
            },
        }
        if self.truncated && result.limit.is_none() && result.status == Status::Completed {
            // It ended before it could be stopped, but its output was over the limit.
            outcome::too_much_output(&mut result, self.step, &self.ending);
        }
        if temporary::is_like_noexec(&result)
            && let Some(why) = noexec
        {
            self.notes.push(format!("{why}; {}", temporary::NOEXEC_FIX));
        }
        if !self.is_semitrusted && offline::is_like_offline(&result) {
            self.notes.push(offline::WHY.to_string());
        }
        result.artifacts = self.artifacts;
        result.left_files = self.left_files;
        if self.end.is_some() && !self.done {
            let note = "the jail was ended before its artifacts were collected";
            self.notes.push(note.to_string());
        }
        let said = result.error.take().into_iter().chain(self.notes).collect::<Vec<_>>();
        result.error = (!said.is_empty()).then(|| said.join("; "));
        Ok(result)
    }

    /// Whether the program could not be started because its compiler made none: the text of a library, for example.
    fn made_no_program(&self, trouble: &Trouble) -> bool {
        let has_compiled = matches!(&self.end, Some((StepKind::Compile, end)) if succeeded(end));
        let is_missing = [ENOENT, EACCES, ENOEXEC].contains(&trouble.errno);
        has_compiled && is_missing && trouble.layer == "program" && self.noexec().is_none()
    }

    /// The error of a run whose program was not started.
    fn error_of(&self, trouble: &Trouble) -> Error {
        match self.noexec() {
            Some(why) if trouble.layer == "program" && trouble.errno == EACCES => Error::new(
                ErrorCode::LanguageUnavailable,
                format!("the program cannot be started: {why}; {}", temporary::NOEXEC_FIX),
            ),
            _ if trouble.layer == "files" && trouble.errno == NO_SPACE => {
                do_not_fit(&trouble.what, &self.ending.limits)
            }
            _ if trouble.layer == "program" && trouble.errno == E2BIG => {
                arguments_do_not_fit(&trouble.what, &self.ending.limits)
            }
            _ => refusal(trouble),
        }
    }
}

fn succeeded(end: &StepEnd) -> bool {
    end.cause == Cause::Exited && end.code == 0
}

/// Reads exactly the announced size. The file belongs to the jail, and nothing changes it any more.
fn read_artifact(
    name: String,
    kind: String,
    size: u64,
    fd: Option<OwnedFd>,
) -> Result<Artifact, String> {
    let Some(fd) = fd else {
        // The kernel drops a descriptor if the receiver has no free number for it.
        return Err(format!(
            "artifact {name:?} was lost: this process has no descriptor left for it; raise the limit on \
             open files (ulimit -n)"
        ));
    };
    let mut content = vec![0; size as usize];
    match File::from(fd).read_exact_at(&mut content, 0) {
        Ok(()) => Ok(Artifact { filename: name, kind, content, url: None }),
        Err(error) => Err(format!("artifact {name:?} could not be read: {error}")),
    }
}

fn do_not_fit(what: &str, limits: &RunLimits) -> Error {
    let RunLimits { work_bytes, work_files, .. } = limits;
    Error::argument(format!(
        "input_files do not fit into the work directory: {what}; limits.work_bytes is {work_bytes} and \
         limits.work_files is {work_files}; raise them"
    ))
}

/// The kernel gives arguments and environment a quarter of the soft limit of the stack, and at most 6 MB.
fn arguments_do_not_fit(what: &str, limits: &RunLimits) -> Error {
    Error::argument(format!(
        "args and env do not fit beside the stack: {what}; they have a quarter of limits.stack_bytes, which is {}; \
         raise it to {ENOUGH_FOR_ARGUMENTS} or more, or give the program a file or standard input",
        limits.stack_bytes
    ))
}

/// The error for a jail that could not be built, with layer, cause and fix.
pub fn refusal(trouble: &Trouble) -> Error {
    let Trouble { layer, what, fix, .. } = trouble;
    // A missing program, or files that cannot be placed, are not faults of the isolation.
    match layer.as_str() {
        "program" => Error::new(
            ErrorCode::LanguageUnavailable,
            format!("the language's program could not be started in the jail: {what}"),
        ),
        "files" | "plan" | "streams" => {
            Error::new(ErrorCode::Server, format!("the run could not be prepared: {what}"))
        }
        _ => Error::new(
            ErrorCode::IsolationUnavailable,
            format!("the {layer} could not be set up: {what}; {fix}"),
        ),
    }
}
