// SPDX-License-Identifier: MIT OR Apache-2.0
//! One client for every place: the engine in this process, or a server.

use crate::builder::ClientBuilder;
use crate::call::{CallOptions, OutputCallback};
use crate::config::{Chosen, Endpoint};
use crate::local::{Local, LocalOptions};
use crate::remote::{Remote, RemoteOptions};
use crate::task::{Ending, Notify, Task};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo, NoSink, Waiter};
use unsandbox_protocol::language::Language;
use unsandbox_protocol::{
    CancelToken, Error, ErrorCode, EventSink, ExecutionResult, Job, Owner, Probe, Request, Status,
    Stream, Submission,
};

/// Whether the caller names the language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Route {
    Execute,
    Run,
}

/// Runs code at one endpoint. Cheap to clone; shared by threads.
///
/// ```no_run
/// use unsandbox::{Client, Request};
///
/// let client = Client::builder().base_url("local:").build()?;
/// let result = client.execute(&Request::new("bash", "echo hello"))?;
/// assert_eq!(result.stdout_text(), "hello\n");
/// # Ok::<(), unsandbox::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    endpoint: String,
    explicit: bool,
    exposed: Option<String>,
    closed: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Local(Local),
    Remote(Remote),
}

impl Client {
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Endpoint and key from the environment; without either, the engine in this process.
    ///
    /// # Errors
    ///
    /// CONFIG if the environment names an endpoint or a key that is unusable.
    pub fn from_env() -> Result<Client, Error> {
        Self::builder().build()
    }

    pub(crate) fn new(
        chosen: Chosen,
        local: LocalOptions,
        remote: RemoteOptions,
    ) -> Result<Client, Error> {
        let endpoint = chosen.endpoint.to_string();
        let place = match chosen.endpoint {
            Endpoint::Local => Place::Local(Local::new(local)),
            place => {
                local.refuse_for_server(&endpoint)?;
                Place::Remote(Remote::new(place, chosen.credentials, remote)?)
            }
        };
        let Chosen { explicit, exposed, .. } = chosen;
        let closed = AtomicBool::new(false);
        Ok(Client { inner: Arc::new(Inner { place, endpoint, explicit, exposed, closed }) })
    }

    /// Where code goes: `local:`, a URL, or `unix:PATH`.
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// Whether the caller named the endpoint, rather than the environment or a key.
    pub fn endpoint_is_explicit(&self) -> bool {
        self.inner.explicit
    }

    /// Who else may read the file from which the key comes, as it was logged.
    #[doc(hidden)]
    pub fn key_file_warning(&self) -> Option<&str> {
        self.inner.exposed.as_deref()
    }

    /// Whether code stays on this machine, in this process's own engine.
    pub fn is_local(&self) -> bool {
        matches!(self.inner.place, Place::Local(_))
    }

    /// Ends the client for every clone: the local engine and what runs in it, idle connections.
    /// Further calls are CONFLICT.
    pub fn close(&self) {
        if !self.inner.closed.swap(true, Ordering::SeqCst) {
            match &self.inner.place {
                Place::Local(local) => local.close(),
                Place::Remote(remote) => remote.close(),
            }
        }
    }

    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    fn place(&self) -> Result<&Place, Error> {
        match self.is_closed() {
            true => Err(Error::new(ErrorCode::Conflict, "the client is closed")),
            false => Ok(&self.inner.place),
        }
    }

