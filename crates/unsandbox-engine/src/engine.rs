// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine as its callers see it: takes submissions, answers questions about jobs, ends.

use crate::access::Access;
use crate::core::{Core, closed};
use crate::egress::EgressOptions;
use crate::jobs::{Record, Waiting, new_id, unix_seconds};
use crate::reactor::{self, Reactor};
use crate::run::refusal;
use crate::start::{Jailer, level_of};
use crate::{plan, runtimes, stdin, temporary};
use std::collections::HashMap;
use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use unsandbox_jailer::channel;
use unsandbox_jailer::message::{FromJailer, LayerReport, ToJailer};
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo, Waiter};
use unsandbox_protocol::isolation::Layer;
use unsandbox_protocol::language::{Language, languages};
use unsandbox_protocol::{
    Backend, CancelReason, Error, ErrorCode, EventSink, ExecutionResult, IsolationPolicy, Job,
    Level, NetworkMode, Owner, Probe, Request, Status, Submission, limits,
};

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub isolation: IsolationPolicy,
    /// Executions at once; 0: twice the cores.
    pub concurrency: usize,
    /// Executions that may wait for their turn.
    pub queue_max: usize,
    /// How long, and up to how many bytes, finished jobs are kept.
    pub retention: Duration,
    pub retention_max_bytes: usize,
    /// Keep finished jobs that were not `listed` as well, for callers who only remember the id.
    pub keep_unlisted: bool,
    /// What `semitrusted` runs may reach.
    pub egress: EgressOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            isolation: IsolationPolicy::Auto,
            concurrency: 0,
            queue_max: limits::QUEUE_MAX,
            retention: limits::RETENTION,
            retention_max_bytes: limits::RETENTION_MAX_BYTES,
            keep_unlisted: false,
            egress: EgressOptions::default(),
        }
    }
}

/// The engine. Dropping it ends every run and the jailer.
pub struct Engine {
    core: Arc<Core>,
    /// Numbers for the folders of runs.
    trees: AtomicU64,
    reactor: Mutex<Option<JoinHandle<()>>>,
    /// Held by whoever waits for the jailer's report: there is one place for it.
    probing: Mutex<()>,
    /// How its runs see the host, told by the kernel once: every run asks.
    access: OnceLock<Access>,
    runtimes: Mutex<HashMap<(&'static str, String, Access), runtimes::Runtime>>,
    versions: Mutex<HashMap<&'static str, Option<String>>>,
    /// Held by the one caller that asks for versions: together, many would fill the queue.
    asks_versions: Mutex<()>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.core.options).finish_non_exhaustive()
    }
}

/// How long a runtime may take to tell its version.
const VERSION_SECONDS: i64 = 20;

impl Engine {
    /// Sets the engine up; its jailer starts with the first execution.
    pub fn new(options: EngineOptions) -> Result<Engine, Error> {
        let core = Arc::new(Core::new(options)?);
        Ok(Engine {
            core,
            trees: AtomicU64::new(0),
            reactor: Mutex::new(None),
            probing: Mutex::default(),
            access: OnceLock::new(),
            runtimes: Mutex::default(),
            versions: Mutex::default(),
            asks_versions: Mutex::default(),
        })
    }

    /// Which layers this machine gives. Runs nothing of the user's.
    pub fn probe(&self) -> Result<Probe, Error> {
        let jailer = self.jailer()?;
        let _one = self.probing.lock().expect("no panic under this lock");
        let mut answer = self.core.probe_answer.lock().expect("no panic under this lock");
        *answer = None;
        channel::send(jailer.socket.as_fd(), &ToJailer::Probe, &[]).map_err(|error| {
            Error::new(ErrorCode::Server, format!("the jailer has ended: {error}"))
        })?;
        loop {
            if let Some(FromJailer::Layers { level, layers }) = answer.take() {
                let level = level_of(level);
                let mut layers: Vec<Layer> = layers.into_iter().map(layer_of).collect();
                if let Some(why) = &jailer.fell_back {
                    // What the full level failed at, which this jailer has not met itself.
                    layers.retain(|layer| layer.name != why.layer);
                    let (name, detail, fix) =
                        (why.layer.clone(), why.what.clone(), why.fix.clone());
                    layers.insert(0, Layer { name, available: false, detail, fix });
                }
                if let Some(detail) = temporary::noexec(Path::new(&jailer.hello.base)) {
                    let (name, fix) = ("temporary directory", temporary::NOEXEC_FIX.to_string());
                    layers.push(Layer { name: name.to_string(), available: false, detail, fix });
                }
                return Ok(Probe { level, layers });
            }
            let patience = Duration::from_secs(10);
            let (next, waited) = self
                .core
                .probe_answered
                .wait_timeout(answer, patience)
                .expect("no panic under this lock");
            answer = next;
            if waited.timed_out() && answer.is_none() {
                return Err(Error::new(ErrorCode::Server, "the jailer did not answer within 10 s"));
            }
        }
    }

