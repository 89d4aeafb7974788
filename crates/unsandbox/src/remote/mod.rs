// SPDX-License-Identifier: MIT OR Apache-2.0
//! A server as a place that runs code: `http`, `https` or a Unix socket.

mod aside;
mod backend;
mod control;
mod exchange;
mod key;
mod line;
mod mask;
mod poll;
mod proxy;
mod resolver;
mod retry;
mod socket;
#[cfg(feature = "socks")]
mod socks;
mod submit;
mod tls;

use crate::builder::Timeouts;
use crate::call::CallOptions;
use crate::config::Endpoint;
use crate::observe::Observer;
use control::Control;
use exchange::{Answer, Ask, Exchange};
use poll::Known;
use retry::Safety;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unsandbox_protocol::auth::Credentials;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::wire::{self, percent_encode};
use unsandbox_protocol::{Error, ExecutionResult, Job, limits};

pub(crate) use proxy::ProxyChoice;
pub(crate) use resolver::LookUp;
pub(crate) use tls::Roots;

/// Whole call, where nothing is executed.
const QUESTION_TIME: Duration = Duration::from_secs(30);
/// What an execution may take beyond its ttl and the compiler: the queue, and the way.
const QUEUE_TIME: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
pub(crate) struct RemoteOptions {
    pub(crate) timeouts: Timeouts,
    pub(crate) retries: u32,
    pub(crate) reply_max_bytes: usize,
    pub(crate) job_threshold: Duration,
    pub(crate) cancel_jobs: bool,
    pub(crate) user_agent: String,
    pub(crate) roots: Roots,
    pub(crate) proxy: ProxyChoice,
    pub(crate) look_up: Option<LookUp>,
    pub(crate) observer: Option<Observer>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        RemoteOptions {
            timeouts: Timeouts::default(),
            retries: 3,
            reply_max_bytes: limits::REPLY_MAX_BYTES,
            job_threshold: Duration::from_secs(120),
            cancel_jobs: false,
            user_agent: concat!("unsandbox-rust/", env!("CARGO_PKG_VERSION")).to_string(),
            roots: Roots::BuiltIn,
            proxy: ProxyChoice::Environment,
            look_up: None,
            observer: None,
        }
    }
}

/// What a server can do beyond the service, as it said itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Features {
    run_json: bool,
    idempotency: bool,
    wait: bool,
}

impl Features {
    fn parse(header: &str) -> Features {
        let has = |name: &str| header.split(',').any(|word| word.trim() == name);
        Features {
            run_json: has(wire::FEATURE_RUN_JSON),
            idempotency: has(wire::FEATURE_IDEMPOTENCY),
            wait: has(wire::FEATURE_WAIT),
        }
    }
}

/// A server. Cheap to clone; shared by threads.
#[derive(Clone, Debug)]
pub struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    exchange: Exchange,
    options: RemoteOptions,
    /// `None` until a reply has told.
    features: Mutex<Option<Features>>,
}

impl Remote {
    pub(crate) fn new(
        endpoint: Endpoint,
        credentials: Option<Credentials>,
        options: RemoteOptions,
    ) -> Result<Remote, Error> {
        let exchange = Exchange::new(endpoint, credentials, options.clone())?;
        Ok(Remote { inner: Arc::new(Inner { exchange, options, features: Mutex::new(None) }) })
    }

    /// Drops the idle connections.
    pub(crate) fn close(&self) {
        self.inner.exchange.close();
    }

    /// The bounds of a call that executes nothing.
    fn question(&self, options: &CallOptions) -> Control {
        let limit = options.deadline.unwrap_or_else(|| self.question_time());
        Control::new(options.cancel.clone(), Some(limit))
    }

    /// How long a call that executes nothing may take.
    fn question_time(&self) -> Duration {
        self.inner.options.timeouts.call.unwrap_or(QUESTION_TIME)
    }

