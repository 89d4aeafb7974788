// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sinks that follow a job by its id: they get its past and its rest, each byte once, whenever they come.

mod common;

use common::{await_end, await_said, engine, recorder};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::feed::{Feed, Next};
use unsandbox_protocol::{
    Backend, CallContext, Error, ErrorCode, Job, JobEvent, Offsets, Owner, Request, Status, Stream,
    Submission,
};

const SOON: Duration = Duration::from_secs(20);

/// A reader of one job.
struct Reader {
    feed: Feed,
    woken: Receiver<()>,
    /// The names of the events, those of output once in a row.
    names: Vec<&'static str>,
    read: [Vec<u8>; 2],
    from: Offsets,
    end: Option<Result<Job, Error>>,
}

impl Reader {
    fn new(engine: &Engine, job_id: &str, from: Offsets) -> Reader {
        let (wake, woken) = channel();
        let feed = Feed::new(from, move || {
            let _ = wake.send(());
        });
        engine.watch_events(job_id, &CallContext::default(), from, feed.sink()).unwrap();
        Reader { feed, woken, names: Vec::new(), read: Default::default(), from, end: None }
    }

    fn at(&self) -> Offsets {
        let [out, err] = &self.read;
        let Offsets { stdout, stderr } = self.from;
        Offsets { stdout: stdout + out.len() as u64, stderr: stderr + err.len() as u64 }
    }

    fn take(&mut self, event: JobEvent) {
        let name = match event {
            JobEvent::Queued(job) => {
                assert_eq!((job.status, job.result), (Status::Pending, None));
                "queued"
            }
            JobEvent::Started(job) => {
                assert_eq!((job.status, job.result), (Status::Running, None));
                "started"
            }
            JobEvent::Output { stream, offset, bytes } => {
                assert_eq!(offset, self.at().of(stream), "no byte twice, and none left out");
                self.read[stream as usize].extend(bytes);
                if stream == Stream::Stdout { "stdout" } else { "stderr" }
            }
            other => panic!("{other:?}"),
        };
        if self.names.last() != Some(&name) {
            self.names.push(name);
        }
    }

    /// Reads until `done` says so, or the end.
    fn read_until(&mut self, engine: &Engine, job_id: &str, done: impl Fn(&Reader) -> bool) {
        while self.end.is_none() && !done(self) {
            match self.feed.take() {
                Next::Event(event) => self.take(event),
                Next::End(end) => self.end = Some(end),
                Next::Behind => {
                    let (at, context) = (self.at(), CallContext::default());
                    let sink = self.feed.again(at);
                    engine.watch_events(job_id, &context, at, sink).unwrap();
                }
                Next::Nothing => self.woken.recv_timeout(SOON).expect("something happens"),
            }
        }
    }

    fn read_to_end(mut self, engine: &Engine, job_id: &str) -> Reader {
        self.read_until(engine, job_id, |_| false);
        self
    }
}

fn keeping() -> Engine {
    Engine::new(EngineOptions { keep_unlisted: true, ..EngineOptions::default() }).unwrap()
}

/// Prints a line on each stream, and goes on when it is told to.
const TWO_HALVES: &str =
    "printf 'one\\n'; printf 'bad\\n' >&2; read -r line; printf 'two %s' \"$line\"";