    /// As [`Backend::languages`], with the version of each language that is there. Asks each runtime
    /// once, in a jail.
    pub fn languages_with_versions(&self) -> Result<Vec<LanguageInfo>, Error> {
        let mut infos = self.languages()?;
        let asking = self.asks_versions.lock().expect("no panic under this lock");
        let mut waiting = Vec::new();
        for language in languages() {
            let known =
                self.versions.lock().expect("no panic under this lock").contains_key(language.name);
            if !known && let Ok(runtime) = self.runtime(language, None) {
                waiting.push((language.name, self.ask_version(language, &runtime)));
            }
        }
        for (name, waiter) in waiting {
            let result = waiter.and_then(|waiter| waiter.wait_result());
            let version = result.ok().and_then(|result| version_in(&result));
            self.versions.lock().expect("no panic under this lock").insert(name, version);
        }
        drop(asking);
        let versions = self.versions.lock().expect("no panic under this lock");
        for info in &mut infos {
            info.version = versions.get(info.name.as_str()).cloned().flatten();
        }
        Ok(infos)
    }

    fn ask_version(
        &self,
        language: &'static Language,
        runtime: &runtimes::Runtime,
    ) -> Result<Arc<Waiter>, Error> {
        let mut request = Request::new(language.name, "");
        request.ttl = Some(VERSION_SECONDS);
        let tmp = self.writable_tree()?;
        let mut prepared = plan::prepare(&request, &request.validate()?, runtime, &tmp)?;
        plan::only_version(&mut prepared, runtime, VERSION_SECONDS);
        let waiter = Arc::new(Waiter::new());
        let submission = Submission::new(request);
        self.enqueue(submission, language.name, false, prepared, waiter.clone())?;
        Ok(waiter)
    }

    /// Refuses new submissions, waits up to `grace` for what runs, then ends everything.
    pub fn close(&self, grace: Duration) {
        if self.core.process != std::process::id() {
            return; // a forked copy: the original goes on
        }
        let deadline = Instant::now() + grace;
        self.core.table().closed = true;
        self.core.wait_until_idle(deadline);
        // Not in the loop's head: there it would hold the table's lock for the whole loop.
        let unfinished = self.core.table().unfinished();
        for job_id in unfinished {
            self.core.cancel_by_id(&job_id, CancelReason::Stop);
        }
        if reactor::is_this_thread() {
            // Dropped in a callback: nobody is left to hear of the ends, so they are told here.
            self.core.abandon();
        } else {
            // Inits that were told to stop do so at once; a hanging one is killed by the reactor.
            self.core.wait_until_idle(Instant::now() + Duration::from_secs(10));
        }
        self.core.stopping.store(true, Ordering::SeqCst);
        self.core.wake();
        let reactor = self.reactor.lock().expect("no panic under this lock").take();
        if let Some(reactor) = reactor
            && !reactor::is_this_thread()
        {
            let _ = reactor.join();
        }
        if let Some(jailer) = self.core.forget_jailer() {
            jailer.end();
        }
        self.core.egress.close();
    }

    /// A forked copy has the locks as they were at the fork, and none of the threads: it leaves them alone.
    fn check_process(&self) -> Result<(), Error> {
        if self.core.process == std::process::id() {
            return Ok(());
        }
        let text = "this engine belongs to the process that was forked; make one of your own";
        Err(Error::new(ErrorCode::Conflict, text))
    }

    /// The running jailer, started if need be together with the thread that hears it.
    fn jailer(&self) -> Result<Arc<Jailer>, Error> {
        self.check_process()?;
        let jailer = self.core.ensure_jailer()?;
        let mut reactor = self.reactor.lock().expect("no panic under this lock");
        if reactor.is_none() {
            if self.core.table().closed {
                return Err(closed());
            }
            let core = self.core.clone();
            let thread = std::thread::Builder::new().name("unsandbox".to_string());
            let spawned = thread.spawn(move || Reactor::run(core)).map_err(|error| {
                Error::new(
                    ErrorCode::Server,
                    format!("the engine's thread could not start: {error}"),
                )
            })?;
            *reactor = Some(spawned);
        }
        Ok(jailer)
    }

    /// Where the next run may write: its own mount, or a folder of its own where it has none. Refuses
    /// where no jail can be had at all.
    fn writable_tree(&self) -> Result<String, Error> {
        let jailer = self.jailer()?;
        if let Some(trouble) = &jailer.hello.trouble {
            return Err(refusal(trouble));
        }
        let base = &jailer.hello.base;
        if base.is_empty() {
            return Ok(plan::TMP.to_string());
        }
        Ok(format!("{base}/{}", self.trees.fetch_add(1, Ordering::Relaxed)))
    }

