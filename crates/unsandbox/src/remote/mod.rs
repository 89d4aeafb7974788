// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client of a server, over `http`, `https` or a Unix socket.

mod accepted;
mod backend;
mod connection_state;
mod control;
mod detached;
mod exchange;
mod features;
mod follow;
mod key;
mod live;
mod mask;
mod once;
mod owners;
mod poll;
mod proxy;
mod resolver;
mod retry;
mod socket;
#[cfg(feature = "socks")]
mod socks;
mod submit;
mod tls;
mod watchers;

use crate::builder::Timeouts;
use crate::config::{Endpoint, SERVICE_URL};
use crate::fork::PerProcess;
use crate::local::LocalOptions;
use crate::observe::Observer;
use accepted::Jobs;
use control::Control;
use exchange::{Answer, Ask, Exchange};
use features::Features;
use owners::Owners;
use retry::RetryOptions;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use unsandbox_protocol::auth::Credentials;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
use unsandbox_protocol::page::{JobPage, Page, unknown_after};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::wire::{self, percent_encode};
use unsandbox_protocol::{CallContext, Error, ErrorCode, ExecutionResult, Job, Owner, limits};
use watchers::Watchers;

pub(crate) use proxy::ProxyChoice;
pub(crate) use resolver::LookUp;
pub(crate) use tls::Roots;

/// The time limit of a whole call that executes nothing.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit of the request for a server's features; a server that does not answer has none.
const FEATURES_TIME: Duration = Duration::from_secs(5);
/// The time of an execution beyond its ttl and the compiler, for the queue and the network.
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

/// A server, as a [`Backend`](unsandbox_protocol::Backend). Cheap to clone; shared by threads.
///
/// [`ClientBuilder::remote`](crate::ClientBuilder::remote) gives one. To the server all its calls are those of one key.
/// An [`Owner`] with a name, as a server in front of it gives one to each of its keys, has only the jobs that this
/// remote, and its clones, have submitted for it, the last 10,000 of them; the nameless owner, as a client is one, has
/// all others of the key.
#[derive(Clone, Debug)]
pub struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    exchange: Exchange,
    options: RemoteOptions,
    /// Whether it is the service itself, which is known to remember no idempotency keys.
    is_service: bool,
    /// One per process, because a forked child might find its parent's locks locked.
    server_state: PerProcess<ServerState>,
}

/// What the server's replies have shown so far.
#[derive(Debug, Default)]
struct ServerState {
    /// `None` until a reply has shown them.
    features: Mutex<Option<Features>>,
    jobs: Mutex<Jobs>,
    owners: Mutex<Owners>,
    watchers: Mutex<Watchers>,
}

impl RemoteOptions {
    /// Refuses certificates and a proxy that could not be used.
    pub(crate) fn check(&self) -> Result<(), Error> {
        tls::config(&self.roots)?;
        proxy::check(&self.proxy)
    }
}

impl Remote {
    /// The server at an endpoint, without options that only `local:` would keep to.
    pub(crate) fn chosen(
        endpoint: Endpoint,
        credentials: Option<Credentials>,
        local: &LocalOptions,
        options: RemoteOptions,
    ) -> Result<Remote, Error> {
        if endpoint == Endpoint::Local {
            let text = "local: is not a server; use http://HOST:PORT, https://HOST or unix:/PATH";
            return Err(Error::new(ErrorCode::Config, text));
        }
        local.refuse_for_server(&endpoint.to_string())?;
        let is_service = matches!(&endpoint, Endpoint::Url(url) if url == SERVICE_URL);
        let exchange = Exchange::new(endpoint, credentials, options.clone())?;
        let server_state = PerProcess::new();
        Ok(Remote { inner: Arc::new(Inner { exchange, options, is_service, server_state }) })
    }

    fn endpoint(&self) -> &str {
        &self.inner.exchange.endpoint
    }

    fn drop_idle(&self) {
        self.inner.exchange.close();
    }

    /// The limits of a call that executes nothing.
    fn query_control(&self, context: &CallContext) -> Control {
        let limit = context.deadline.unwrap_or_else(|| self.query_timeout());
        Control::new(context.cancel.clone(), Some(limit))
    }

