// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends a run to the jailer: pipes for its output, its plan in a sealed memfd. The reactor then watches it.

use crate::jailer::handle::Handle;
use crate::jailer::run::{Begin, Run};
use crate::jailer::start::Jailer;
use crate::jobs::ending::Ending;
use crate::jobs::{Jobs, Waiting};
use crate::programs::plan::Prepared;
use crate::programs::stdin::sealed;
use crate::shared::EngineShared;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::commands::Plan;
use unsandbox_jailer::message::ToJailer;
use unsandbox_protocol::quota::KeptFree;
use unsandbox_protocol::{Error, ErrorCode, Owner};

/// Time for a jail to be built, to collect artifacts and to end, beyond the time of its steps.
const MARGIN: Duration = Duration::from_secs(30);

impl EngineShared {
    /// Starts queued jobs while there are free places. Jobs that cannot be started are returned, to be ended without
    /// the lock. Without a jailer the queue waits (see `resume`).
    pub fn launch_waiting(&self, jobs: &mut Jobs) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        while jobs.running.all() < self.concurrency
            && let Some(jailer) = self.link.get()
            && let Some((owner, job_id)) = self.next_waiting(jobs)
        {
            let waiting = jobs.active(&job_id).and_then(|record| record.waiting.take());
            let Some(mut waiting) = waiting else { continue };
            let Err(error) = self.launch(jobs, &jailer, &job_id, &mut waiting) else { continue };
            let is_full = error.kind() == io::ErrorKind::WouldBlock;
            if is_full || (jobs.running.all() > 0 && is_passing(&error)) {
                // Tried again when the jailer has read a message, or a run ends.
                if let Some(record) = jobs.active(&job_id) {
                    record.waiting = Some(waiting);
                }
                jobs.queue.put_back(&owner, job_id);
                if is_full {
                    self.link.await_writable(&jailer);
                }
                break;
            }
            let what = format!("the run could not be handed to the jailer: {error}");
            failed.push((job_id, Error::new(ErrorCode::Server, what)));
        }
        failed
    }

    /// The job whose turn it is, of the owners whose quota has a place.
    fn next_waiting(&self, jobs: &mut Jobs) -> Option<(Owner, String)> {
        let (quotas, running) = (&*self.options.quotas, &jobs.running);
        let free = self.concurrency.saturating_sub(running.all());
        let kept = KeptFree::now(quotas, |owner| running.of(owner));
        let may = |owner: &Owner| {
            quotas.quota(owner).places(running.of(owner), free, kept.from(owner)) > 0
        };
        jobs.queue.pop_of(may, |_| true, |owner| quotas.quota(owner).weight)
    }

    /// Called when the jailer's socket is writable again.
    pub fn launch_after_full(&self) {
        if self.link.was_full() {
            let failed = self.launch_waiting(&mut self.jobs());
            self.end_failed(failed);
        }
    }

    fn launch(
        &self,
        jobs: &mut Jobs,
        jailer: &Jailer,
        job_id: &str,
        waiting: &mut Waiting,
    ) -> io::Result<()> {
        let gone = || io::Error::other("its job has already ended");
        if waiting.full_level != jailer.has_own_trees() {
            return Err(io::Error::other("the isolation level changed while the job was queued"));
        }
        let id = jobs.next_run + 1;
        let tree = jailer.tree(id);
        let plan = waiting.prepared.bind(&tree);
        let (ending, wall_ms) = (Ending::new(&plan, waiting.prepared.output_bytes), wall_ms(&plan));
        let (ours, theirs) = channel::pair()?;
        let (out, stdout) = output_pipe()?;
        let (err, stderr) = output_pipe()?;
        let plan = plan_memfd(&plan, &waiting.prepared)?;
        let wall = Duration::from_millis(wall_ms);
        let has_compiler = ending.compile_ms > 0;
        let handle = Arc::new(Handle::new(ours, Instant::now() + wall + MARGIN));
        jobs.next_run = id;
        let record = jobs.active(job_id).ok_or_else(gone)?;
        let begin = Begin {
            job_id: job_id.to_string(),
            owner: record.owner.clone(),
            sink: record.sink.clone(),
            handle: handle.clone(),
            epoll: self.epoll.clone(),
            egress: self.egress.clone(),
            pipes: [out, err],
            ending,
            base: jailer.base(),
        };
        let owner = begin.owner.clone();
        let run = Run::new(&waiting.prepared, begin);
        let fds: [BorrowedFd<'_>; 5] =
            [theirs.as_fd(), plan.as_fd(), waiting.stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let needs = waiting.prepared.needs.clone();
        let spawn = ToJailer::Spawn { id, needs, tree };
        let handed = run.watch(id);
        let handed = handed.and_then(|()| channel::try_send(jailer.socket.as_fd(), &spawn, &fds));
        if let Err(error) = handed {
            run.unwatch_all();
            return Err(error);
        }
        record.launch(handle, id);
        self.measured.waits.add(record.submitted.elapsed());
        record.launched = (!has_compiler).then(Instant::now);
        let is_followed = !record.followers.is_empty();
        jobs.running.add(&owner);
        jobs.launched.push((id, run));
        if is_followed {
            jobs.followed.push((id, job_id.to_string()));
        }
        self.wake_if_asleep();
        Ok(())
    }
}

/// A plan with the contents of its files.
fn plan_memfd(plan: &Plan, prepared: &Prepared) -> io::Result<OwnedFd> {
    let plan = plan.to_bytes();
    let head = (plan.len() as u64).to_le_bytes();
    sealed("unsandbox-plan", [&head[..], &plan].into_iter().chain(prepared.contents()))
}

/// The time of all steps together.
fn wall_ms(plan: &Plan) -> u64 {
    plan.steps.iter().map(|step| step.wall_ms).sum()
}

/// Whether the error is a lack of descriptors, in this process or in flight, which ends when another run does.
fn is_passing(error: &io::Error) -> bool {
    const PASSING: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::TOOMANYREFS, Errno::NOBUFS];
    PASSING.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A pipe whose reading end does not block; the program's end blocks, as programs expect.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    Ok((reader, writer))
}
