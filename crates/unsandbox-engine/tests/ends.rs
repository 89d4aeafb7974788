// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every way a run can end, and what the result says of it (the table of ends).

mod common;

use common::*;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::{
    Backend, CallContext, Error, ErrorCode, EventSink, Job, LimitKind, Limits, Owner, Page,
    Request, Status, Submission,
};

/// Looks at the first piece of output for a while.
struct Slow(std::sync::Once);

impl EventSink for Slow {
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        if let unsandbox_protocol::Event::Output { .. } = event {
            self.0.call_once(|| std::thread::sleep(Duration::from_millis(500)));
        }
    }
    fn finished(&self, _: Result<Job, Error>) {}
}

#[test]
fn output_in_packets_is_all_there_at_the_end() {
    // More than is read at once, as much as the pipe holds beside the piece that is being looked at.
    let code = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <unistd.h>\n\
        int main() { fcntl(1, F_SETFL, O_DIRECT | O_WRONLY); usleep(100000);\n\
        for (int i = 0; i < 17; i++) if (write(1, \"0123456789\", 10) != 10) return 1; return 0; }";
    let sink = Arc::new(Slow(std::sync::Once::new()));
    let result =
        engine().execute(Submission::validated(Request::new("c", code)).unwrap(), sink).unwrap();
    assert_eq!((result.stdout.len(), result.exit_code), (170, Some(0)));
}

/// Descendants of this process by their names.
fn named(name: &str) -> Vec<u32> {
    let all = descendants(std::process::id()).into_iter();
    all.filter(|(_, found)| found == name).map(|(pid, _)| pid).collect()
}

#[test]
fn an_init_that_the_kernel_ends_for_want_of_memory_is_the_programs_limit() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let (recorder, events) = recorder();
    // Two processes share the memory, so that the score of each is below that of the init.
    let code = "#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n#include <sys/prctl.h>\n\
        #include <unistd.h>\n\
        int main() { prctl(PR_SET_NAME, \"hungry-program\"); puts(\"ready\"); fflush(stdout); getchar();\n\
        fork(); for (;;) memset(malloc(1 << 20), 1, 1 << 20); }";
    let (input, hold) = std::io::pipe().unwrap();
    let memory = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let mut submission =
        Submission::validated(Request::new("c", code).limits(memory).ttl(20)).unwrap();
    submission.stdin = Some(Box::new(input));
    engine.submit_job(submission, recorder).unwrap();
    let output = events.iter().find(|event| matches!(event, Event::Output(..)));
    assert!(output.is_some());
    // From outside, as no program can: the init is to go first.
    let program = named("hungry-program")[0];
    let parent = std::fs::read_to_string(format!("/proc/{program}/status")).unwrap();
    let init = parent.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap().to_string();
    for (pid, score) in [(init, "1000"), (program.to_string(), "0")] {
        // An ordinary user has no group here either: then the watchdog ends the program.
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), score);
    }
    drop(hold);
    let end = events.iter().find_map(|event| match event {
        Event::Finished(end) => Some(*end),
        _ => None,
    });
    let result = end.unwrap().unwrap().into_result().unwrap();
    assert_eq!((result.exit_code, result.limit), (Some(137), Some(LimitKind::Memory)));
    assert_eq!(result.stdout, b"ready\n");
    assert!(result.error.unwrap().contains("limits.memory_bytes (67108864)"));
}