    /// How long a call that executes nothing may take.
    fn query_timeout(&self) -> Duration {
        self.inner.options.timeouts.call.unwrap_or(QUERY_TIMEOUT)
    }

    /// Sends a request with retries, and notes the features in the reply.
    fn ask(&self, ask: &Ask<'_>, control: &Control, accept: &[u16]) -> Result<Answer, Error> {
        self.ask_up_to(self.inner.options.retries, ask, control, accept)
    }

    fn ask_up_to(
        &self,
        retries: u32,
        ask: &Ask<'_>,
        control: &Control,
        accept: &[u16],
    ) -> Result<Answer, Error> {
        let Inner { exchange, options, .. } = &*self.inner;
        let on_reply = |answer: &Answer| self.note_features(answer);
        let observer = options.observer.as_ref();
        retry::ask(
            exchange,
            ask,
            control,
            &RetryOptions { retries, observer, accept, on_reply: &on_reply },
        )
    }

    fn note_features(&self, answer: &Answer) {
        match answer.header(wire::FEATURES_HEADER) {
            Some(header) => *self.known_features() = Some(Features::parse(header)),
            // A gateway may have answered in place of the server.
            None if !(200..300).contains(&answer.status) => {}
            None => *self.known_features() = Some(Features::default()),
        }
    }