    /// The level that runs have here. Only as root does it matter before a jailer is there: what its runs may
    /// read depends on it.
    fn level(&self) -> Level {
        let hello = |jailer: &Arc<Jailer>| jailer.hello.level;
        let running = self.core.jailer();
        let known = running.as_ref().and_then(hello);
        match self.core.options.isolation {
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
        // An upgrade may have put the programs elsewhere since they were found.
        if let Some(known) = self.runtimes.lock().expect("no panic under this lock").get(&key)
            && known.programs.iter().all(|(_, path)| path.exists())
        {
            return Ok(known.clone());
        }
        let found = runtimes::find(language, chosen, access)?;
        self.runtimes.lock().expect("no panic under this lock").insert(key, found.clone());
        Ok(found)
    }

    fn enqueue(
        &self,
        mut submission: Submission,
        language: &str,
        detected: bool,
        prepared: plan::Prepared,
        sink: Arc<dyn EventSink>,
    ) -> Result<Job, Error> {
        let input = stdin::prepare(submission.request.stdin.as_deref(), submission.stdin.take())
            .map_err(|error| Error::new(ErrorCode::Server, format!("standard input: {error}")))?;
        let mut job = Job::new(new_id()?, Status::Pending);
        job.language = Some(language.to_string());
        job.detected_language = detected.then(|| language.to_string());
        job.network_mode = Some(submission.request.network_mode.clone());
        job.created_at = Some(unix_seconds());
        let record = Record {
            job: job.clone(),
            owner: submission.owner,
            listed: submission.listed,
            submitted: Instant::now(),
            sink,
            watchers: Vec::new(),
            waiting: Some(Waiting { prepared, stdin: input }),
            handle: None,
            error: None,
            guard: None,
        };
        let (failed, is_orphan) = {
            let mut table = self.core.table();
            if table.closed {
                return Err(closed());
            }
            let room = self.core.concurrency.saturating_sub(table.running);
            if table.queue.len() >= self.core.options.queue_max + room {
                return Err(queue_full(table.queue.len()));
            }
            table.insert(record);
            table.queue.push_back(job.job_id.clone());
            (self.core.launch_waiting(&mut table), table.jailer.is_none())
        };
        self.core.end_failed(failed);
        if is_orphan {
            self.core.resume(); // the jailer has ended since it was asked for
        }
        self.core.guard(&job.job_id, &submission.cancel);
        Ok(job)
    }
}

fn layer_of(report: LayerReport) -> Layer {
    let LayerReport { name, available, detail, fix } = report;
    Layer { name, available, detail, fix }
}

fn queue_full(waiting: usize) -> Error {
    let text =
        format!("{waiting} executions are waiting already, which is the limit; try again soon");
    Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(1000)
}

/// The first word with a digit and a dot in what a version command said.
fn version_in(result: &ExecutionResult) -> Option<String> {
    let text = format!("{}\n{}", result.stdout_text(), result.stderr_text());
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let clean = |word: &'_ str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let bare = word.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '.');
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
    fn submit(&self, submission: Submission, sink: Arc<dyn EventSink>) -> Result<Job, Error> {
        self.check_process()?;
        let valid = submission.request.validate()?;
        let request = &submission.request;
        let runtime = self.runtime(valid.language, request.runtime.as_deref())?;
        let tmp = self.writable_tree()?;
        if valid.network_mode == NetworkMode::Semitrusted && tmp != plan::TMP {
            let text = "network_mode \"semitrusted\" needs a network namespace, which the reduced \
                        isolation level of this machine has not; `unsandbox doctor` shows how to get \
                        it, \"zerotrust\" works without";
            return Err(Error::new(ErrorCode::IsolationUnavailable, text));
        }
        let prepared = plan::prepare(request, &valid, &runtime, &tmp)?;
        self.enqueue(submission, valid.language.name, valid.detected, prepared, sink)
    }

    fn cancel(&self, owner: &Owner, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        self.watch(owner, job_id, sink)?;
        self.core.cancel_by_id(job_id, CancelReason::Caller);
        Ok(())
    }

    fn get(&self, owner: &Owner, job_id: &str) -> Result<Job, Error> {
        self.check_process()?;
        self.core.forget_old();
        Ok(self.core.table().get(owner, job_id)?.job.clone())
    }

    fn watch(&self, owner: &Owner, job_id: &str, sink: Arc<dyn EventSink>) -> Result<(), Error> {
        self.check_process()?;
        self.core.forget_old();
        let mut table = self.core.table();
        let record = table.get(owner, job_id)?;
        if !record.job.status.is_terminal() {
            // Whoever asks again and again leaves no trail behind.
            record.watchers.retain(|watcher| watcher.is_wanted());
            record.watchers.push(sink);
            return Ok(());
        }
        let job = record.job.clone();
        drop(table);
        sink.finished(Ok(job));
        Ok(())
    }

    fn list(&self, owner: &Owner) -> Result<Vec<Job>, Error> {
        self.check_process()?;
        Ok(self.core.table().active(owner))
    }

    fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
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

    fn validate_key(&self) -> Result<KeyInfo, Error> {
        Ok(KeyInfo { valid: true, tier: Some("local".to_string()), reason: None, raw: None })
    }

    /// Healthy means that jails can be built here.
    fn health(&self) -> Result<Health, Error> {
        let trouble = self.jailer()?.hello.trouble.clone();
        let status = trouble.as_ref().map_or("ok".to_string(), |trouble| trouble.what.clone());
        Ok(Health { healthy: trouble.is_none(), status, raw: None })
    }
}