    /// Every rule that can be checked before anything runs or is sent. The language, unless a server is to
    /// detect it.
    fn check(&self, route: Route, request: &Request) -> Result<Option<&'static Language>, Error> {
        if route == Route::Execute && request.language.is_none() {
            return Err(Error::argument("language is missing; `run` detects it"));
        }
        if self.is_local() {
            return request.validate().map(|valid| Some(valid.language));
        }
        if request.runtime.is_some() {
            let endpoint = self.endpoint();
            return Err(Error::argument(format!(
                "runtime is for local: only, but the endpoint is {endpoint}"
            )));
        }
        match route {
            Route::Execute => request.validate().map(|valid| Some(valid.language)),
            // The server detects the language, and may know more of them.
            Route::Run => request.validate_options().map(|_| None),
        }
    }

    /// Runs code in the request's language and waits for the result.
    ///
    /// # Errors
    ///
    /// ARGUMENT before anything runs if the request breaks a rule; otherwise why there is no result.
    /// A program that fails is a result.
    pub fn execute(&self, request: &Request) -> Result<ExecutionResult, Error> {
        self.execute_with(request, CallOptions::default())
    }

    /// As [`Client::execute`], with options for this call.
    pub fn execute_with(
        &self,
        request: &Request,
        options: CallOptions,
    ) -> Result<ExecutionResult, Error> {
        self.execute_at(Route::Execute, Cow::Borrowed(request), options)
    }

    /// Runs code whose language is detected; `request.language` is ignored.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`]; ARGUMENT too if the language cannot be told.
    pub fn run(&self, request: &Request) -> Result<ExecutionResult, Error> {
        self.run_with(request, CallOptions::default())
    }

    /// As [`Client::run`], with options for this call.
    pub fn run_with(
        &self,
        request: &Request,
        options: CallOptions,
    ) -> Result<ExecutionResult, Error> {
        self.execute_at(Route::Run, undetected(request), options)
    }

    fn execute_at(
        &self,
        route: Route,
        request: Cow<'_, Request>,
        options: CallOptions,
    ) -> Result<ExecutionResult, Error> {
        let place = self.place()?;
        let language = self.check(route, &request)?;
        match place {
            Place::Local(local) => {
                let deadline = options.deadline.or(local.options.deadline);
                let task = start_local(local, request.into_owned(), options, None)?;
                task.wait(deadline).unwrap_or_else(|| {
                    task.cancel();
                    Err(past_deadline(deadline))
                })
            }
            Place::Remote(remote) => remote.execute(language, request, options),
        }
    }

    /// Submits code in the request's language as a job.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`].
    pub fn execute_async(&self, request: &Request) -> Result<Job, Error> {
        self.execute_async_with(request, CallOptions::default())
    }

    /// As [`Client::execute_async`], with options for this call.
    pub fn execute_async_with(
        &self,
        request: &Request,
        options: CallOptions,
    ) -> Result<Job, Error> {
        self.submit_at(Route::Execute, Cow::Borrowed(request), options)
    }

    /// Submits code whose language is detected as a job.
    ///
    /// # Errors
    ///
    /// As [`Client::run`].
    pub fn run_async(&self, request: &Request) -> Result<Job, Error> {
        self.run_async_with(request, CallOptions::default())
    }

    /// As [`Client::run_async`], with options for this call.
    pub fn run_async_with(&self, request: &Request, options: CallOptions) -> Result<Job, Error> {
        self.submit_at(Route::Run, undetected(request), options)
    }

    fn submit_at(
        &self,
        route: Route,
        request: Cow<'_, Request>,
        options: CallOptions,
    ) -> Result<Job, Error> {
        let place = self.place()?;
        let language = self.check(route, &request)?;
        match place {
            Place::Local(local) => {
                // The job outlives this call, so the call's own token does not reach it.
                let submission = Submission {
                    listed: true,
                    stdin: options.stdin,
                    ..Submission::new(request.into_owned())
                };
                let sink = OutputSink { on_output: options.on_output };
                local.backend()?.submit(submission, Arc::new(sink))
            }
            Place::Remote(remote) => remote.submit_job(language, request, options),
        }
    }

    /// Starts [`Client::execute`] and gives a task for it; `notify` is called once when it is done.
    ///
    /// On `local:` it needs no thread of its own unless it has a deadline.
    ///
    /// # Errors
    ///
    /// What is known at once: ARGUMENT, CONFLICT, a full queue.
    pub fn start_execute(
        &self,
        request: Request,
        options: CallOptions,
        notify: Option<Notify>,
    ) -> Result<Task<ExecutionResult>, Error> {
        self.start_at(Route::Execute, request, options, notify)
    }

    /// Starts [`Client::run`], as [`Client::start_execute`] does for execute.
    ///
    /// # Errors
    ///
    /// As [`Client::start_execute`].
    pub fn start_run(
        &self,
        mut request: Request,
        options: CallOptions,
        notify: Option<Notify>,
    ) -> Result<Task<ExecutionResult>, Error> {
        request.language = None;
        self.start_at(Route::Run, request, options, notify)
    }

    fn start_at(
        &self,
        route: Route,
        request: Request,
        options: CallOptions,
        notify: Option<Notify>,
    ) -> Result<Task<ExecutionResult>, Error> {
        let place = self.place()?;
        self.check(route, &request)?;
        if let Place::Local(local) = place
            && options.deadline.or(local.options.deadline).is_none()
        {
            return start_local(local, request, options, notify);
        }
        let client = self.clone();
        Task::spawn(options.cancel.clone(), notify, move |_| {
            client.execute_at(route, Cow::Owned(request), options)
        })
    }

    /// The job as it is now, with its result once it has ended.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if this key has no such job; JOB_LOST if the server had told this client of it.
    pub fn get_job(&self, job_id: &str) -> Result<Job, Error> {
        self.get_job_with(job_id, CallOptions::default())
    }

    /// As [`Client::get_job`], with options for this call.
    pub fn get_job_with(&self, job_id: &str, options: CallOptions) -> Result<Job, Error> {
        check_job_id(job_id)?;
        match self.place()? {
            Place::Local(local) => local.backend()?.get(&Owner::default(), job_id),
            Place::Remote(remote) => remote.job(job_id, &options),
        }
    }

    /// Waits for the end of a job; `None` waits as long as it takes.
    ///
    /// # Errors
    ///
    /// TIMEOUT if it has not ended in time (it goes on); NOT_FOUND; JOB_LOST if the server had told this
    /// client of it and has forgotten it.
    pub fn wait_job(
        &self,
        job_id: &str,
        timeout: Option<Duration>,
    ) -> Result<ExecutionResult, Error> {
        let options = CallOptions { deadline: timeout, ..CallOptions::default() };
        self.wait_job_with(job_id, options)
    }

    /// As [`Client::wait_job`]; the limit is `options.deadline`, and cancelling ends only the waiting.
    pub fn wait_job_with(
        &self,
        job_id: &str,
        options: CallOptions,
    ) -> Result<ExecutionResult, Error> {
        check_job_id(job_id)?;
        match self.place()? {
            Place::Local(local) => {
                let (task, ending) = Task::pending(CancelToken::new(), None);
                let sink = ResultSink { ending: ending.clone(), on_output: None, cancel: None };
                local.backend()?.watch(&Owner::default(), job_id, Arc::new(sink))?;
                let id = job_id.to_string();
                let _guard =
                    options.cancel.on_cancel(move || ending.finish(Err(cancelled(Some(&id)))));
                task.wait(options.deadline)
                    .unwrap_or_else(|| Err(past_deadline(options.deadline).with_job_id(job_id)))
            }
            Place::Remote(remote) => remote.wait(job_id, &options),
        }
    }

    /// Cancels a pending or running job and gives its partial output; one that has ended is given as
    /// it is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if this key has no such job; JOB_LOST if the server had told this client of it.
    pub fn cancel_job(&self, job_id: &str) -> Result<ExecutionResult, Error> {
        self.cancel_job_with(job_id, CallOptions::default())
    }

    /// As [`Client::cancel_job`], with options for this call.
    pub fn cancel_job_with(
        &self,
        job_id: &str,
        options: CallOptions,
    ) -> Result<ExecutionResult, Error> {
        check_job_id(job_id)?;
        match self.place()? {
            Place::Local(local) => {
                let waiter = Arc::new(Waiter::new());
                local.backend()?.cancel(&Owner::default(), job_id, waiter.clone())?;
                waiter.wait_result()
            }
            Place::Remote(remote) => remote.cancel_job(job_id, &options),
        }
    }

    /// The pending and running jobs of this key.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    pub fn list_jobs(&self) -> Result<Vec<Job>, Error> {
        self.list_jobs_with(CallOptions::default())
    }

    /// As [`Client::list_jobs`], with options for this call.
    pub fn list_jobs_with(&self, options: CallOptions) -> Result<Vec<Job>, Error> {
        match self.place()? {
            Place::Local(local) => local.backend()?.list(&Owner::default()),
            Place::Remote(remote) => remote.jobs(&options),
        }
    }

    /// What the endpoint runs; on `local:` the whole table, with what is there and what to install.
    ///
    /// There, the first call asks each runtime for its version, which takes some seconds where many
    /// are installed.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    pub fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
        self.languages_with(CallOptions::default())
    }

    /// As [`Client::languages`], with options for this call.
    pub fn languages_with(&self, options: CallOptions) -> Result<Vec<LanguageInfo>, Error> {
        match self.place()? {
            Place::Local(local) => local.languages(),
            Place::Remote(remote) => remote.list_languages(&options),
        }
    }

    /// Whether the endpoint takes the key; on `local:` always, with tier `local`.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    pub fn validate_key(&self) -> Result<KeyInfo, Error> {
        self.validate_key_with(CallOptions::default())
    }

    /// As [`Client::validate_key`], with options for this call.
    pub fn validate_key_with(&self, options: CallOptions) -> Result<KeyInfo, Error> {
        match self.place()? {
            Place::Local(local) => local.backend()?.validate_key(),
            Place::Remote(remote) => remote.key_info(&options),
        }
    }

    /// Whether the endpoint is up. A server that says itself that it takes no work, as one that stops does,
    /// is not healthy.
    ///
    /// # Errors
    ///
    /// Why it did not answer, or that its answer says nothing of the server.
    pub fn health(&self) -> Result<Health, Error> {
        self.health_with(CallOptions::default())
    }

    /// As [`Client::health`], with options for this call.
    pub fn health_with(&self, options: CallOptions) -> Result<Health, Error> {
        match self.place()? {
            Place::Local(local) => local.backend()?.health(),
            Place::Remote(remote) => remote.check_health(&options),
        }
    }

    /// Which layers of isolation this machine gives.
    ///
    /// # Errors
    ///
    /// ARGUMENT for an endpoint that is not `local:`, whose isolation only its results tell.
    pub fn probe(&self) -> Result<Probe, Error> {
        match self.place()? {
            Place::Local(local) => local.probe(),
            Place::Remote(_) => Err(Error::argument(format!(
                "probe looks at this machine, but the endpoint is {}; use local:",
                self.inner.endpoint
            ))),
        }
    }
}

