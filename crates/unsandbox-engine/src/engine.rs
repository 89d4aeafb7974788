// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's interface for callers: submissions, questions about jobs, and its end.

use crate::jailer::run::refusal;
use crate::jailer::start::Jailer;
use crate::jobs::follower::Follower;
use crate::jobs::{Jobs, Record, Waiting, new_id, unix_seconds};
use crate::options::EngineOptions;
use crate::programs::access::Access;
use crate::programs::plan::Prepared;
use crate::programs::runtimes;
use crate::programs::stdin;
use crate::reactor::{self, Reactor};
use crate::shared::{EngineShared, closed};
use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unsandbox_protocol::backend::{
    Capabilities, Health, KeyInfo, LanguageInfo, cancelled, past_deadline, result_in,
};
use unsandbox_protocol::gauges::{Gauges, OwnerGauges};
use unsandbox_protocol::language::{Language, languages};
use unsandbox_protocol::quota::{KeptFree, queue_full};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::webhook::refused_here;
use unsandbox_protocol::{
    Backend, CallContext, CancelReason, CancelToken, Error, ErrorCode, Event, EventSink,
    ExecutionResult, IsolationPolicy, Job, JobPage, Level, NetworkMode, Offsets, Owner, Page,
    Probe, Status, Submission, ValidRequest,
};

