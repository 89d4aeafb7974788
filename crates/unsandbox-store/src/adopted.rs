// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ends of adopted jobs on their way to the server that counts them. The first ones come before anybody can have asked
//! for them, as the store is opened. A request may be large: it is read and told on a thread for tasks.

use crate::live::Ended;
use crate::rows;
use crate::shared::{Shared, Task};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use unsandbox_protocol::adopted::{AdoptedJob, AdoptedJobs};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, Job, Owner, wire};

/// Ends that are kept while nobody has asked for them, and the bytes of their results.
const KEPT_MAX: usize = 10_000;
const KEPT_MAX_BYTES: usize = 64 << 20;
/// Bytes of the requests of all ends that wait to be told; one alone may be larger. Beyond it an end is told without its
/// request.
const REQUESTS_MAX_BYTES: u64 = 128 << 20;

/// The end of an adopted job, which is on disk.
#[derive(Debug)]
pub(crate) struct AdoptedEnd {
    pub owner: Owner,
    pub job: Arc<Job>,
    pub error: Option<Error>,
    pub request: Option<KeptRequest>,
    pub result_bytes: usize,
}

impl AdoptedEnd {
    pub(crate) fn of(owner: &Owner, ended: &Ended, request: Option<KeptRequest>) -> AdoptedEnd {
        AdoptedEnd {
            owner: owner.clone(),
            job: ended.end.job.clone(),
            error: ended.report.as_ref().err().cloned(),
            request,
            result_bytes: ended.end.result_bytes(),
        }
    }
}

/// A request that the disk does not have any more.
#[derive(Debug)]
pub(crate) struct KeptRequest {
    body: Vec<u8>,
    _room: Room,
}

/// A part of [`REQUESTS_MAX_BYTES`], until it is dropped.
#[derive(Debug)]
struct Room {
    held: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[derive(Default)]
pub(crate) struct Adopted {
    state: Mutex<State>,
    request_bytes: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    listener: Listener,
    waiting: VecDeque<AdoptedEnd>,
    result_bytes: usize,
    /// Ends that were not kept.
    dropped: usize,
}

#[derive(Default)]
enum Listener {
    /// Nobody has asked yet.
    #[default]
    Awaited,
    Asked(Arc<dyn AdoptedJobs>),
    /// Nobody has asked in time.
    Nobody,
}

impl Adopted {
    /// The request of a job that is about to lose it, if its end will be told and there is room.
    pub(crate) fn request(
        &self,
        db: &Connection,
        seq: i64,
        bytes: u64,
    ) -> rusqlite::Result<Option<KeptRequest>> {
        if matches!(lock(&self.state).listener, Listener::Nobody) {
            return Ok(None);
        }
        let Some(room) = self.room(bytes) else { return Ok(None) };
        Ok(rows::request(db, seq)?.map(|body| KeptRequest { body, _room: room }))
    }

    fn room(&self, bytes: u64) -> Option<Room> {
        let held = &self.request_bytes;
        let taken = held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| {
            (held == 0 || held + bytes <= REQUESTS_MAX_BYTES).then_some(held + bytes)
        });
        taken.is_ok().then(|| Room { held: held.clone(), bytes })
    }

    /// Whether it can be told now.
    fn add(&self, end: AdoptedEnd) -> bool {
        let mut state = lock(&self.state);
        let bytes = state.result_bytes + end.result_bytes;
        match state.listener {
            Listener::Asked(_) => {}
            Listener::Awaited if state.waiting.len() < KEPT_MAX && bytes <= KEPT_MAX_BYTES => {}
            Listener::Awaited => {
                state.dropped += 1;
                return false;
            }
            Listener::Nobody => return false,
        }
        state.result_bytes = bytes;
        state.waiting.push_back(end);
        matches!(state.listener, Listener::Asked(_))
    }

    /// The next end, and who is told.
    fn next(&self) -> Option<(Arc<dyn AdoptedJobs>, AdoptedEnd)> {
        let mut state = lock(&self.state);
        let Listener::Asked(listener) = &state.listener else { return None };
        let listener = listener.clone();
        let end = state.waiting.pop_front()?;
        state.result_bytes -= end.result_bytes;
        Some((listener, end))
    }

    /// Keeps no ends any more, if nobody has asked for them.
    pub(crate) fn forget(&self) {
        let mut state = lock(&self.state);
        if matches!(state.listener, Listener::Awaited) {
            let forgotten = std::mem::take(&mut *state);
            state.listener = Listener::Nobody;
            drop((state, forgotten));
        }
    }
}

impl Shared {
    pub(crate) fn watch_adopted(&self, jobs: Arc<dyn AdoptedJobs>) {
        let mut state = lock(&self.adopted.state);
        let dropped = std::mem::take(&mut state.dropped);
        let before = std::mem::replace(&mut state.listener, Listener::Asked(jobs));
        drop((state, before));
        if dropped > 0 {
            log::warn!(
                "{dropped} jobs of earlier processes ended as the store was opened and are not counted or audited: at \
                 most {KEPT_MAX} ends and {} MB of results are kept until the server asks for them",
                KEPT_MAX_BYTES >> 20
            );
        }
        self.tell_adopted_later();
    }

    /// The end of an adopted job is on disk.
    pub(crate) fn adopted_ended(&self, end: AdoptedEnd) {
        if self.adopted.add(end) {
            self.tell_adopted_later();
        }
    }

    fn tell_adopted_later(&self) {
        if !self.do_later(Task::TellAdopted) {
            self.tell_adopted();
        }
    }

    /// Tells all ends that wait.
    pub(crate) fn tell_adopted(&self) {
        while let Some((listener, end)) = self.adopted.next() {
            let AdoptedEnd { owner, job, error, request, .. } = &end;
            let body = request.as_ref().map(|kept| &kept.body[..]);
            let request = body.and_then(|body| Some(wire::decode_request(body).ok()?.request));
            let (request, error) = (request.as_ref(), error.as_ref());
            listener.ended(&AdoptedJob { owner, request, job, error });
        }
    }
}
