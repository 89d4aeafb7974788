// SPDX-License-Identifier: MIT OR Apache-2.0
//! Live events of a job, as a reply that goes on until the job ends. The output waits in a bounded buffer; for a client
//! that is slower than its program the backend is asked again for the rest, so that only output that the backend does
//! not keep is missing, which an event says.

use crate::admission::Admitted;
use crate::budget::Reservation;
use crate::connections::{Exchange, RunWait, Stage};
use crate::encoded::{Encoded, Made, encode, numbered, size_of};
use crate::reply::Refusal;
use crate::runs::End;
use crate::state::State;
use crate::submit::{Accepted, Attachment, RunEnd, about, gone, job_of_end};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response};
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use unsandbox_protocol::feed::{Feed, Next};
use unsandbox_protocol::wire::{self, OutputEncoder, Shape};
use unsandbox_protocol::{
    CallContext, CancelToken, Error, ErrorCode, Job, JobEvent, Offsets, Owner, Stream,
};

/// Bytes of output in one event, where it comes from a result.
const PIECE_BYTES: usize = 32 * 1024;

type Reply = Result<Response<Body>, Refusal>;

/// The place from which a submission asks for events, if it asks for them.
pub(crate) fn asked(parts: &Parts) -> Result<Option<Offsets>, Error> {
    let accepted = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    let is_stream = |kind: &str| {
        let name = kind.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(wire::EVENT_STREAM)
    };
    if kinds.any(is_stream) { place(&parts.headers, None).map(Some) } else { Ok(None) }
}

/// The place from which a client reads: the id of the last event that it has, else `from=` of the query.
pub(crate) fn place(headers: &HeaderMap, query: Option<&str>) -> Result<Offsets, Error> {
    let last = headers.get(wire::LAST_EVENT_ID_HEADER).map(|id| id.to_str().unwrap_or("?"));
    let from = || query?.split('&').find_map(|pair| pair.strip_prefix("from="));
    last.filter(|id| !id.is_empty()).or_else(from).map_or(Ok(Offsets::default()), str::parse)
}

/// The events of a job that the client names.
pub(crate) async fn of_job(
    state: Arc<State>,
    admitted: Admitted,
    job_id: String,
    from: Offsets,
) -> Reply {
    let Admitted { caller, exchange, shape, .. } = admitted;
    let mut stream = EventStream::new(state, exchange, caller.owner, shape, job_id, from);
    stream.watch(from).await?;
    Ok(reply_with(stream))
}

/// A synchronous run whose client wants its events.
pub(crate) struct Live {
    pub accepted: Accepted,
    pub wait: RunWait,
    pub exchange: Exchange,
    pub owner: Owner,
    pub shape: Shape,
    pub warnings: Vec<String>,
    pub from: Offsets,
}

/// The events of a synchronous run, which is cancelled if its client leaves before the end.
pub(crate) async fn of_run(state: Arc<State>, live: Live) -> Reply {
    let Live { accepted, wait, exchange, owner, shape, warnings, from } = live;
    let (job, end, attachment) = accepted.into_parts();
    let mut stream = EventStream::new(state, exchange, owner, shape, job.job_id.clone(), from);
    stream.run = Some((attachment, wait));
    stream.warnings = warnings;
    // The id may be unknown: a backend tells it only with the result, or keeps no such jobs.
    let watched = match job.job_id.is_empty() {
        true => Err(gone(&job)),
        false => stream.watch(from).await,
    };
    match (watched, end) {
        // Without the result, which is large and which the backend keeps.
        (Ok(()), Some(end)) => {
            stream.failure = Some(tokio::spawn(async { end.wait().await.err() }))
        }
        (Ok(()), None) => {}
        (Err(_), Some(end)) => stream.unwatched = Some((job, end)),
        (Err(error), None) if error.code() == ErrorCode::NotFound => return Err(gone(&job).into()),
        (Err(error), None) => return Err(error.into()),
    }
    Ok(reply_with(stream))
}

/// What a stream waited for.
enum Woken {
    Changed,
    /// Nothing happened for as long as a heartbeat.
    Idle,
    /// The server stops, or has no place for this connection.
    Over,
}

/// The client has left.
struct Left;