    fn known_features(&self) -> MutexGuard<'_, Option<Features>> {
        let ServerState { features, .. } =
            self.inner.server_state.get_or_init(ServerState::default);
        lock(features)
    }

    fn known_jobs(&self) -> MutexGuard<'_, Jobs> {
        let ServerState { jobs, .. } = self.inner.server_state.get_or_init(ServerState::default);
        lock(jobs)
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        let ServerState { owners, .. } = self.inner.server_state.get_or_init(ServerState::default);
        lock(owners)
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        let ServerState { watchers, .. } =
            self.inner.server_state.get_or_init(ServerState::default);
        lock(watchers)
    }

    /// NOT_FOUND, where the job is another owner's.
    fn check_owner(&self, owner: &Owner, job_id: &str) -> Result<(), Error> {
        if self.owners().owns(owner, job_id) {
            return Ok(());
        }
        let shown: String = job_id.chars().take(80).collect();
        Err(Error::new(ErrorCode::NotFound, format!("job {shown:?} is not known to this key")))
    }

    /// What the server can do, as far as it is known.
    fn features(&self) -> Features {
        self.known_features().clone().unwrap_or_default()
    }

    /// What the server can do; requests it once if no reply has shown it yet.
    fn features_asked(&self, control: &Control) -> Features {
        if let Some(known) = self.known_features().clone() {
            return known;
        }
        let end = self.ask_up_to(0, &Ask::get("/health"), &control.within(FEATURES_TIME), &[]);
        // If it cannot be reached, the next call asks again; every other end counts as an answer.
        let has_answered = end.is_err_and(|error| error.code() != ErrorCode::Connect);
        if has_answered && control.check().is_ok() {
            self.known_features().get_or_insert_default();
        }
        self.features()
    }

    /// The store that will remember the key of a submission; `None` if the submission must not be repeated.
    fn store_for_submission(&self, as_job: bool, control: &Control) -> Option<Arc<str>> {
        match self.inner.options.retries {
            0 => None,
            _ if self.inner.is_service => self.features().store_of(as_job),
            _ => self.features_asked(control).store_of(as_job),
        }
    }

    fn fetch_job(&self, job_id: &str, wait: Option<u64>, control: &Control) -> Result<Job, Error> {
        let id = percent_encode(job_id);
        let target = match wait {
            Some(seconds) => format!("/jobs/{id}?wait={seconds}"),
            None => format!("/jobs/{id}"),
        };
        let answer = self.ask(&Ask::get(&target), control, &[])?;
        let job = wire::decode_job(answer.body, answer.status)?;
        self.known_jobs().show(job_id);
        Ok(job)
    }

    fn job(&self, job_id: &str, control: &Control) -> Result<Job, Error> {
        poll::ask_about_job(self, job_id, control, || self.fetch_job(job_id, None, control))
    }

    fn wait(&self, job_id: &str, control: &Control) -> Result<ExecutionResult, Error> {
        poll::wait(self, job_id, control)
    }

    fn cancel_within(&self, job_id: &str, control: &Control) -> Result<Job, Error> {
        let target = format!("/jobs/{}", percent_encode(job_id));
        poll::ask_about_job(self, job_id, control, || {
            let answer = self.ask(&Ask::delete(&target), control, &[])?;
            let job = wire::decode_cancelled(&answer.body, answer.status, job_id)?;
            self.known_jobs().show(job_id);
            Ok(job)
        })
    }

    /// Asks a server that announces it; another one gets no request that it might take for a cancel.
    fn delete_within(&self, job_id: &str, control: &Control) -> Result<(), Error> {
        if !self.deletes_jobs(control)? {
            return Err(Error::argument(format!(
                "{} does not announce that it deletes jobs, as a server of your own does and local: does; its finished jobs \
                 are removed after the time that it keeps them",
                self.endpoint()
            )));
        }
        let target = format!("/jobs/{}/record", percent_encode(job_id));
        let ask = Ask { removes: true, ..Ask::delete(&target) };
        poll::ask_about_job(self, job_id, control, || {
            let answer = self.ask(&ask, control, &[])?;
            // After an attempt whose reply was lost, the job may be gone already.
            let status = if answer.status == 404 { 200 } else { answer.status };
            wire::decode_deleted(&answer.body, status)
        })?;
        self.known_jobs().forget(job_id);
        Ok(())
    }

    fn deletes_jobs(&self, control: &Control) -> Result<bool, Error> {
        // The service itself announces nothing, so that it is not asked. Another server may be a newer one by now.
        if !self.inner.is_service && !self.features().delete {
            self.ask(&Ask::get("/health"), control, &[503])?;
        }
        Ok(self.features().delete)
    }

    /// A page of an owner's jobs. A server that gives no pages gives the whole list, which is cut here.
    fn job_page(&self, page: &Page, owner: &Owner, control: &Control) -> Result<JobPage, Error> {
        if let Some(after) = &page.after
            && !self.owners().owns(owner, after)
        {
            return Err(unknown_after(after));
        }
        let mut asked = page.clone();
        if self.inner.is_service {
            asked = Page::default();
        } else if self.owners().has_names() {
            // The server counts the jobs of all owners.
            asked.limit = None;
        }
        let answer = self.get(&wire::encode_page(&asked), control)?;
        let (mut jobs, has_more) = wire::decode_job_page(&answer.body, answer.status)?;
        let mut known = self.known_jobs();
        jobs.iter().for_each(|job| known.show(&job.job_id));
        drop(known);
        let owners = self.owners();
        jobs.retain(|job| owners.owns(owner, &job.job_id));
        match has_more {
            Some(has_more) if asked.limit.is_some() => Ok(JobPage { jobs, has_more }),
            Some(_) => Ok(page.of(jobs)),
            None => page.cut(jobs),
        }
    }

    fn list_languages(&self, control: &Control) -> Result<Vec<LanguageInfo>, Error> {
        let answer = self.get("/languages", control)?;
        wire::decode_languages(&answer.body, answer.status)
    }

    fn check_health(&self, control: &Control) -> Result<Health, Error> {
        // A server that reports that it accepts no work has answered, so there is no retry.
        let answer = self.ask(&Ask::get("/health"), control, &[503])?;
        wire::decode_health(&answer.body, answer.status)
    }

    fn get(&self, target: &str, control: &Control) -> Result<Answer, Error> {
        self.ask(&Ask::get(target), control, &[])
    }

    fn key_usage(&self, control: &Control) -> Result<KeyUsage, Error> {
        // The service is known to have no such path, and is not asked.
        if !self.inner.is_service {
            let answer = self.ask(&Ask::get("/usage"), control, &[404, 405])?;
            if !matches!(answer.status, 404 | 405) {
                return wire::decode_usage(&answer.body, answer.status);
            }
        }
        Err(Error::argument(format!(
            "{} does not tell what a key uses (it has no GET /usage), as a server of your own does and local: does",
            self.endpoint()
        )))
    }

    fn key_info(&self, control: &Control) -> Result<KeyInfo, Error> {
        let ask = Ask::post("/keys/validate", b"{}");
        // A refused key is an answer here, and not an error.
        let answer = self.ask(&ask, control, &[401, 403])?;
        wire::decode_key_info(&answer.body, answer.status)
    }
}
