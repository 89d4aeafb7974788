// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hands a run to the jailer: pipes for its output, its plan in a sealed memfd, its place among the
//! runs that the reactor watches.

use crate::core::Core;
use crate::jobs::{Table, Waiting, unix_seconds};
use crate::run::{Handle, Run};
use crate::start::Jailer;
use crate::stdin::sealed;
use rustix::fs::OFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::message::ToJailer;
use unsandbox_protocol::{Error, Status};

/// Beyond its steps, a jail may take this long to be built, to collect and to end.
const MARGIN: Duration = Duration::from_secs(30);

impl Core {
    /// Starts queued jobs while there is room. A job that cannot be started is returned, to be ended
    /// once the lock is gone.
    pub fn launch_waiting(&self, table: &mut Table) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        while table.running < self.concurrency
            && let Some(job_id) = table.queue.pop_front()
        {
            let Some(record) = table.any(&job_id) else { continue };
            let Some(waiting) = record.waiting.take() else { continue };
            if let Err(error) = self.launch(table, &job_id, waiting) {
                let what = format!("the run could not be handed to the jailer: {error}");
                failed.push((job_id, Error::new(unsandbox_protocol::ErrorCode::Server, what)));
            }
        }
        failed
    }

    fn launch(&self, table: &mut Table, job_id: &str, mut waiting: Waiting) -> io::Result<()> {
        let jailer: Arc<Jailer> =
            table.jailer.clone().ok_or_else(|| io::Error::other("the jailer has ended"))?;
        let (ours, theirs) = channel::pair()?;
        let (out, stdout) = output_pipe()?;
        let (err, stderr) = output_pipe()?;
        let plan = sealed("unsandbox-plan", &waiting.prepared.plan.to_bytes())?;
        let wall = Duration::from_millis(waiting.prepared.wall_ms);
        let handle = Arc::new(Handle::new(ours, Instant::now() + wall + MARGIN));
        table.next_run += 1;
        let id = table.next_run;
        let record = table.any(job_id).ok_or_else(|| io::Error::other("the job is gone"))?;
        record.handle = Some(handle.clone());
        record.job.status = Status::Running;
        record.job.started_at = Some(unix_seconds());
        let sink = record.sink.clone();
        let needs = waiting.prepared.needs.clone();
        let epoll = self.epoll.clone();
        let run = Run::new(
            job_id.to_string(),
            sink,
            handle.clone(),
            epoll,
            self.egress.clone(),
            [out, err],
            &mut waiting.prepared,
        );
        let fds: [BorrowedFd<'_>; 5] =
            [theirs.as_fd(), plan.as_fd(), waiting.stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let tree = waiting.prepared.plan.tmp.clone();
        let spawn = ToJailer::Spawn { id, needs, tree };
        let sent =
            run.watch(id).and_then(|()| channel::try_send(jailer.socket.as_fd(), &spawn, &fds));
        sent.inspect_err(|_| run.unwatch_all())?;
        table.running += 1;
        self.inbox.lock().expect("no panic under this lock").push((id, run));
        self.wake_if_late();
        Ok(())
    }
}

/// A pipe whose reading end never blocks; the program's end does, as programs expect.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    Ok((reader, writer))
}