#[test]
fn a_program_that_succeeds() {
    let result = bash("echo out; echo err >&2");
    assert!(result.success);
    assert_eq!(
        (result.status.clone(), result.exit_code, result.signal),
        (Status::Completed, Some(0), None)
    );
    assert_eq!((&result.stdout[..], &result.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((result.limit, result.error), (None, None));
    assert_eq!(result.language.as_deref(), Some("bash"));
    assert_eq!(result.isolation.expect("it is always told").level, "full");
    assert!(result.usage.expect("it is always told").peak_memory_bytes > 0);
}

#[test]
fn a_program_that_exits_with_a_code() {
    let result = bash("exit 7");
    assert!(!result.success);
    assert_eq!((result.status.clone(), result.exit_code), (Status::Completed, Some(7)));
    assert_eq!(result.error.as_deref(), Some("the program exited with code 7"));
}

#[test]
fn a_program_that_a_signal_ends() {
    let result = bash("kill -SEGV $$");
    assert_eq!(
        (result.status.clone(), result.exit_code, result.signal),
        (Status::Completed, Some(139), Some(11))
    );
    assert!(result.error.expect("it says why").contains("SIGSEGV"));
}

#[test]
fn a_program_that_runs_past_its_ttl() {
    let begin = Instant::now();
    let request =
        Request::new("bash", "trap '' TERM INT HUP ALRM; echo partial; while :; do :; done");
    let result = execute(request.ttl(1)).unwrap();
    assert_eq!((result.status.clone(), result.exit_code), (Status::Timeout, Some(124)));
    assert_eq!((result.limit, &result.stdout[..]), (Some(LimitKind::Wall), &b"partial\n"[..]));
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_program_that_takes_too_much_memory() {
    let code = "#include <stdlib.h>\n#include <string.h>\n\
                int main(){for(;;){char*p=malloc(1<<20);memset(p,1,1<<20);}}";
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let result = execute(Request::new("c", code).limits(limits)).unwrap();
    assert_eq!((result.status.clone(), result.exit_code), (Status::Completed, Some(137)));
    assert_eq!((result.limit, result.signal), (Some(LimitKind::Memory), Some(9)));
    assert!(result.error.unwrap().contains("limits.memory_bytes (67108864)"));
}

#[test]
fn a_program_that_takes_too_much_processor_time() {
    let limits = Limits { cpu_time_ms: Some(300), ..Limits::default() };
    let result = execute(Request::new("bash", "while :; do :; done").limits(limits)).unwrap();
    assert_eq!((result.status.clone(), result.exit_code), (Status::Completed, Some(137)));
    assert_eq!(result.limit, Some(LimitKind::Cpu));
    assert!(result.usage.unwrap().cpu_time_ms < 1000);
}

#[test]
fn a_program_that_writes_too_much() {
    let limits = Limits { output_bytes: Some(100_000), ..Limits::default() };
    let result = execute(Request::new("bash", "echo kept >&2; yes").limits(limits)).unwrap();
    assert_eq!((result.status.clone(), result.exit_code), (Status::Completed, Some(137)));
    assert_eq!((result.limit, result.truncated), (Some(LimitKind::Output), true));
    assert_eq!((result.stdout.len(), &result.stderr[..]), (100_000, &b"kept\n"[..]));
}

#[test]
fn a_program_that_writes_too_large_a_file() {
    let limits = Limits { file_size_bytes: Some(1 << 20), ..Limits::default() };
    let request = Request::new("bash", "exec head -c 5000000 /dev/zero > big").limits(limits);
    let result = execute(request).unwrap();
    assert_eq!((result.signal, result.limit), (Some(25), Some(LimitKind::Files)));
}

#[test]
fn a_program_that_does_not_compile_is_not_run() {
    let result = c("int main(void){ return nonsense }");
    assert_eq!((result.status.clone(), result.exit_code), (Status::Completed, Some(1)));
    assert!(result.stderr_text().contains("error:") && result.stdout.is_empty());
    assert!(result.error.unwrap().contains("did not compile"));
}

/// The fault of the code, as any other that a compiler finds: a result, not an error.
#[test]
fn a_text_that_is_no_program_has_failed() {
    for (language, code) in [
        ("go", "package app\nfunc main() { println(\"x\") }"),
        ("rust", "#![crate_type=\"lib\"]\npub fn f() {}"),
        ("rust", "#![crate_type=\"cdylib\"]\n#[unsafe(no_mangle)]\npub extern \"C\" fn f() {}"),
        ("rust", "#![crate_type=\"proc-macro\"]\nextern crate proc_macro;"),
        ("java", "interface Shape { double area(); }"),
        ("kotlin", "fun helper() = 1"),
        ("scala", "object Helper { def hi() = 1 }"),
        ("csharp", "class Helper { }"),
        ("c", "int helper(void) { return 1; }"),
        ("cpp", "namespace helper { int main() { return 0; } }"),
        ("haskell", "module Helper where\nhelper = 1"),
        ("fortran", "module helper\nend module"),
        ("pascal", "unit helper; interface implementation end."),
        ("erlang", "-module(helper).\n-export([f/0]).\nf() -> 1."),
        ("typescript", "let helper: = 1;"),
    ] {
        let Some(result) = if_installed(execute(Request::new(language, code).ttl(60))) else {
            continue;
        };
        assert_eq!((&result.status, result.exit_code), (&Status::Completed, Some(1)), "{language}");
        assert!(
            !result.success && result.error.is_some() && !result.stderr.is_empty(),
            "{language}"
        );
        assert!(!result.stderr_text().contains("please report"), "{language}");
    }
}

#[test]
fn a_compiler_that_takes_too_much_memory_is_named_with_its_limit() {
    let result = c("#include \"/dev/zero\"\n");
    let words = "the compiler exceeded its 2 GiB of memory; a larger limits.memory_bytes is also the compiler's";
    assert_eq!(result.error.as_deref(), Some(words));
    assert_eq!((result.limit, result.exit_code), (Some(LimitKind::Memory), Some(137)));
    assert!(result.usage.is_none() && result.compile.is_some(), "{result:?}");
}

#[test]
fn a_running_job_is_cancelled_with_what_it_has_written() {
    let engine = engine();
    let (sink, events) = recorder();
    let request = Request::new("bash", "echo partial; sleep 100");
    let job = engine.submit_job(Submission::validated(request).unwrap(), sink).unwrap();
    assert_eq!(await_output(&events), b"partial\n");
    engine.cancel(&job.job_id, &CallContext::default(), Arc::new(NoSink)).unwrap();
    let result = await_end(&events);
    assert_eq!((result.status.clone(), result.exit_code), (Status::Cancelled, Some(-1)));
    assert_eq!(result.stdout, b"partial\n");
    assert!(events.try_recv().is_err(), "the end comes once");
}

#[test]
fn a_cancel_token_ends_its_execution() {
    let engine = engine();
    let (sink, events) = recorder();
    let submission = Submission::validated(Request::new("bash", "echo on; sleep 100")).unwrap();
    let token = submission.cancel.clone();
    engine.submit_job(submission, sink).unwrap();
    await_output(&events);
    token.cancel();
    assert_eq!(await_end(&events).status, Status::Cancelled);
}

#[test]
fn a_queued_job_is_cancelled_without_running() {
    let engine = Engine::new(EngineOptions { concurrency: 1, ..EngineOptions::default() }).unwrap();
    let (first, running) = recorder();
    let blocking = engine
        .submit_job(
            Submission::validated(Request::new("bash", "echo on; sleep 100")).unwrap(),
            first,
        )
        .unwrap();
    await_output(&running);
    let (second, queued) = recorder();
    let job = engine
        .submit_job(Submission::validated(Request::new("bash", "echo never")).unwrap(), second)
        .unwrap();
    assert_eq!(
        engine.get_job(&job.job_id, &CallContext::default()).unwrap().status,
        Status::Pending
    );
    engine.cancel(&job.job_id, &CallContext::default(), Arc::new(NoSink)).unwrap();
    let result = await_end(&queued);
    assert_eq!((result.status.clone(), result.stdout.len()), (Status::Cancelled, 0));
    engine.cancel(&blocking.job_id, &CallContext::default(), Arc::new(NoSink)).unwrap();
    await_end(&running);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let options = EngineOptions { concurrency: 1, queue_max: 1, ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let (sink, events) = recorder();
    let sleeper = || Submission::validated(Request::new("bash", "echo on; sleep 100")).unwrap();
    engine.submit_job(sleeper(), sink).unwrap();
    await_output(&events);
    engine.submit_job(sleeper(), Arc::new(NoSink)).unwrap();
    let error = engine.submit_job(sleeper(), Arc::new(NoSink)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    assert!(error.retry_after_ms().is_some());
}

#[test]
fn a_job_is_listed_while_active_and_kept_after() {
    let engine = engine();
    let owner = Owner("one".to_string());
    let (sink, events) = recorder();
    let mut submission =
        Submission::validated(Request::new("bash", "echo on; read; echo $REPLY")).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    (submission.context.owner, submission.listed) = (owner.clone(), true);
    submission.stdin = Some(Box::new(reader));
    let job = engine.submit_job(submission, sink).unwrap();
    await_output(&events);
    assert_eq!(
        engine.list_jobs(&Page::default(), &CallContext::of(owner.clone())).unwrap().jobs[0].job_id,
        job.job_id
    );
    let stranger = Owner("two".to_string());
    assert_eq!(
        engine.get_job(&job.job_id, &CallContext::of(stranger.clone())).unwrap_err().code(),
        ErrorCode::NotFound
    );
    assert!(
        engine
            .list_jobs(&Page::default(), &CallContext::of(stranger.clone()))
            .unwrap()
            .jobs
            .is_empty()
    );
    std::io::Write::write_all(&mut writer, b"typed\n").unwrap();
    drop(writer);
    assert_eq!(await_end(&events).stdout, b"on\ntyped\n");
    assert!(
        engine
            .list_jobs(&Page::default(), &CallContext::of(owner.clone()))
            .unwrap()
            .jobs
            .is_empty()
    );
    let kept = engine.get_job(&job.job_id, &CallContext::of(owner)).unwrap();
    assert_eq!(kept.result.unwrap().stdout, b"on\ntyped\n");
    assert!(kept.started_at >= kept.created_at && kept.completed_at >= kept.started_at);
}

#[test]
fn a_list_is_walked_by_pages_while_jobs_end() {
    let engine = engine();
    let context = CallContext::of(Owner("one".to_string()));
    let submit = || {
        let mut submission = Submission::validated(Request::new("bash", "sleep 60")).unwrap();
        (submission.context, submission.listed) = (context.clone(), true);
        engine.submit_job(submission, Arc::new(NoSink)).unwrap().job_id
    };
    let ids: Vec<String> = (0..5).map(|_| submit()).collect();
    let listed = |limit, after: Option<&String>, by: &CallContext| {
        let listed = engine.list_jobs(&Page { limit, after: after.cloned() }, by)?;
        let ids: Vec<String> = listed.jobs.into_iter().map(|job| job.job_id).collect();
        Ok::<_, Error>((ids, listed.has_more))
    };
    assert_eq!(listed(None, None, &context).unwrap(), (ids.clone(), false));
    assert_eq!(listed(Some(2), None, &context).unwrap(), (ids[..2].to_vec(), true));
    engine.cancel_job(&ids[1], &context).unwrap();
    assert_eq!(listed(Some(2), ids.get(1), &context).unwrap(), (ids[2..4].to_vec(), true));
    assert_eq!(listed(Some(2), ids.get(3), &context).unwrap(), (ids[4..].to_vec(), false));
    assert_eq!(listed(Some(2), ids.get(4), &context).unwrap(), (Vec::new(), false));
    let stranger = CallContext::of(Owner("two".to_string()));
    engine.delete_job(&ids[1], &context).unwrap();
    for refused in [listed(None, ids.first(), &stranger), listed(None, ids.get(1), &context)] {
        let error = refused.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Argument);
        assert!(error.message().contains("without after"), "{error}");
    }
    engine.close(Duration::ZERO);
}

#[test]
fn a_job_is_deleted_by_its_owner_once_it_has_ended() {
    let engine = engine();
    let of = |name: &str| CallContext::of(Owner(name.to_string()));
    let (sink, events) = recorder();
    let mut submission = Submission::validated(Request::new("bash", "echo on; read")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    (submission.context, submission.listed) = (of("one"), true);
    submission.stdin = Some(Box::new(reader));
    let id = engine.submit_job(submission, sink).unwrap().job_id;
    await_output(&events);
    let deleted = |by: &str| engine.delete_job(&id, &of(by)).map_err(|error| error.code());
    let running = engine.delete_job(&id, &of("one")).unwrap_err();
    assert_eq!(running.code(), ErrorCode::Conflict);
    assert!(running.message().contains("is running; cancel it first"), "{running}");
    assert_eq!(deleted("two"), Err(ErrorCode::NotFound));
    drop(writer);
    await_end(&events);
    assert_eq!(deleted("two"), Err(ErrorCode::NotFound));
    assert_eq!(engine.get_job(&id, &of("one")).unwrap().result.unwrap().stdout, b"on\n");
    assert_eq!((deleted("one"), deleted("one")), (Ok(()), Err(ErrorCode::NotFound)));
    assert_eq!(engine.get_job(&id, &of("one")).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn a_closed_engine_refuses() {
    let engine = engine();
    engine.close(Duration::ZERO);
    let error = execute_on(&engine, Request::new("bash", "true")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}

/// A C program that says when its compiler is at work, and keeps it there: it includes itself 2^40 times, which
/// takes little memory a second.
const NEVER_COMPILED: &str = "#if __INCLUDE_LEVEL__ == 0\n#pragma message \"under way\"\n#endif\n\
                              #if __INCLUDE_LEVEL__ < 40\n#include __FILE__\n#include __FILE__\n#endif\n\
                              int main(void);\n";

#[test]
fn a_job_that_is_compiled_is_cancelled_at_once() {
    let engine = engine();
    let (sink, events) = recorder();
    let submission = Submission::validated(Request::new("c", NEVER_COMPILED).ttl(1)).unwrap();
    let context = submission.context.clone();
    let job = engine.submit_job(submission, sink).unwrap();
    await_said(&events, "under way", Duration::from_secs(20));
    let began = Instant::now();
    engine.cancel(&job.job_id, &context, Arc::new(NoSink)).unwrap();
    let result = await_end(&events);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((result.status.clone(), result.exit_code), (Status::Cancelled, Some(-1)));
    assert!(result.stderr_text().contains("under way"), "{}", result.stderr_text());
}

#[test]
fn a_job_that_is_compiled_has_its_place_and_is_its_owners() {
    let options = EngineOptions { concurrency: 1, queue_max: 1, ..EngineOptions::default() };
    let engine = Engine::new(options).unwrap();
    let (sink, events) = recorder();
    let listed = |code: &str, language: &str| {
        let request = Request::new(language, code);
        Submission { listed: true, ..Submission::validated(request).unwrap() }
    };
    let submission = listed(NEVER_COMPILED, "c");
    let (owner, cancel) = (submission.context.owner.clone(), submission.cancel.clone());
    engine.submit_job(submission, sink).unwrap();
    await_said(&events, "under way", Duration::from_secs(20));
    let jobs = engine.list_jobs(&Page::default(), &CallContext::of(owner.clone())).unwrap().jobs;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].status, Status::Running);
    let (sink, next) = recorder();
    engine.submit_job(listed("echo next", "bash"), sink).unwrap();
    let waiting = engine.list_jobs(&Page::default(), &CallContext::of(owner.clone())).unwrap().jobs;
    let pending = waiting.iter().filter(|job| job.status == Status::Pending).count();
    assert_eq!((waiting.len(), pending), (2, 1), "the next one waits for the place");
    let (sink, _) = recorder();
    let full = engine.submit_job(listed("true", "bash"), sink).unwrap_err();
    assert_eq!(full.code(), ErrorCode::RateLimited);
    // By its own token, as where its client has gone or its deadline has passed.
    cancel.cancel();
    assert_eq!(await_end(&events).status, Status::Cancelled);
    assert_eq!(await_end(&next).stdout, b"next\n");
}

#[test]
fn a_step_that_makes_an_artifact_is_stopped_as_the_program_is() {
    if lacks(&["clang", "wasm-ld"]) {
        return;
    }
    let engine = engine();
    let code = format!(
        "#ifdef __wasm__\n{}#else\nint main(void) {{ return 0; }}\n#endif\n",
        NEVER_COMPILED
    );
    let request = || Request { return_wasm_artifact: true, ..Request::new("c", code.clone()) };
    let (sink, events) = recorder();
    let submission = Submission::validated(request()).unwrap();
    let cancel = submission.cancel.clone();
    engine.submit_job(submission, sink).unwrap();
    await_said(&events, "under way", Duration::from_secs(20));
    cancel.cancel();
    let result = await_end(&events);
    assert_eq!(result.status, Status::Cancelled);
    assert!(!result.error.unwrap().contains("WebAssembly"), "it did not fail, it was cancelled");
    let limits = Limits { output_bytes: Some(8), ..Limits::default() };
    let result = execute_on(&engine, request().limits(limits)).unwrap();
    assert_eq!((result.limit, result.exit_code), (Some(LimitKind::Output), Some(137)));
    assert_eq!((result.stderr.len(), result.truncated), (8, true), "{:?}", result.error);
}

/// Runs another program while it hears that its own job is accepted, and notes what it hears.
struct Busy(Arc<Engine>, Mutex<Vec<&'static str>>, Sender<()>);

impl EventSink for Busy {
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        if let unsandbox_protocol::Event::Accepted(_) = event {
            assert_eq!(
                execute_on(&self.0, Request::new("bash", "true")).unwrap().exit_code,
                Some(0)
            );
            self.1.lock().unwrap().push("accepted");
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        assert_eq!(end.unwrap_err().code(), ErrorCode::Timeout);
        self.1.lock().unwrap().push("finished");
        let _ = self.2.send(());
    }
}

#[test]
fn no_end_is_heard_of_before_the_acceptance() {
    let engine = Arc::new(engine());
    let (sender, ended) = channel();
    let sink = Arc::new(Busy(engine.clone(), Mutex::default(), sender));
    let mut submission = Submission::validated(Request::new("bash", "sleep 60")).unwrap();
    submission.context.deadline = Some(Duration::from_nanos(1));
    engine.submit(submission, sink.clone());
    ended.recv_timeout(Duration::from_secs(20)).expect("the deadline has passed");
    assert_eq!(*sink.1.lock().unwrap(), ["accepted", "finished"]);
}

/// Cancels its job when it hears that it is accepted, while another thread closes the engine.
struct Closing(Arc<Engine>, Mutex<Option<std::thread::JoinHandle<Duration>>>);

impl EventSink for Closing {
    fn event(&self, event: unsandbox_protocol::Event<'_>) {
        let unsandbox_protocol::Event::Accepted(job) = event else { return };
        self.0.cancel(&job.job_id, &CallContext::default(), Arc::new(NoSink)).unwrap();
        let engine = self.0.clone();
        *self.1.lock().unwrap() = Some(std::thread::spawn(move || {
            let began = Instant::now();
            engine.close(Duration::from_secs(60));
            began.elapsed()
        }));
        let refused = || execute_on(&self.0, Request::new("bash", "true")).is_err();
        assert!(within(Duration::from_secs(20), refused), "it is closing");
    }

    fn finished(&self, _: Result<Job, Error>) {}
}

#[test]
fn a_close_does_not_wait_for_a_job_that_ended_before_it_was_queued() {
    let engine = Arc::new(engine());
    let sink = Arc::new(Closing(engine.clone(), Mutex::default()));
    engine.submit(Submission::validated(Request::new("bash", "true")).unwrap(), sink.clone());
    let closing = sink.1.lock().unwrap().take().expect("it was accepted");
    let took = closing.join().unwrap();
    assert!(took < Duration::from_secs(30), "{took:?}");
}