/// The engine. Dropping it ends every run and the jailer.
pub struct Engine {
    shared: Arc<EngineShared>,
    reactor: Mutex<Option<JoinHandle<()>>>,
    /// The access of its runs to the host. Asked from the kernel once, because every run needs it.
    access: OnceLock<Access>,
    runtimes: Mutex<HashMap<(&'static str, String, Access), runtimes::Runtime>>,
    versions: Mutex<HashMap<&'static str, Option<String>>>,
    /// Held by the caller that asks for versions: several callers at once would fill the queue.
    asks_versions: Mutex<()>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// How long a runtime may take to print its version.
const VERSION_SECONDS: i64 = 20;

impl Engine {
    /// Sets the engine up; its jailer starts with the first execution.
    pub fn new(options: EngineOptions) -> Result<Engine, Error> {
        let shared = Arc::new(EngineShared::new(options)?);
        Ok(Engine {
            shared,
            reactor: Mutex::new(None),
            access: OnceLock::new(),
            runtimes: Mutex::default(),
            versions: Mutex::default(),
            asks_versions: Mutex::default(),
        })
    }

    fn ask_version(
        &self,
        language: &'static Language,
        runtime: runtimes::Runtime,
        stop: &CancelToken,
    ) -> Result<Waiter, Error> {
        let full_level = self.has_full_level()?;
        let prepared = Prepared::version(language, runtime, VERSION_SECONDS)?;
        let stdin = prepare_stdin(None, None)?;
        let waiting = Waiting { prepared, stdin, full_level };
        let mut job = Job::new(new_id()?, Status::Pending);
        job.language = Some(language.name.to_string());
        let waiter = Waiter::new();
        let record = Record::new(job, Owner::default(), waiter.sink(), waiting);
        self.enqueue(Record { asks_version: true, ..record }, stop)?;
        Ok(waiter)
    }

    /// Asks each runtime for its version, if it is not known yet. When the call ends, its open questions are cancelled.
    fn ask_versions(&self, context: &CallContext) -> Result<(), Error> {
        let until = context.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let _asking = lock(&self.asks_versions);
        let (stop, mut waiting) = (CancelToken::new(), Vec::new());
        for language in languages() {
            let known = lock(&self.versions).contains_key(language.name);
            if !known && let Ok(runtime) = self.runtime(language, None) {
                waiting.push((language.name, self.ask_version(language, runtime, &stop)));
            }
        }
        for (name, waiter) in waiting {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let rest = CallContext { deadline: left, ..context.clone() };
            let end = waiter.and_then(|waiter| waiter.wait_within("", &rest));
            let over = match end.as_ref().map_err(Error::code) {
                Err(ErrorCode::Timeout) => past_deadline(context.deadline.unwrap_or_default()),
                Err(ErrorCode::Cancelled) => cancelled(None),
                _ => {
                    self.keep_version(name, end.and_then(result_in).ok());
                    continue;
                }
            };
            stop.cancel();
            return Err(over);
        }
        Ok(())
    }

    fn keep_version(&self, name: &'static str, result: Option<ExecutionResult>) {
        // The engine was stopped, so the version is still unknown.
        if result.as_ref().is_none_or(|result| result.status != Status::Cancelled) {
            let version = result.and_then(|result| version_in(&result));
            lock(&self.versions).insert(name, version);
        }
    }

    /// Refuses calls in a forked copy, which has the locks as they were at the fork and none of the threads.
    fn check_process(&self) -> Result<(), Error> {
        if self.shared.process == std::process::id() {
            return Ok(());
        }
        let text = "this engine was created before a fork; create an engine in the child process";
        Err(Error::new(ErrorCode::Conflict, text))
    }

    /// The running jailer; starts it if necessary, together with the reactor thread.
    fn jailer(&self) -> Result<Arc<Jailer>, Error> {
        self.check_process()?;
        let jailer = self.shared.ensure_jailer()?;
        let mut reactor = lock(&self.reactor);
        if reactor.is_none() {
            if self.shared.jobs().closed {
                return Err(closed());
            }
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("unsandbox".to_string());
            let spawned = thread.spawn(move || Reactor::run(shared)).map_err(|error| {
                Error::new(
                    ErrorCode::Server,
                    format!("the engine's thread could not start: {error}"),
                )
            })?;
            *reactor = Some(spawned);
        }
        Ok(jailer)
    }

    /// Whether jails have namespaces on this machine. An error if no jail can be built.
    fn has_full_level(&self) -> Result<bool, Error> {
        let jailer = self.jailer()?;
        match &jailer.hello.trouble {
            Some(trouble) => Err(refusal(trouble)),
            None => Ok(jailer.has_own_trees()),
        }
    }

    /// The level of runs on this machine. It is needed before a jailer has started only if the host is root: the access
    /// of its runs depends on it.
    fn level(&self) -> Level {
        let hello = |jailer: &Arc<Jailer>| jailer.hello.level;
        let running = self.shared.link.get();
        let known = running.as_ref().and_then(hello);
        match self.shared.options.isolation {
            IsolationPolicy::Reduced => Level::Reduced,
            IsolationPolicy::Full => Level::Full,
            IsolationPolicy::Auto if known.is_none() && rustix::process::geteuid().is_root() => {
                self.jailer().ok().as_ref().and_then(hello).unwrap_or(Level::Full)
            }
            IsolationPolicy::Auto => known.unwrap_or(Level::Full),
        }
    }

    fn runtime(
        &self,
        language: &'static Language,
        chosen: Option<&str>,
    ) -> Result<runtimes::Runtime, Error> {
        let environment = std::env::var(language.choose).unwrap_or_default();
        let access = self.access.get_or_init(Access::by_the_host).at(self.level());
        let key = (language.name, chosen.unwrap_or(&environment).to_string(), access);
        // An upgrade may have moved the programs since they were found.
        if let Some(known) = lock(&self.runtimes).get(&key)
            && known.programs.iter().all(|(_, path)| path.exists())
        {
            return Ok(known.clone());
        }
        let options = &self.shared.options.runtimes;
        let preferred = options.iter().find(|(name, _)| name == language.name);
        let preferred = preferred.map(|(_, path)| path.as_path());
        let found = runtimes::find(language, chosen, preferred, access)?;
        log::debug!(
            "{} is run by {:?}",
            language.name,
            found.main_program().unwrap_or("".as_ref())
        );
        lock(&self.runtimes).insert(key, found.clone());
        Ok(found)
    }

    /// Accepts a job: its sink gets the acceptance, then the job is queued.
    fn enqueue(&self, mut record: Record, cancel: &CancelToken) -> Result<(), Error> {
        let (job, sink) = (record.job.clone(), record.sink.clone());
        // Set after the acceptance: the end must not be reported before it.
        let deadline = record.deadline.take();
        {
            let mut jobs = self.shared.jobs();
            if jobs.closed {
                return Err(closed());
            }
            // A submitter that keeps its jobs itself has a queue of its own before this one.
            if !record.kept_elsewhere {
                self.check_queue(&jobs, &record.owner)?;
            }
            jobs.accepting.add(&record.owner);
            jobs.insert(record);
        }
        // The panic is a fault of the caller, but the job's place in the queue must be released.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sink.event(Event::Accepted(&job)))) {
            self.shared.end_unqueued(&job.job_id);
            resume_unwind(panic);
        }
        self.shared.queue(&job.job_id, deadline, cancel);
        Ok(())
    }

    /// Refuses a submission that would find neither a place to run nor one to wait.
    fn check_queue(&self, jobs: &Jobs, owner: &Owner) -> Result<(), Error> {
        let (options, running) = (&self.shared.options, &jobs.running);
        let quota = options.quotas.quota(owner);
        let free = self.shared.concurrency.saturating_sub(running.all());
        let kept = KeptFree::now(&*options.quotas, |owner| running.of(owner));
        let places = quota.places(running.of(owner), free, kept.from(owner));
        let most = quota.queue.unwrap_or(options.queue_max);
        let waiting = jobs.queue.len_of(owner) + jobs.accepting.of(owner);
        if waiting < most.saturating_add(places) {
            return Ok(());
        }
        Err(queue_full(most))
    }

    fn accept(
        &self,
        submission: Submission<'static>,
        sink: &Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.check_process()?;
        let context_link = submission.link_context();
        let Submission { request, listed, stdin, cancel, context, kept_as, .. } = submission;
        let request = if request.language().is_some() { request } else { request.detect()? };
        let (language, runtime, full_level) = self.means(&request)?;
        let stdin = prepare_stdin(request.stdin.as_deref(), stdin)?;
        let kept_elsewhere = kept_as.is_some();
        let mut job = Job::new(kept_as.map_or_else(new_id, Ok)?, Status::Pending);
        job.language = Some(language.name.to_string());
        job.detected_language = request.is_detected().then(|| language.name.to_string());
        job.network_mode = Some(request.network_mode.clone());
        job.created_at = Some(unix_seconds());
        let waiting =
            Waiting { prepared: Prepared::new(request, language, runtime)?, stdin, full_level };
        let record = Record::new(job, context.owner, sink.clone(), waiting);
        let until = context.deadline.filter(|_| !listed);
        let deadline = until.and_then(|limit| Some((record.submitted.checked_add(limit)?, limit)));
        let record = Record { listed, kept_elsewhere, deadline, context_link, ..record };
        self.enqueue(record, &cancel)
    }

    /// What a request needs of this machine: the runtime of its language, and whether jails have namespaces.
    fn means(
        &self,
        request: &ValidRequest<'_>,
    ) -> Result<(&'static Language, runtimes::Runtime, bool), Error> {
        if request.callback_url.is_some() {
            return Err(refused_here());
        }
        let language = request.language().expect("it was detected");
        let runtime = self.runtime(language, request.runtime.as_deref())?;
        let full_level = self.has_full_level()?;
        if request.network_mode() == NetworkMode::Semitrusted && !full_level {
            let text = "network_mode \"semitrusted\" needs a network namespace, which is unavailable at the \
                        reduced isolation level of this machine; `unsandbox doctor` shows how to enable it, \
                        \"zerotrust\" works without";
            return Err(Error::new(ErrorCode::IsolationUnavailable, text));
        }
        Ok((language, runtime, full_level))
    }
}

fn prepare_stdin(
    bytes: Option<&[u8]>,
    stream: Option<Box<dyn Read + Send>>,
) -> Result<OwnedFd, Error> {
    stdin::prepare(bytes, stream).map_err(|error| {
        Error::new(ErrorCode::Server, format!("standard input could not be prepared: {error}"))
    })
}

/// The first word with a digit and a dot in the output of a version command.
fn version_in(result: &ExecutionResult) -> Option<String> {
    let text = format!("{}\n{}", result.stdout_text(), result.stderr_text());
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let clean = |word: &'_ str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let bare = word.trim_start_matches(|c: char| c.is_ascii_alphabetic() || ".-".contains(c));
        bare.to_string()
    };
    let words: Vec<String> = text.split_whitespace().take(60).map(clean).collect();
    let dotted =
        words.iter().map(String::as_str).find(|word| is_number(word) && word.contains('.'));
    dotted.or_else(|| words.iter().map(String::as_str).find(is_number)).map(str::to_string)
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl Backend for Engine {
    fn capabilities(&self) -> Capabilities {
        Capabilities::IN_PROCESS
    }

    fn check(&self, request: &ValidRequest<'_>) -> Result<(), Error> {
        self.check_process()?;
        match request.language() {
            Some(_) => self.means(request).map(|_| ()),
            None => self.means(&request.clone().detect()?).map(|_| ()),
        }
    }

    fn submit(&self, submission: Submission<'static>, sink: Arc<dyn EventSink>) {
        if let Err(error) = self.accept(submission, &sink) {
            sink.finished(Err(error));
        }
    }

    fn cancel(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.watch(job_id, context, sink)?;
        self.shared.cancel_by_id(job_id, CancelReason::Caller);
        Ok(())
    }

    fn get_job(&self, job_id: &str, context: &CallContext) -> Result<Job, Error> {
        self.check_process()?;
        let mut jobs = self.shared.jobs();
        jobs.finished.expire();
        jobs.job(&context.owner, job_id)
    }

    fn watch(
        &self,
        job_id: &str,
        context: &CallContext,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        self.check_process()?;
        let job = {
            let mut jobs = self.shared.jobs();
            jobs.finished.expire();
            if let Some(record) = jobs.active_of(&context.owner, job_id) {
                let others = record.watchers.clone();
                record.watchers.push(sink);
                drop(jobs);
                self.shared.drop_unwanted(job_id, others);
                return Ok(());
            }
            jobs.job(&context.owner, job_id)?
        };
        sink.finished(Ok(job));
        Ok(())
    }

    fn watch_events(
        &self,
        job_id: &str,
        context: &CallContext,
        from: Offsets,
        sink: Arc<dyn EventSink>,
    ) -> Result<(), Error> {
        let job = self.get_job(job_id, context)?;
        // First, so that what the reactor reports comes after it.
        sink.event(Event::Accepted(&job.as_accepted()));
        self.shared.follow(job_id, &context.owner, Follower { sink, from })
    }

    fn delete_job(&self, job_id: &str, context: &CallContext) -> Result<(), Error> {
        self.check_process()?;
        let mut jobs = self.shared.jobs();
        jobs.finished.expire();
        jobs.delete(&context.owner, job_id)
    }

    fn list_jobs(&self, page: &Page, context: &CallContext) -> Result<JobPage, Error> {
        self.check_process()?;
        let mut jobs = self.shared.jobs();
        jobs.finished.expire();
        jobs.list(&context.owner, page)
    }

    fn languages(&self, _: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        let info = |language: &'static Language| {
            let found = self.runtime(language, None).ok();
            let path = found.as_ref().and_then(runtimes::Runtime::main_program);
            let recipe = found.as_ref().map_or(language.offered(), |runtime| runtime.recipe);
            LanguageInfo {
                name: language.name.to_string(),
                aliases: language.aliases.iter().map(ToString::to_string).collect(),
                available: Some(found.is_some()),
                version: None,
                path: path.map(|path| path.to_string_lossy().into_owned()),
                install: found.is_none().then(|| runtimes::install_hint(language)),
                untested: recipe.untested,
            }
        };
        Ok(languages().iter().map(info).collect())
    }