struct EventStream {
    state: Arc<State>,
    exchange: Exchange,
    owner: Owner,
    shape: Shape,
    job_id: String,
    feed: Feed,
    /// Ends the asking of the backend.
    stop: CancelToken,
    woken: Arc<Notify>,
    encoder: OutputEncoder,
    warnings: Vec<String>,
    /// Of a synchronous run.
    run: Option<(Attachment, RunWait)>,
    /// Why the run that this request has submitted failed inside the service. For all others it is a job that has failed.
    failure: Option<JoinHandle<Option<Error>>>,
    /// The end of a run that cannot be followed by its id.
    unwatched: Option<(Job, RunEnd)>,
}

impl EventStream {
    fn new(
        state: Arc<State>,
        exchange: Exchange,
        owner: Owner,
        shape: Shape,
        job_id: String,
        from: Offsets,
    ) -> EventStream {
        let woken = Arc::new(Notify::new());
        let wakes = woken.clone();
        exchange.streams();
        EventStream {
            state,
            exchange,
            owner,
            shape,
            job_id,
            feed: Feed::new(from, move || wakes.notify_one()),
            stop: CancelToken::new(),
            woken,
            encoder: OutputEncoder::new(from),
            warnings: Vec::new(),
            run: None,
            failure: None,
            unwatched: None,
        }
    }

    /// Asks the backend for the events behind a place.
    async fn watch(&mut self, from: Offsets) -> Result<(), Error> {
        let (backend, job_id) = (self.state.backend.clone(), self.job_id.clone());
        let (owner, cancel) = (self.owner.clone(), self.stop.clone());
        let (context, sink) =
            (CallContext { owner, cancel, deadline: None }, self.feed.again(from));
        let ask = move || backend.watch_events(&job_id, &context, from, sink);
        self.state.workers.question(self.exchange.party(), ask).await
    }

    /// Sends events until the last one, or until the client leaves.
    async fn produce(mut self, frames: mpsc::Sender<Bytes>) {
        let _ = self.send_all(&frames).await;
    }

    async fn send_all(&mut self, frames: &mpsc::Sender<Bytes>) -> Result<(), Left> {
        if let Some((job, end)) = self.unwatched.take() {
            return self.send_at_end(job, end, frames).await;
        }
        loop {
            match self.feed.take() {
                Next::Event(event) => send(frames, self.encoded(event)).await?,
                Next::End(end) => return self.send_end(end, frames).await,
                Next::Behind => {
                    self.encoder.rewind();
                    if let Some((job, memory)) = self.ended_job().await {
                        self.send_output(&job, frames).await?;
                        drop(memory);
                        return self.send_end(Ok(job), frames).await;
                    }
                    if let Err(error) = self.watch(self.encoder.at()).await {
                        return self.send_error(error, frames).await;
                    }
                }
                Next::Nothing => match self.wait().await {
                    Woken::Changed => {}
                    Woken::Idle => send(frames, wire::HEARTBEAT.to_string()).await?,
                    Woken::Over => return Ok(()),
                },
            }
        }
    }

    /// The job, if it has ended and there is memory to hold its output until it is sent: a backend may have to read all of
    /// it from a disk each time that it is asked.
    async fn ended_job(&self) -> Option<(Job, Reservation)> {
        let job = self.state.job(self.exchange.party(), &self.owner, &self.job_id).await.ok()?;
        let result = job.result.as_deref().filter(|_| job.status.is_terminal())?;
        let mut memory = self.state.replies.reserve(&self.exchange);
        let fits = memory.enlarge(size_of(result)).await;
        fits.then_some((job, memory))
    }

    /// Sends the output of a job that has ended, from the place where the stream is.
    async fn send_output(&mut self, job: &Job, frames: &mpsc::Sender<Bytes>) -> Result<(), Left> {
        let Some(result) = &job.result else { return Ok(()) };
        for (stream, bytes) in [(Stream::Stdout, &result.stdout), (Stream::Stderr, &result.stderr)]
        {
            let behind = self.encoder.at().behind(stream, 0, bytes);
            for piece in behind.map_or(&[][..], |(_, rest)| rest).chunks(PIECE_BYTES) {
                send(frames, self.encoder.output(stream, piece).unwrap_or_default()).await?;
            }
        }
        Ok(())
    }

    /// Waits in the stage of a long poll, for which a client may come again; of a run, in that of a run.
    async fn wait(&self) -> Woken {
        let woken = async {
            tokio::select! {
                () = self.woken.notified() => Woken::Changed,
                () = tokio::time::sleep(self.state.heartbeat) => Woken::Idle,
                () = self.state.streams_over() => Woken::Over,
            }
        };
        match self.run {
            Some(_) => woken.await,
            None => self.exchange.wait_in(Stage::LongPoll, woken).await.unwrap_or(Woken::Over),
        }
    }