    /// Asks with retries, and notes what the server says of itself.
    fn ask(
        &self,
        ask: &Ask<'_>,
        control: &Control,
        safety: &dyn Fn() -> Safety,
        accept: &[u16],
    ) -> Result<Answer, Error> {
        let Inner { exchange, options, .. } = &*self.inner;
        let answer = retry::ask(exchange, ask, control, options, safety, accept)?;
        self.learn(answer.header(wire::FEATURES_HEADER).unwrap_or_default());
        Ok(answer)
    }

    fn learn(&self, header: &str) {
        let features = Features::parse(header);
        *self.inner.features.lock().expect("no panic under this lock") = Some(features);
    }

    /// What the server can do, as far as it is known.
    fn features(&self) -> Features {
        self.inner.features.lock().expect("no panic under this lock").unwrap_or_default()
    }

    /// What the server can do; asked for once if no reply has told yet.
    fn features_asked(&self, control: &Control) -> Features {
        let known = *self.inner.features.lock().expect("no panic under this lock");
        known.unwrap_or_else(|| {
            // A server that does not answer this has none; why, the call itself will tell.
            let _ = self.ask(&Ask::get("/health"), control, &|| Safety::Repeatable, &[]);
            self.features()
        })
    }

    fn look_at(&self, job_id: &str, wait: Option<u64>, control: &Control) -> Result<Job, Error> {
        let id = percent_encode(job_id);
        let target = match wait {
            Some(seconds) => format!("/jobs/{id}?wait={seconds}"),
            None => format!("/jobs/{id}"),
        };
        let answer = self.ask(&Ask::get(&target), control, &|| Safety::Repeatable, &[])?;
        wire::decode_job(answer.body, answer.status)
    }

    pub(crate) fn job(&self, job_id: &str, options: &CallOptions) -> Result<Job, Error> {
        self.look_at(job_id, None, &self.question(options))
    }

    pub(crate) fn wait(
        &self,
        job_id: &str,
        options: &CallOptions,
    ) -> Result<ExecutionResult, Error> {
        let control = Control::new(options.cancel.clone(), options.deadline);
        poll::wait(self, job_id, Known::Named, &control)
    }

    pub(crate) fn cancel_job(
        &self,
        job_id: &str,
        options: &CallOptions,
    ) -> Result<ExecutionResult, Error> {
        let job = self.cancel_within(job_id, &self.question(options))?;
        job.into_result().ok_or_else(|| Error::internal("a cancelled job came without its result"))
    }

    fn cancel_within(&self, job_id: &str, control: &Control) -> Result<Job, Error> {
        let target = format!("/jobs/{}", percent_encode(job_id));
        let answer = self.ask(&Ask::delete(&target), control, &|| Safety::Repeatable, &[])?;
        wire::decode_cancelled(&answer.body, answer.status, job_id)
    }

    pub(crate) fn jobs(&self, options: &CallOptions) -> Result<Vec<Job>, Error> {
        let answer = self.get("/jobs", options)?;
        wire::decode_jobs(&answer.body, answer.status)
    }

    pub(crate) fn list_languages(&self, options: &CallOptions) -> Result<Vec<LanguageInfo>, Error> {
        let answer = self.get("/languages", options)?;
        wire::decode_languages(&answer.body, answer.status)
    }

    pub(crate) fn check_health(&self, options: &CallOptions) -> Result<Health, Error> {
        let answer = self.get("/health", options)?;
        wire::decode_health(&answer.body, answer.status)
    }

    fn get(&self, target: &str, options: &CallOptions) -> Result<Answer, Error> {
        self.ask(&Ask::get(target), &self.question(options), &|| Safety::Repeatable, &[])
    }

    pub(crate) fn key_info(&self, options: &CallOptions) -> Result<KeyInfo, Error> {
        let ask = Ask::post("/keys/validate", b"{}");
        // A key that is refused is an answer here.
        let safety = || Safety::Repeatable;
        let answer = self.ask(&ask, &self.question(options), &safety, &[401, 403])?;
        wire::decode_key_info(&answer.body, answer.status)
    }
}