    /// Asks each runtime once, in a jail.
    fn languages_with_versions(&self, context: &CallContext) -> Result<Vec<LanguageInfo>, Error> {
        let mut infos = self.languages(context)?;
        self.ask_versions(context)?;
        let versions = lock(&self.versions);
        for info in &mut infos {
            info.version = versions.get(info.name.as_str()).cloned().flatten();
        }
        Ok(infos)
    }

    fn validate_key(&self, _: &CallContext) -> Result<KeyInfo, Error> {
        Ok(KeyInfo { valid: true, tier: Some("local".to_string()), reason: None, raw: None })
    }

    fn usage(&self, context: &CallContext) -> Result<KeyUsage, Error> {
        self.check_process()?;
        Ok(self.shared.usage(&context.owner))
    }

    /// Healthy means that jails can be built here.
    fn health(&self, _: &CallContext) -> Result<Health, Error> {
        let trouble = self.jailer()?.hello.trouble.clone();
        let status = trouble.as_ref().map_or("ok".to_string(), |trouble| trouble.what.clone());
        Ok(Health { healthy: trouble.is_none(), status, raw: None })
    }

    fn gauges(&self) -> Gauges {
        let (waiting, running, free) = {
            let jobs = self.shared.jobs();
            let running = jobs.running.all();
            let free = self.shared.concurrency.saturating_sub(running);
            (jobs.queue.len() + jobs.accepting.all(), running, free)
        };
        let is_full = waiting >= self.shared.options.queue_max.saturating_add(free);
        self.shared.measured.gauges(waiting, is_full, running)
    }