    fn encoded(&mut self, event: JobEvent) -> String {
        let (at, shape) = (self.encoder.at(), self.shape);
        match event {
            JobEvent::Queued(job) => wire::encode_job_event("queued", at, &job, shape),
            JobEvent::Started(job) => wire::encode_job_event("started", at, &job, shape),
            JobEvent::Output { stream, bytes, .. } => {
                self.encoder.output(stream, &bytes).unwrap_or_default()
            }
            JobEvent::Gap { stream, len, .. } => self.encoder.gap(stream, len),
            // The end does not come as an event of a feed.
            _ => String::new(),
        }
    }

    /// Sends the events of a run whose backend tells nothing before its end.
    async fn send_at_end(
        &mut self,
        job: Job,
        end: RunEnd,
        frames: &mpsc::Sender<Bytes>,
    ) -> Result<(), Left> {
        send(frames, self.encoded(JobEvent::Queued(job.as_accepted()))).await?;
        let mut end = std::pin::pin!(end.wait());
        let end = loop {
            tokio::select! {
                end = &mut end => break end,
                () = tokio::time::sleep(self.state.heartbeat) => {
                    send(frames, wire::HEARTBEAT.to_string()).await?;
                }
            }
        };
        if let Ok(job) = &end {
            self.send_output(job, frames).await?;
        }
        self.send_end(end, frames).await
    }

    async fn send_end(&mut self, end: End, frames: &mpsc::Sender<Bytes>) -> Result<(), Left> {
        let rest = self.encoder.rest();
        send(frames, rest).await?;
        let (failure, is_own) = (self.failure.take(), self.run.is_some());
        let end = match failure {
            Some(failure) => match failure.await {
                Ok(Some(error)) => Err(error),
                _ => end,
            },
            None if is_own => end,
            None => {
                let (party, owner) = (self.exchange.party(), &self.owner);
                job_of_end(&self.state, party, owner, &self.job_id, end).await
            }
        };
        let end = end.map_err(|error| about(error, &self.job_id));
        if let Some((attachment, wait)) = self.run.take() {
            attachment.ended();
            drop(wait);
        }
        let encoded = match end {
            Ok(job) => self.encode_finished(job).await,
            Err(error) => Err(error),
        };
        match encoded {
            Ok(encoded) => {
                let head = format!("event: finished\nid: {}\ndata: ", self.encoder.at());
                send(frames, head).await?;
                frames.send(encoded.into_bytes()).await.map_err(|_| Left)?;
                send(frames, "\n\n".to_string()).await
            }
            Err(error) => self.send_error(error, frames).await,
        }
    }

    async fn encode_finished(&mut self, job: Job) -> Result<Encoded, Error> {
        let about = job.result.as_deref().map_or(0, size_of);
        let made = Made {
            about,
            bytes: |(job, _): &(Job, Vec<String>), shape| wire::job_bytes(job, shape),
            encode: |(job, warnings), shape| {
                wire::with_warnings(wire::encode_job(job, shape), warnings)
            },
        };
        let (id, source) =
            (job.job_id.clone(), (numbered(job), std::mem::take(&mut self.warnings)));
        encode(&self.state, &self.exchange, &id, source, self.shape, made).await
    }

    async fn send_error(&self, error: Error, frames: &mpsc::Sender<Bytes>) -> Result<(), Left> {
        send(frames, wire::encode_error_event(self.encoder.at(), &error)).await
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends a piece of the reply, unless it is empty.
async fn send(frames: &mpsc::Sender<Bytes>, text: String) -> Result<(), Left> {
    match text.is_empty() {
        true => Ok(()),
        false => frames.send(Bytes::from(text)).await.map_err(|_| Left),
    }
}

fn reply_with(stream: EventStream) -> Response<Body> {
    let (sender, frames) = mpsc::channel(1);
    let producer = Some(Box::pin(stream.produce(sender)) as Pin<Box<_>>);
    let mut response = Response::new(Body::new(EventBody { producer, frames }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(wire::EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Otherwise nginx in front of this server would hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// A body whose producer runs while it is polled, and ends when it is dropped.
struct EventBody {
    producer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    frames: mpsc::Receiver<Bytes>,
}

impl HttpBody for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(producer) = &mut this.producer
            && producer.as_mut().poll(context).is_ready()
        {
            this.producer = None;
        }
        // Of a producer that is gone, the sender is gone too.
        this.frames.poll_recv(context).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}