#[test]
fn a_follower_gets_the_past_the_rest_and_the_end_whenever_it_comes() {
    let engine = keeping();
    let (input, mut go) = std::io::pipe().unwrap();
    let (sink, events) = recorder();
    let submission = Submission::validated(Request::new("bash", TWO_HALVES)).unwrap();
    let submission = Submission { stdin: Some(Box::new(input)), listed: true, ..submission };
    let job_id = engine.submit_job(submission, sink).unwrap().job_id;
    let early = Reader::new(&engine, &job_id, Offsets::default());
    await_said(&events, "one", SOON);
    // It has begun: this one hears of that, and gets what was printed before it came.
    let mut late = Reader::new(&engine, &job_id, Offsets::default());
    late.read_until(&engine, &job_id, |reader| reader.at() == Offsets { stdout: 4, stderr: 4 });
    let resumed = Reader::new(&engine, &job_id, Offsets { stdout: 2, stderr: 4 });
    let ahead = Reader::new(&engine, &job_id, Offsets { stdout: 6, stderr: 1 << 40 });
    std::io::Write::write_all(&mut go, b"more\n").unwrap();
    let end = await_end(&events);
    assert_eq!(end.stdout, b"one\ntwo more");
    let after = Reader::new(&engine, &job_id, Offsets { stdout: 11, stderr: 0 });
    for (reader, out, err) in [
        (early, "one\ntwo more", "bad\n"),
        (late, "one\ntwo more", "bad\n"),
        (resumed, "e\ntwo more", ""),
        (ahead, "o more", ""),
        (after, "e", "bad\n"),
    ] {
        let reader = reader.read_to_end(&engine, &job_id);
        assert_eq!(reader.read, [out.as_bytes(), err.as_bytes()]);
        assert!(reader.names[0] == "queued" && reader.names.contains(&"started"));
        let job = reader.end.unwrap().unwrap();
        assert_eq!((job.status, job.result.unwrap().stdout.len()), (Status::Completed, 12));
    }
}

#[test]
fn a_follower_that_is_slower_than_the_program_loses_nothing() {
    let engine = keeping();
    let (sink, events) = recorder();
    let code = "i=0; while [ $i -lt 60000 ]; do echo $i; i=$((i+1)); done";
    let submission = Submission::validated(Request::new("bash", code)).unwrap();
    let job_id = engine.submit_job(submission, sink).unwrap().job_id;
    let follower = Reader::new(&engine, &job_id, Offsets::default());
    let live = follower.read_to_end(&engine, &job_id);
    let expected: Vec<u8> = (0..60_000).flat_map(|i| format!("{i}\n").into_bytes()).collect();
    assert!(await_end(&events).stdout == expected);
    assert!(live.read[0] == expected);
    let after = Reader::new(&engine, &job_id, Offsets::default()).read_to_end(&engine, &job_id);
    assert!(after.read[0] == expected);
}

#[test]
fn a_follower_of_a_queued_job_hears_of_its_start_and_of_its_cancel() {
    let options = EngineOptions { concurrency: 1, ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let submit = |code: &str| {
        let submission = Submission::validated(Request::new("bash", code)).unwrap();
        let (sink, events) = recorder();
        let submission = Submission { listed: true, ..submission };
        (engine.submit_job(submission, sink).unwrap().job_id, events)
    };
    let (holds, _first) = submit("sleep 60");
    let (next, _second) = submit("echo next");
    let (never, _third) = submit("echo never");
    let [follows_next, follows_never] =
        [&next, &never].map(|id| Reader::new(&engine, id, Offsets::default()));
    engine.cancel_job(&never, &CallContext::default()).unwrap();
    engine.cancel_job(&holds, &CallContext::default()).unwrap();
    let mut follows_next = follows_next.read_to_end(&engine, &next);
    // The program may have printed before its init said that it has started.
    follows_next.names[1..].sort_unstable();
    assert_eq!(follows_next.names, ["queued", "started", "stdout"]);
    let follows_never = follows_never.read_to_end(&engine, &never);
    assert_eq!(follows_never.names, ["queued"]);
    assert_eq!(follows_never.end.unwrap().unwrap().status, Status::Cancelled);
}

#[test]
fn the_jobs_of_another_owner_cannot_be_followed() {
    let engine = engine();
    let (sink, _events) = recorder();
    let submission = Submission::validated(Request::new("bash", "sleep 60")).unwrap();
    let submission = Submission { listed: true, ..submission };
    let job_id = engine.submit_job(submission, sink).unwrap().job_id;
    let context = CallContext::of(Owner("other".to_string()));
    let feed = Feed::new(Offsets::default(), || {});
    let error = engine.watch_events(&job_id, &context, Offsets::default(), feed.sink());
    assert_eq!(error.unwrap_err().code(), ErrorCode::NotFound);
    engine
        .cancel(&job_id, &CallContext::default(), Arc::new(unsandbox_protocol::backend::NoSink))
        .unwrap();
}