    fn quotas_changed(&self) {
        let failed = self.shared.launch_waiting(&mut self.shared.jobs());
        self.shared.end_failed(failed);
    }

    fn gauges_of(&self, owner: &Owner) -> Result<OwnerGauges, Error> {
        Ok(self.shared.gauges_of(owner))
    }

    /// Runs no code of users.
    fn probe(&self, _: &CallContext) -> Result<Probe, Error> {
        let jailer = self.jailer()?;
        self.shared.link.probe(&jailer)
    }

    fn close(&self, grace: Duration) {
        if self.shared.process != std::process::id() {
            return; // a forked copy: the original goes on
        }
        let deadline = Instant::now() + grace;
        self.shared.jobs().closed = true;
        self.shared.wait_until_idle(deadline);
        // Not in the head of the loop, where the lock would be held for the whole loop.
        let unfinished = self.shared.jobs().unfinished();
        for job_id in unfinished {
            self.shared.cancel_by_id(&job_id, CancelReason::Stop);
        }
        if reactor::is_this_thread() {
            // Dropped in a callback, on the reactor thread: no other thread is left to report the ends.
            self.shared.abandon();
        } else {
            // Inits stop at once when asked; the reactor kills one that hangs.
            self.shared.wait_until_idle(Instant::now() + Duration::from_secs(10));
        }
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.wake();
        let reactor = lock(&self.reactor).take();
        if let Some(reactor) = reactor
            && !reactor::is_this_thread()
        {
            let _ = reactor.join();
        }
        if let Some(jailer) = self.shared.link.take() {
            jailer.end();
        }
        self.shared.egress.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_among_other_words() {
        for (text, version) in [
            ("Python 3.11.7\n", Some("3.11.7")),
            ("go version go1.21.0 linux/amd64", Some("1.21.0")),
            ("jq-1.6\n", Some("1.6")),
            ("gcc (Debian 12.2.0-14) 12.2.0", Some("12.2.0-14")),
            ("GNU bash, version 5.2.15(1)-release", Some("5.2.15(1)-release")),
            ("v18", Some("18")),
            ("no number here", None),
        ] {
            let mut result = ExecutionResult::new(unsandbox_protocol::Status::Completed);
            result.stdout = text.as_bytes().to_vec();
            assert_eq!(version_in(&result).as_deref(), version, "{text}");
        }
    }
}
