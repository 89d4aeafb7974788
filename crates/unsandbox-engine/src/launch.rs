// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hands a run to the jailer: pipes for its output, its plan in a sealed memfd, its place among the
//! runs that the reactor watches.

use crate::core::Core;
use crate::jobs::{Table, Waiting, unix_seconds};
use crate::reactor::JAILER_SOCKET;
use crate::run::{Handle, Run};
use crate::start::Jailer;
use crate::stdin::sealed;
use rustix::event::epoll::{self, EventFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use unsandbox_jailer::channel;
use unsandbox_jailer::codec::Wire;
use unsandbox_jailer::message::ToJailer;
use unsandbox_protocol::{Error, Status};

/// Beyond its steps, a jail may take this long to be built, to collect and to end.
const MARGIN: Duration = Duration::from_secs(30);

impl Core {
    /// Starts queued jobs while there is room. A job that cannot be started is returned, to be ended
    /// once the lock is gone. Without a jailer they wait (see `resume`).
    pub fn launch_waiting(&self, table: &mut Table) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        while table.running < self.concurrency
            && let Some(jailer) = table.jailer.clone()
            && let Some(job_id) = table.queue.pop_front()
        {
            let waiting = table.any(&job_id).and_then(|record| record.waiting.take());
            let Some(mut waiting) = waiting else { continue };
            let Err(error) = self.launch(table, &jailer, &job_id, &mut waiting) else { continue };
            let is_crowded = error.kind() == io::ErrorKind::WouldBlock;
            if is_crowded || (table.running > 0 && is_passing(&error)) {
                // Its turn comes when the jailer has taken a message, or when a run ends.
                if let Some(record) = table.any(&job_id) {
                    record.waiting = Some(waiting);
                }
                table.queue.push_front(job_id);
                if is_crowded {
                    self.await_room(&jailer);
                }
                break;
            }
            let what = format!("the run could not be handed to the jailer: {error}");
            failed.push((job_id, Error::new(unsandbox_protocol::ErrorCode::Server, what)));
        }
        failed
    }

    /// Has the reactor told when the jailer's socket takes a message again.
    fn await_room(&self, jailer: &Jailer) {
        self.crowded.store(true, Ordering::SeqCst);
        self.watch_jailer(jailer, EventFlags::IN | EventFlags::OUT);
    }

    /// The jailer's socket may have room again.
    pub fn launch_into_room(&self) {
        if self.crowded.swap(false, Ordering::SeqCst) {
            let mut table = self.table();
            if let Some(jailer) = &table.jailer {
                self.watch_jailer(jailer, EventFlags::IN);
            }
            let failed = self.launch_waiting(&mut table);
            drop(table);
            self.end_failed(failed);
        }
    }

    fn watch_jailer(&self, jailer: &Jailer, events: EventFlags) {
        let data = epoll::EventData::new_u64(JAILER_SOCKET);
        let _ = epoll::modify(&self.epoll, &jailer.socket, data, events);
    }

    fn launch(
        &self,
        table: &mut Table,
        jailer: &Jailer,
        job_id: &str,
        waiting: &mut Waiting,
    ) -> io::Result<()> {
        let gone = || io::Error::other("the job is gone");
        waiting.prepared.follow(&jailer.hello.base)?;
        let (ours, theirs) = channel::pair()?;
        let (out, stdout) = output_pipe()?;
        let (err, stderr) = output_pipe()?;
        let plan = sealed("unsandbox-plan", &waiting.prepared.plan.to_bytes())?;
        let wall = Duration::from_millis(waiting.prepared.wall_ms);
        let handle = Arc::new(Handle::new(ours, Instant::now() + wall + MARGIN));
        table.next_run += 1;
        let id = table.next_run;
        let record = table.any(job_id).ok_or_else(gone)?;
        let (epoll, egress) = (self.epoll.clone(), self.egress.clone());
        let pipes = [out, err];
        let run = Run::new(record, handle.clone(), epoll, egress, pipes, &waiting.prepared);
        let fds: [BorrowedFd<'_>; 5] =
            [theirs.as_fd(), plan.as_fd(), waiting.stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let needs = waiting.prepared.needs.clone();
        let tree = waiting.prepared.plan.tmp.clone();
        let spawn = ToJailer::Spawn { id, needs, tree };
        let handed = run.watch(id);
        let handed = handed.and_then(|()| channel::try_send(jailer.socket.as_fd(), &spawn, &fds));
        if let Err(error) = handed {
            run.unwatch_all();
            return Err(error);
        }
        record.handle = Some(handle);
        record.job.status = Status::Running;
        record.job.started_at = Some(unix_seconds());
        table.running += 1;
        self.inbox.lock().expect("no panic under this lock").push((id, run));
        self.wake_if_late();
        Ok(())
    }
}

/// What there will be more of when another run has ended: descriptors, here or on their way.
fn is_passing(error: &io::Error) -> bool {
    const PASSING: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::TOOMANYREFS, Errno::NOBUFS];
    PASSING.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A pipe whose reading end never blocks; the program's end does, as programs expect.
fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
    Ok((reader, writer))
}
