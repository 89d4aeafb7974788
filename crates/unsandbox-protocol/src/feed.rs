// SPDX-License-Identifier: MIT OR Apache-2.0
//! The events of a job for a reader that may be slower than the program: a sink with a bounded buffer. When the buffer is
//! full, what comes further is dropped, and the reader asks the backend again for the output behind what it has.

use crate::error::Error;
use crate::events::{Event, EventSink, Offsets, Stream, lost};
use crate::result::{ExecutionResult, Job};
use crate::sync::lock;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Output that waits for its reader.
const BUFFER_BYTES: usize = 32 * 1024;

/// One event of a job.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum JobEvent {
    /// The job is accepted. The first event.
    Queued(Job),
    /// The run step began.
    Started(Job),
    /// Bytes that the program wrote, in order within a stream.
    Output {
        /// The stream that the program wrote to.
        stream: Stream,
        /// How many bytes of the stream came before these.
        offset: u64,
        /// The bytes as written.
        bytes: Vec<u8>,
    },
    /// Output that is not kept any more.
    Gap {
        /// The stream that it was written to.
        stream: Stream,
        /// How many bytes of the stream came before it.
        offset: u64,
        /// How many bytes are missing.
        len: u64,
    },
    /// The job has ended, and has its result. The last event.
    Finished(Job),
}

/// What a [`Feed`] has for its reader.
#[derive(Debug)]
pub enum Next {
    /// An event before the end.
    Event(JobEvent),
    /// The end; nothing comes after it.
    End(Result<Job, Error>),
    /// Output was dropped: [`Feed::again`], and the sink to the backend.
    Behind,
    /// Nothing yet; the reader is woken.
    Nothing,
}

/// The reader's side.
pub struct Feed {
    shared: Arc<Shared>,
    wake: Arc<dyn Fn() + Send + Sync>,
    has_queued: bool,
    has_started: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

struct State {
    events: VecDeque<JobEvent>,
    /// Bytes of output in `events`.
    bytes: usize,
    /// Behind the last byte that is in `events`, or was.
    at: Offsets,
    is_behind: bool,
    end: Option<Result<Job, Error>>,
    /// The end came, or nobody reads any more.
    is_over: bool,
}

impl Feed {
    /// A feed of the output behind `from`. `wake` is called on the backend's threads whenever there is something to
    /// take; it must not block.
    pub fn new(from: Offsets, wake: impl Fn() + Send + Sync + 'static) -> Feed {
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        Feed { shared: Shared::new(from, &wake), wake, has_queued: false, has_started: false }
    }

    /// The sink for the backend. When it is dropped without an end, the end is INTERNAL.
    pub fn sink(&self) -> Arc<dyn EventSink> {
        Arc::new(FeedSink(self.shared.clone()))
    }

    /// Begins again behind `from`, with a new sink: the old one is not wanted any more.
    pub fn again(&mut self, from: Offsets) -> Arc<dyn EventSink> {
        self.shared.leave();
        self.shared = Shared::new(from, &self.wake);
        self.sink()
    }

