// SPDX-License-Identifier: MIT OR Apache-2.0
//! The streams of HTTP/2 connections. Each is served by a task of its own, which ends (and resets its stream) when
//! its place is needed or its client takes nothing of the reply: h2 has no time limit for a client that opens no
//! window for a reply, and reads everything else.

use crate::connections::{Handle, Stage};
use crate::fair_semaphore::FairSemaphore;
use crate::pace::{Pace, Progress};
use crate::party::Party;
use crate::places::StreamPlace;
use crate::sent::Pieces;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use unsandbox_protocol::sync::lock;

/// How long an evicted stream may take to send its answer.
const EVICTED_ANSWER: Duration = Duration::from_secs(1);

/// Starts the tasks of the streams of one connection. hyper calls the service for a stream and then starts its task,
/// one after the other, so that the watch that the service has made belongs to the task.
#[derive(Clone)]
pub(crate) struct StreamTasks {
    turns: FairSemaphore,
    next: Arc<Mutex<Option<Arc<StreamWatch>>>>,
}

impl StreamTasks {
    pub(crate) fn new(turns: FairSemaphore) -> StreamTasks {
        StreamTasks { turns, next: Arc::default() }
    }

    /// The watch of the stream whose task starts next; `party` is that of its request.
    pub(crate) fn begin(&self, party: Party) -> Arc<StreamWatch> {
        let state = Mutex::new(Watched { party, place: None, progress: None });
        let watch = Arc::new(StreamWatch { state, changed: Notify::new() });
        *lock(&self.next) = Some(watch.clone());
        watch
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let Some(watch) = lock(&self.next).take() else {
            tokio::spawn(task);
            return;
        };
        let turns = self.turns.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = turns.in_turns(|| watch.party(), task) => {}
                () = watch.over() => {}
            }
        });
    }
}

/// Why a stream may have to end.
pub(crate) struct StreamWatch {
    state: Mutex<Watched>,
    changed: Notify,
}

struct Watched {
    /// That of the head, until the stream has its place.
    party: Party,
    place: Option<Handle>,
    /// Set while a piece of the reply was given to the connection and the next is not asked for yet.
    progress: Option<Progress>,
}

impl StreamWatch {
    /// The stream has got its place.
    pub(crate) fn placed(&self, handle: &Handle) {
        lock(&self.state).place = Some(handle.clone());
        self.changed.notify_waiters();
    }

    /// Whose turn the task of the stream waits for. An evicted one gives up its place at once.
    fn party(&self) -> Option<Party> {
        let state = lock(&self.state);
        match &state.place {
            None => Some(state.party.clone()),
            Some(handle) => Some(handle.party()).filter(|_| !handle.is_evicted()),
        }
    }

    fn set_progress(&self, progress: Option<Progress>) {
        lock(&self.state).progress = progress;
        self.changed.notify_waiters();
    }

    /// Resolves when the stream has to end.
    async fn over(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let (handle, end) = {
                let state = lock(&self.state);
                (state.place.clone(), state.progress.as_ref().map(Progress::end))
            };
            let evicted = async {
                match &handle {
                    Some(handle) => handle.evicted().await,
                    None => std::future::pending().await,
                }
            };
            let too_slow = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                stage = evicted => {
                    if matches!(stage, Stage::Body | Stage::LongPoll) {
                        tokio::time::sleep(EVICTED_ANSWER).await;
                    }
                    return;
                }
                () = too_slow => {
                    if let Some(progress) = &lock(&self.state).progress {
                        log::debug!("the reply of a stream was taken too slowly: {progress}");
                    }
                    return;
                }
                () = changed => {}
            }
        }
    }
}

/// Bytes of one piece. h2 takes a piece when its client has room for one byte of it, and keeps the rest.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// The body of a reply on a stream, which holds the place of the stream. The next piece is asked for when the client
/// has room for all earlier ones and one byte more. With the last piece its task ends, and nothing measures how long
/// that waits in h2: so the last byte is a piece of its own. A body whose end is not known before (a stream of events)
/// has a small last piece already.
pub(crate) struct StreamBody {
    pieces: Pieces,
    pace: Pace,
    progress: Option<Progress>,
    watch: Arc<StreamWatch>,
    _place: StreamPlace,
}

impl StreamBody {
    pub(crate) fn new(
        body: Body,
        pace: Pace,
        watch: Arc<StreamWatch>,
        place: StreamPlace,
    ) -> StreamBody {
        // Before the first piece, too, a client has to make room.
        let begun = (!body.is_end_stream()).then(|| pace.begin());
        watch.set_progress(begun);
        StreamBody { pieces: Pieces::new(body), pace, progress: None, watch, _place: place }
    }
}

/// The bytes of the next piece of so many.
fn piece_of(length: usize, are_last: bool) -> usize {
    if are_last && (2..=PIECE_BYTES).contains(&length) {
        length - 1
    } else {
        length.min(PIECE_BYTES)
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        // A copy: what waits in h2 would keep the memory of the whole reply.
        let polled = this.pieces.poll_next(context, piece_of);
        let copied = |frame: Frame<Bytes>| frame.map_data(|data| Bytes::copy_from_slice(&data));
        let polled = polled.map_ok(copied);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let mut progress = this.progress.take().unwrap_or_else(|| this.pace.begin());
                progress.moved(frame.data_ref().map_or(0, Bytes::len));
                this.watch.set_progress(Some(progress.clone()));
                this.progress = Some(progress);
            }
            // There is nothing to send.
            _ => {
                this.progress = None;
                this.watch.set_progress(None);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint()
    }
}