/// The request as `run` takes it: without a language.
fn undetected(request: &Request) -> Cow<'_, Request> {
    match request.language {
        None => Cow::Borrowed(request),
        Some(_) => Cow::Owned(Request { language: None, ..request.clone() }),
    }
}

fn check_job_id(job_id: &str) -> Result<(), Error> {
    match job_id.is_empty() {
        true => Err(Error::argument("job_id is empty")),
        false => Ok(()),
    }
}

pub(crate) fn cancelled(job_id: Option<&str>) -> Error {
    let error = Error::new(ErrorCode::Cancelled, "the call was cancelled");
    match job_id {
        Some(id) if !id.is_empty() => error.with_job_id(id),
        _ => error,
    }
}

fn past_deadline(deadline: Option<Duration>) -> Error {
    let seconds = deadline.unwrap_or_default().as_secs_f64();
    Error::new(ErrorCode::Timeout, format!("the call took longer than its deadline of {seconds} s"))
        .with_may_have_run(true)
}

fn start_local(
    local: &Local,
    request: Request,
    options: CallOptions,
    notify: Option<Notify>,
) -> Result<Task<ExecutionResult>, Error> {
    let (task, ending) = Task::pending(options.cancel.clone(), notify);
    let sink =
        ResultSink { ending, on_output: options.on_output, cancel: Some(options.cancel.clone()) };
    let submission =
        Submission { stdin: options.stdin, cancel: options.cancel, ..Submission::new(request) };
    local.backend()?.submit(submission, Arc::new(sink))?;
    Ok(task)
}

/// Brings an engine's end to a task.
struct ResultSink {
    ending: Arc<Ending<ExecutionResult>>,
    on_output: Option<OutputCallback>,
    /// The token of the call itself; `None` where the call only watches.
    cancel: Option<CancelToken>,
}

impl EventSink for ResultSink {
    fn output(&self, stream: Stream, bytes: &[u8]) {
        if let Some(callback) = &self.on_output {
            callback(stream, bytes);
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        let by_caller = self.cancel.as_ref().is_some_and(CancelToken::is_cancelled);
        self.ending.finish(end.and_then(|job| match job.result {
            _ if by_caller && job.status == Status::Cancelled => Err(cancelled(Some(&job.job_id))),
            Some(result) => Ok(Arc::unwrap_or_clone(result)),
            None => Err(Error::internal("a finished job came without its result")),
        }));
    }
}

/// Passes on the output of a job that nobody waits for.
struct OutputSink {
    on_output: Option<OutputCallback>,
}

impl EventSink for OutputSink {
    fn output(&self, stream: Stream, bytes: &[u8]) {
        if let Some(callback) = &self.on_output {
            callback(stream, bytes);
        }
    }

    fn finished(&self, end: Result<Job, Error>) {
        NoSink.finished(end);
    }
}