    /// Takes what comes next. The job is reported as queued and as started once, however often the feed begins again.
    pub fn take(&mut self) -> Next {
        loop {
            let event = match self.shared.take() {
                Next::Event(event) => event,
                other => return other,
            };
            let had = match event {
                JobEvent::Queued(_) => std::mem::replace(&mut self.has_queued, true),
                JobEvent::Started(_) => std::mem::replace(&mut self.has_started, true),
                _ => false,
            };
            if !had {
                return Next::Event(event);
            }
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Shared {
    fn new(at: Offsets, wake: &Arc<dyn Fn() + Send + Sync>) -> Arc<Shared> {
        let state = State {
            events: VecDeque::new(),
            bytes: 0,
            at,
            is_behind: false,
            end: None,
            is_over: false,
        };
        Arc::new(Shared { state: Mutex::new(state), wake: wake.clone() })
    }

    fn leave(&self) {
        let mut state = lock(&self.state);
        state.is_over = true;
        let (events, end) = (std::mem::take(&mut state.events), state.end.take());
        drop(state);
        drop((events, end));
    }

    fn take(&self) -> Next {
        let mut state = lock(&self.state);
        match state.events.pop_front() {
            Some(event) => {
                if let JobEvent::Output { bytes, .. } = &event {
                    state.bytes -= bytes.len();
                }
                Next::Event(event)
            }
            None if state.is_behind => Next::Behind,
            None => state.end.take().map_or(Next::Nothing, Next::End),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        {
            let mut state = lock(&self.state);
            if state.is_over || state.is_behind {
                return;
            }
            change(&mut state);
        }
        (self.wake)();
    }
}

impl State {
    /// Takes as much as there is room for.
    fn output(&mut self, stream: Stream, offset: u64, bytes: &[u8]) {
        let Some((offset, bytes)) = self.at.behind(stream, offset, bytes) else { return };
        let (at, room) = (self.at.of(stream), BUFFER_BYTES - self.bytes);
        if offset > at {
            self.events.push_back(JobEvent::Gap { stream, offset: at, len: offset - at });
        }
        let taken = &bytes[..bytes.len().min(room)];
        self.is_behind = taken.len() < bytes.len();
        self.at.set(stream, offset + taken.len() as u64);
        if taken.is_empty() {
            return;
        }
        self.bytes += taken.len();
        match self.events.back_mut() {
            Some(JobEvent::Output { stream: last, bytes, .. }) if *last == stream => {
                bytes.extend_from_slice(taken);
            }
            _ => {
                let bytes = taken.to_vec();
                self.events.push_back(JobEvent::Output { stream, offset, bytes });
            }
        }
    }
}

/// A feed as a backend has it.
struct FeedSink(Arc<Shared>);

impl EventSink for FeedSink {
    fn event(&self, event: Event<'_>) {
        self.0.change(|state| match event {
            Event::Accepted(job) => state.events.push_back(JobEvent::Queued(job.clone())),
            Event::Started(job) => state.events.push_back(JobEvent::Started(job.clone())),
            Event::Output { stream, offset, bytes } => state.output(stream, offset, bytes),
            // Of no use to those who follow a job.
            Event::Repeated | Event::HandedOn => {}
        });
    }

    fn is_wanted(&self) -> bool {
        let state = lock(&self.0.state);
        !state.is_over && !state.is_behind
    }

    fn finished(&self, end: Result<Job, Error>) {
        self.0.change(|state| {
            state.is_over = true;
            state.end = Some(end);
        });
    }
}

impl Drop for FeedSink {
    fn drop(&mut self) {
        self.finished(Err(lost(None)));
    }
}

/// Reports the output of a result behind `from`.
pub fn report_rest(result: &ExecutionResult, from: Offsets, sink: &dyn EventSink) {
    for (stream, bytes) in [(Stream::Stdout, &result.stdout), (Stream::Stderr, &result.stderr)] {
        if let Some((offset, bytes)) = from.behind(stream, 0, bytes) {
            sink.event(Event::Output { stream, offset, bytes });
        }
    }
}

/// Reports a job that has ended as its events were: accepted, started if it did, its output behind `from`, and the end.
pub fn report_past(job: Job, from: Offsets, sink: &dyn EventSink) {
    sink.event(Event::Accepted(&job.as_accepted()));
    if job.started_at.is_some() {
        sink.event(Event::Started(&job.as_started()));
    }
    if let Some(result) = &job.result {
        report_rest(result, from, sink);
    }
    sink.finished(Ok(job));
}

/// A sink whose output comes with the end.
pub(crate) struct OutputAtEnd {
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) from: Offsets,
}

impl EventSink for OutputAtEnd {
    fn event(&self, event: Event<'_>) {
        self.sink.event(event);
    }

    fn is_wanted(&self) -> bool {
        self.sink.is_wanted()
    }

    fn wants_output(&self) -> bool {
        self.sink.wants_output()
    }

    fn finished(&self, end: Result<Job, Error>) {
        if let Ok(Job { result: Some(result), .. }) = &end {
            report_rest(result, self.from, &*self.sink);
        }
        self.sink.finished(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Status;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn feed(from: Offsets) -> (Feed, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = wakes.clone();
        let wake = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        (Feed::new(from, wake), wakes)
    }

    fn print(sink: &Arc<dyn EventSink>, stream: Stream, offset: u64, bytes: &[u8]) {
        sink.event(Event::Output { stream, offset, bytes });
    }

    #[test]
    fn pieces_of_one_stream_are_joined_and_those_before_the_place_left_out() {
        let (mut feed, wakes) = feed(Offsets { stdout: 2, stderr: 0 });
        let sink = feed.sink();
        for (offset, bytes) in [(0, "ab"), (1, "bcd"), (4, "e")] {
            print(&sink, Stream::Stdout, offset, bytes.as_bytes());
        }
        print(&sink, Stream::Stderr, 0, b"x");
        assert_eq!(wakes.load(Ordering::SeqCst), 4);
        let (stream, bytes) = (Stream::Stdout, b"cde".to_vec());
        let Next::Event(first) = feed.take() else { panic!("an event") };
        assert_eq!(first, JobEvent::Output { stream, offset: 2, bytes });
        assert!(matches!(
            feed.take(),
            Next::Event(JobEvent::Output { stream: Stream::Stderr, .. })
        ));
        assert!(matches!(feed.take(), Next::Nothing));
    }

    #[test]
    fn a_slow_reader_asks_again_and_gets_every_byte_once() {
        let written: Vec<u8> = (0..200_000u32).map(|number| (number % 251) as u8).collect();
        let (mut feed, _) = feed(Offsets::default());
        let mut sink = feed.sink();
        let mut read = Vec::new();
        let job = Job::new("a", Status::Running);
        loop {
            sink.event(Event::Accepted(&job));
            sink.event(Event::Started(&job));
            print(&sink, Stream::Stdout, 0, &written);
            sink.finished(Ok(job.clone()));
            let end = loop {
                match feed.take() {
                    Next::Event(JobEvent::Output { offset, bytes, .. }) => {
                        assert_eq!(offset, read.len() as u64);
                        assert!(bytes.len() <= BUFFER_BYTES);
                        read.extend(bytes);
                    }
                    Next::Event(_) => assert!(read.is_empty(), "the state is told once"),
                    Next::End(end) => break Some(end),
                    Next::Behind => break None,
                    Next::Nothing => panic!("there is an end"),
                }
            };
            assert_eq!(end.is_some(), read.len() == written.len());
            if end.is_some() {
                break;
            }
            assert!(!sink.is_wanted());
            sink = feed.again(Offsets { stdout: read.len() as u64, stderr: 0 });
            assert!(sink.is_wanted());
        }
        assert!(read == written);
    }

    #[test]
    fn bytes_that_are_not_kept_are_a_gap() {
        let (mut feed, _) = feed(Offsets { stdout: 1, stderr: 0 });
        print(&feed.sink(), Stream::Stdout, 5, b"x");
        let gap = JobEvent::Gap { stream: Stream::Stdout, offset: 1, len: 4 };
        assert!(matches!(feed.take(), Next::Event(event) if event == gap));
        assert!(matches!(feed.take(), Next::Event(JobEvent::Output { offset: 5, .. })));
    }

    #[test]
    fn a_sink_that_is_dropped_without_an_end_has_lost_the_run() {
        let (mut feed, _) = feed(Offsets::default());
        drop(feed.sink());
        assert!(matches!(feed.take(), Next::End(Err(error)) if error.may_have_run()));
        let sink = feed.again(Offsets::default());
        drop(feed);
        assert!(!sink.is_wanted());
    }

    #[test]
    fn the_output_of_a_finished_job_comes_from_its_result() {
        let mut result = ExecutionResult::new(Status::Completed);
        (result.stdout, result.stderr) = (b"out".to_vec(), b"err".to_vec());
        let job = Job { result: Some(Arc::new(result)), ..Job::new("a", Status::Completed) };
        let (mut feed, _) = feed(Offsets { stdout: 1, stderr: 3 });
        let at_end = OutputAtEnd { sink: feed.sink(), from: Offsets { stdout: 1, stderr: 3 } };
        at_end.finished(Ok(job.clone()));
        let (stream, bytes) = (Stream::Stdout, b"ut".to_vec());
        let output = JobEvent::Output { stream, offset: 1, bytes };
        assert!(matches!(feed.take(), Next::Event(event) if event == output));
        assert!(matches!(feed.take(), Next::End(Ok(end)) if end == job));
    }
}
