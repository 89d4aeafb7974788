// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ends of adopted jobs on their way to the server that counts them. The first ones come before anybody can have asked
//! for them, as the store is opened. A request may be large: it is decoded and told on a thread for tasks.

use crate::live::Ended;
use crate::rows;
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
        let listener = match &lock(&self.state).listener {
            Listener::Awaited => None,
            Listener::Asked(listener) => Some(listener.clone()),
            Listener::Nobody => return Ok(None),
        };
        if listener.is_some_and(|listener| !listener.wants_requests()) {
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
    pub(crate) fn add(&self, end: AdoptedEnd) -> bool {
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

    /// Tells all ends that wait.
    pub(crate) fn tell(&self) {
        while let Some((listener, end)) = self.next() {
            let AdoptedEnd { owner, job, error, request, .. } = &end;
            let body = request.as_ref().map(|kept| &kept.body[..]);
            let request = body.and_then(|body| Some(wire::decode_request(body).ok()?.request));
            let (request, error) = (request.as_ref(), error.as_ref());
            listener.ended(&AdoptedJob { owner, request, job, error });
        }
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

    /// Who is told from now on.
    pub(crate) fn set_listener(&self, jobs: Arc<dyn AdoptedJobs>) {
        let mut state = lock(&self.state);
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

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::Status;

    fn end(result_bytes: usize) -> AdoptedEnd {
        let (owner, job) = (Owner::default(), Arc::new(Job::new("a", Status::Failed)));
        AdoptedEnd { owner, job, error: None, request: None, result_bytes }
    }

    fn kept(adopted: &Adopted) -> usize {
        lock(&adopted.state).waiting.len()
    }

    #[test]
    fn only_so_much_is_kept_while_nobody_has_asked() {
        let many = Adopted::default();
        (0..=KEPT_MAX).for_each(|_| assert!(!many.add(end(1))));
        assert_eq!((kept(&many), lock(&many.state).dropped), (KEPT_MAX, 1));
        let large = Adopted::default();
        for bytes in [KEPT_MAX_BYTES, 1] {
            large.add(end(bytes));
        }
        assert_eq!((kept(&large), lock(&large.state).dropped), (1, 1));
    }

    #[test]
    fn nothing_is_kept_after_nobody_has_asked_in_time() {
        let adopted = Adopted::default();
        adopted.add(end(1));
        adopted.forget();
        assert!(!adopted.add(end(1)));
        assert_eq!(kept(&adopted), 0);
    }

    #[test]
    fn requests_have_a_bound_in_bytes_and_a_large_one_is_kept_alone() {
        let adopted = Adopted::default();
        let large = adopted.room(REQUESTS_MAX_BYTES + 1).unwrap();
        assert!(adopted.room(1).is_none());
        drop(large);
        let small = adopted.room(1).unwrap();
        assert!(adopted.room(REQUESTS_MAX_BYTES).is_none());
        let rest = adopted.room(REQUESTS_MAX_BYTES - 1).unwrap();
        drop((small, rest));
        assert_eq!(adopted.request_bytes.load(Ordering::SeqCst), 0);
    }
}
