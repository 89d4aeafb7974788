// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes jobs: each is on disk before its id is told.

use crate::keys::{self, Found, NewKey};
use crate::live::{Active, Elsewhere, Stage};
use crate::rows::{self, Inserted, NewJob};
use crate::shared::{Shared, Task};
use std::io::Read;
use std::sync::Arc;
use unsandbox_protocol::backend::IdempotencyKey;
use unsandbox_protocol::{
    CallContext, CancelToken, Error, Event, EventSink, Job, Owner, Status, Submission, wire,
};

/// A job whose row is being written.
struct Accepting {
    new: NewJob,
    request_bytes: u64,
    cancel: CancelToken,
    sink: Arc<dyn EventSink>,
}

impl Shared {
    /// Takes a job; an error is a refusal.
    pub(crate) fn accept(
        self: &Arc<Self>,
        submission: Submission<'static>,
        sink: &Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let Submission { mut request, stdin, cancel, context, idempotency, .. } = submission;
        if let Some(mut stdin) = stdin {
            let mut bytes = Vec::new();
            stdin.read_to_end(&mut bytes).map_err(|cause| {
                Error::argument("standard input could not be read").with_cause(cause)
            })?;
            request.set_stdin(bytes);
        }
        let mut request = if request.language().is_some() { request } else { request.detect()? };
        // It is not the inner backend's: the store keeps it until the end is told.
        let callback_url = request.take_callback_url();
        self.inner.check(&request)?;
        let key = idempotency.map(|IdempotencyKey { key, fingerprint, may_be_new }| NewKey {
            key,
            fingerprint,
            may_be_new,
        });
        let mut job = Job::new(new_id()?, Status::Pending);
        job.language = request.language().map(|language| language.name.to_string());
        job.detected_language = job.language.clone().filter(|_| request.is_detected());
        job.network_mode = Some(request.network_mode.clone());
        job.created_at = Some(self.unix_seconds());
        let rerun = request.rerun;
        let webhooks_max = self.options.webhooks_max;
        let body = Arc::new(wire::encode_execute(&request.into_request()));
        let request_bytes = body.len() as u64;
        let quota = self.options.quotas.quota(&context.owner);
        // One at least: here nobody knows whether it would start at once.
        let most = quota.queue.unwrap_or(self.options.queue_max).max(1);
        let most = (!self.live().has_queue).then_some(most);
        let owner = context.owner;
        let new =
            NewJob { job, owner, rerun, key, request: body, most, callback_url, webhooks_max };
        let at_inner = self.inner.gauges_of(&new.owner).unwrap_or_default();
        let reserved = {
            let mut live = self.live();
            let limits = self.limits(&new.owner, &live, at_inner);
            live.reserve(&new.owner, request_bytes, limits)
        };
        if let Err(full) = reserved {
            return self.repeated(&new, sink, full);
        }
        let accepting = Accepting { new, request_bytes, cancel, sink: sink.clone() };
        self.insert(accepting);
        Ok(())
    }

    /// The queue is full: only a submission that is known already gets its job.
    fn repeated(
        self: &Arc<Self>,
        new: &NewJob,
        sink: &Arc<dyn EventSink>,
        full: Error,
    ) -> Result<(), Error> {
        let Some(key) = &new.key else { return Err(full) };
        match self.database.read("find a key", |db| keys::find(db, &new.owner, key))? {
            Found::Job(job_id) => self.known(&job_id, &new.owner, sink),
            Found::Refused(error) => return Err(error),
            Found::Unknown(_) => return Err(full),
        }
        Ok(())
    }

    fn insert(self: &Arc<Self>, accepting: Accepting) {
        let (shared, new) = (self.clone(), accepting.new.clone());
        self.writer.write(
            "save a job",
            move |db| rows::insert(db, &new),
            move |outcome| shared.inserted(accepting, outcome),
        );
    }

    fn inserted(self: &Arc<Self>, accepting: Accepting, outcome: Result<Inserted, Error>) {
        let Accepting { new, request_bytes, cancel, sink } = accepting;
        let refused = match outcome {
            Ok(Inserted::New { seq }) => {
                let accepted = Active::new(seq, new.owner, new.job, new.rerun, request_bytes);
                return self.queue(accepted, sink, &cancel);
            }
            Ok(Inserted::Known { job_id }) => {
                self.live().release(&new.owner, request_bytes);
                // The disk is asked on another thread: this one writes.
                self.do_later(Task::Known { job_id, owner: new.owner, sink });
                return;
            }
            Ok(Inserted::Refused(error)) | Err(error) => error,
        };
        self.live().release(&new.owner, request_bytes);
        sink.finished(Err(refused));
    }

    /// Answers a repeated submission with the job of the first.
    pub(crate) fn known(self: &Arc<Self>, job_id: &str, owner: &Owner, sink: &Arc<dyn EventSink>) {
        let context = CallContext::of(owner.clone());
        match self.get_job(job_id, &context) {
            Ok(job) => {
                sink.event(Event::Accepted(&job));
                sink.event(Event::Repeated);
                if let Err(error) = self.watch(job_id, &context, sink.clone()) {
                    sink.finished(Err(error));
                }
            }
            Err(error) => sink.finished(Err(error)),
        }
    }

    /// Tells that a job is on disk, and puts it into the queue of this process, if it owns the queue. Until this returns,
    /// the writer's thread reports no end.
    fn queue(self: &Arc<Self>, active: Active, sink: Arc<dyn EventSink>, cancel: &CancelToken) {
        let (job, owner, bytes) = (active.job.clone(), active.owner.clone(), active.request_bytes);
        let mut live = self.live();
        let is_ours = live.has_queue && !live.draining && !live.active.contains_key(&job.job_id);
        if is_ours {
            let active = Active { is_adopted: false, ..active };
            live.active.insert(job.job_id.clone(), active);
        } else {
            // The process that owns the queue finds it on the disk.
            live.release(&owner, bytes);
        }
        drop(live);
        sink.event(Event::Accepted(&job));
        if is_ours {
            self.register_cancel(&job.job_id, cancel);
        }
        let mut live = self.live();
        let active = live.active.get_mut(&job.job_id).filter(|_| is_ours);
        let Some(active) = active else {
            // It may have been given up since it was entered.
            drop(live);
            sink.event(Event::HandedOn);
            return self.live().elsewhere.push(Elsewhere { job_id: job.job_id, sink });
        };
        active.sink = Some(sink);
        // It may be cancelled already.
        if matches!(active.stage, Stage::Waiting) {
            live.waiting.push(&owner, job.job_id);
        }
        drop(live);
        self.dispatch();
    }

    /// Cancels the job when the token is cancelled, as long as both exist.
    fn register_cancel(self: &Arc<Self>, job_id: &str, cancel: &CancelToken) {
        let (shared, id) = (Arc::downgrade(self), job_id.to_string());
        let registration = cancel.on_cancel_for(move |reason| {
            if let Some(shared) = shared.upgrade() {
                shared.cancel_by_id(&id, reason);
            }
        });
        // If the job has ended meanwhile, the registration is dropped, without the lock.
        let mut unused = Some(registration);
        if let Some(active) = self.live().active.get_mut(job_id) {
            active.cancel_registration = unused.take();
        }
    }
}

/// `job_` and 128 random bits.
fn new_id() -> Result<String, Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|cause| Error::internal("no random bits for a job id").with_cause(cause))?;
    Ok(Job::id_of(bytes))
}
