// SPDX-License-Identifier: MIT OR Apache-2.0
//! One client for every backend: the engine in this process, a server, or one of the caller's own.

use crate::builder::ClientBuilder;
use crate::call::{Call, CallOptions, OutputCallback};
use crate::config::{Chosen, Endpoint};
use crate::job_events::JobEvents;
use crate::local::{Local, LocalOptions};
use crate::remote::{Remote, RemoteOptions};
use crate::task::{Ending, Notify, Task};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo, lost, result_of};
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::webhook::refuse_synchronous;
use unsandbox_protocol::{
    Backend, CallContext, CancelToken, Error, ErrorCode, Event, EventSink, ExecutionResult, Job,
    JobPage, Offsets, Owner, Page, Probe, Request, Submission,
};

/// Whether the caller names the language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
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
    backend: Arc<dyn Backend>,
    endpoint: String,
    local: bool,
    explicit: bool,
    exposed: Option<String>,
    closed: AtomicBool,
}

impl Client {
    /// A builder on which nothing is set; the environment fills what stays open.
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

    /// A client of any backend. `endpoint` is its name in messages.
    pub fn from_backend(backend: Arc<dyn Backend>, endpoint: impl Into<String>) -> Client {
        let endpoint = endpoint.into();
        let (local, explicit, exposed, closed) = (false, true, None, AtomicBool::new(false));
        Client { inner: Arc::new(Inner { backend, endpoint, local, explicit, exposed, closed }) }
    }

    pub(crate) fn new(
        chosen: Chosen,
        local: LocalOptions,
        remote: RemoteOptions,
    ) -> Result<Client, Error> {
        // At an endpoint that takes them or not: who gives them relies on them.
        remote.check()?;
        local.check()?;
        let Chosen { endpoint, credentials, explicit, exposed, .. } = chosen;
        let (name, is_local) = (endpoint.to_string(), matches!(endpoint, Endpoint::Local));
        let backend: Arc<dyn Backend> = if is_local {
            Arc::new(Local::new(local))
        } else {
            Arc::new(Remote::chosen(endpoint, credentials, &local, remote)?)
        };
        let closed = AtomicBool::new(false);
        let inner = Inner { backend, endpoint: name, local: is_local, explicit, exposed, closed };
        Ok(Client { inner: Arc::new(inner) })
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
        self.inner.local
    }

    /// Ends the client for every clone: the local engine and what runs in it, idle connections.
    /// Further calls are CONFLICT.
    pub fn close(&self) {
        if !self.inner.closed.swap(true, Ordering::SeqCst) {
            self.inner.backend.close(Duration::ZERO);
        }
    }

    /// Whether [`Client::close`] was called on this client or a clone of it.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// The operations with options for one call: a deadline, a token that cancels it, streams.
    pub fn with(&self, options: CallOptions) -> Call<'_> {
        Call::new(self, options)
    }

    fn call(&self) -> Call<'_> {
        self.with(CallOptions::default())
    }

    /// What runs this client's code, to wrap in another backend.
    ///
    /// # Errors
    ///
    /// CONFLICT if the client is closed.
    pub fn backend(&self) -> Result<&Arc<dyn Backend>, Error> {
        match self.is_closed() {
            true => Err(Error::new(ErrorCode::Conflict, "the client is closed")),
            false => Ok(&self.inner.backend),
        }
    }

    /// A submission whose request keeps every rule that can be checked before anything runs or is sent.
    pub(crate) fn submission<'a>(
        &self,
        route: Route,
        mut request: Cow<'a, Request>,
        options: CallOptions,
        listed: bool,
    ) -> Result<Submission<'a>, Error> {
        if !listed {
            refuse_synchronous(&request)?;
        }
        match route {
            Route::Execute if request.language.is_none() => {
                return Err(Error::argument("language is missing; `run` detects it"));
            }
            Route::Run if request.language.is_some() => request.to_mut().language = None,
            _ => {}
        }
        let request = self.inner.backend.validate(request)?;
        let CallOptions { cancel, deadline, stdin, cancel_job, .. } = options;
        let context = CallContext { owner: Owner::default(), cancel: cancel.clone(), deadline };
        let as_job = cancel_job;
        Ok(Submission { listed, stdin, cancel, as_job, context, ..Submission::new(request) })
    }

    /// Runs code in the request's language and waits for the result.
    ///
    /// # Errors
    ///
    /// ARGUMENT before anything runs if the request breaks a rule; otherwise why there is no result.
    /// A program that fails is a result.
    pub fn execute(&self, request: &Request) -> Result<ExecutionResult, Error> {
        self.call().execute(request)
    }

    /// Runs code whose language is detected; `request.language` is ignored.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`]; ARGUMENT too if the language cannot be told.
    pub fn run(&self, request: &Request) -> Result<ExecutionResult, Error> {
        self.call().run(request)
    }

    /// Submits code in the request's language as a job.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`].
    pub fn execute_async(&self, request: &Request) -> Result<Job, Error> {
        self.call().execute_async(request)
    }

    /// Submits code whose language is detected as a job.
    ///
    /// # Errors
    ///
    /// As [`Client::run`].
    pub fn run_async(&self, request: &Request) -> Result<Job, Error> {
        self.call().run_async(request)
    }

    /// Starts [`Client::execute`] and gives a task for it; `notify` is called once when it is done.
    ///
    /// On `local:` it needs no thread of its own, and the run is prepared before this returns: milliseconds for most
    /// requests, longer for large programs and files. An event loop that must not wait calls it on another thread.
    ///
    /// # Errors
    ///
    /// ARGUMENT if the request breaks a rule, CONFLICT if the client is closed. A refusal of the backend, such as
    /// that of a full queue, is the end of the task.
    pub fn start_execute(
        &self,
        request: Request,
        options: CallOptions,
        notify: Option<Notify>,
    ) -> Result<Task<ExecutionResult>, Error> {
        self.start(Route::Execute, request, options, notify)
    }

    /// Starts [`Client::run`], as [`Client::start_execute`] does for execute.
    ///
    /// # Errors
    ///
    /// As [`Client::start_execute`].
    pub fn start_run(
        &self,
        request: Request,
        options: CallOptions,
        notify: Option<Notify>,
    ) -> Result<Task<ExecutionResult>, Error> {
        self.start(Route::Run, request, options, notify)
    }

    fn start(
        &self,
        route: Route,
        request: Request,
        mut options: CallOptions,
        notify: Option<Notify>,
    ) -> Result<Task<ExecutionResult>, Error> {
        let backend = self.backend()?;
        let (cancel, on_output) = (options.cancel.clone(), options.on_output.take());
        let submission = self.submission(route, Cow::Owned(request), options, false)?;
        let (task, ending) = Task::pending(cancel.clone(), notify);
        backend.submit(submission, Arc::new(TaskSink { ending, on_output, cancel }));
        Ok(task)
    }

    /// The job as it is now, with its result once it has ended.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if this key has no such job; JOB_LOST if the server had told this client of it.
    pub fn get_job(&self, job_id: &str) -> Result<Job, Error> {
        self.call().get_job(job_id)
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
        self.with(CallOptions { deadline: timeout, ..CallOptions::default() }).wait_job(job_id)
    }

    /// What happens to a job, from its begin or behind the output that the caller has.
    ///
    /// ```no_run
    /// use unsandbox::{Client, JobEvent, Offsets, Request};
    ///
    /// let client = Client::from_env()?;
    /// let job = client.execute_async(&Request::new("bash", "echo 1; sleep 1; echo 2"))?;
    /// for event in client.job_events(&job.job_id, Offsets::default())? {
    ///     if let JobEvent::Output { bytes, .. } = event? {
    ///         print!("{}", String::from_utf8_lossy(&bytes));
    ///     }
    /// }
    /// # Ok::<(), unsandbox::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// CONFLICT if the client is closed. That this key has no such job (NOT_FOUND, JOB_LOST) is an error here at `local:`,
    /// and the first event at a server.
    pub fn job_events(&self, job_id: &str, from: Offsets) -> Result<JobEvents, Error> {
        self.call().job_events(job_id, from)
    }

    /// Cancels a pending or running job and gives its partial output; one that has ended is given as
    /// it is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if this key has no such job; JOB_LOST if the server had told this client of it.
    pub fn cancel_job(&self, job_id: &str) -> Result<ExecutionResult, Error> {
        self.call().cancel_job(job_id)
    }

    /// Deletes a job that has ended, with its result, its artifacts and its idempotency key. It is NOT_FOUND from then
    /// on.
    ///
    /// ```no_run
    /// use unsandbox::{Client, Request};
    ///
    /// let client = Client::from_env()?;
    /// let job = client.execute_async(&Request::new("bash", "echo secret"))?;
    /// client.wait_job(&job.job_id, None)?;
    /// client.delete_job(&job.job_id)?;
    /// # Ok::<(), unsandbox::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// CONFLICT if it waits or runs: cancel it first. NOT_FOUND if this key has no such job; JOB_LOST if the server had
    /// told this client of it. ARGUMENT at an endpoint that does not announce this operation, as the service.
    pub fn delete_job(&self, job_id: &str) -> Result<(), Error> {
        self.call().delete_job(job_id)
    }

    /// The pending and running jobs of this key.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    pub fn list_jobs(&self) -> Result<Vec<Job>, Error> {
        self.call().list_jobs()
    }

    /// A part of the same list, whose jobs are in the order of their submissions.
    ///
    /// ```no_run
    /// use unsandbox::{Client, Page};
    ///
    /// let client = Client::from_env()?;
    /// let mut page = Page { limit: Some(100), after: None };
    /// loop {
    ///     let listed = client.list_jobs_page(&page)?;
    ///     listed.jobs.iter().for_each(|job| println!("{} {}", job.job_id, job.status));
    ///     page.after = listed.jobs.last().map(|job| job.job_id.clone());
    ///     if !listed.has_more {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), unsandbox::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// ARGUMENT for a limit that is not 1 to 1,000, and for [`Page::after`] that is not a job of this key any more; at the
    /// service, which gives the whole list, that is one that has ended. Otherwise why the endpoint did not answer.
    pub fn list_jobs_page(&self, page: &Page) -> Result<JobPage, Error> {
        self.call().list_jobs_page(page)
    }

    /// The languages of the endpoint; on `local:` the whole table, with what is installed and what to install.
    ///
    /// There, the first call asks each runtime for its version, which takes some seconds where many
    /// are installed.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    pub fn languages(&self) -> Result<Vec<LanguageInfo>, Error> {
        self.call().languages()
    }

    /// Whether the endpoint takes the key; on `local:` always, with tier `local`.
    ///
    /// # Errors
    ///
    /// Why the endpoint did not answer.
    pub fn validate_key(&self) -> Result<KeyInfo, Error> {
        self.call().validate_key()
    }

    /// What the key may have of the endpoint, what it has now, and what it has used since the server started.
    ///
    /// On `local:` it is what this client's engine has run, since its first use. Requests are not counted there
    /// ([`KeyUsage::requests_remaining`] is `None`), and every language, limit and network mode may be asked for.
    ///
    /// ```no_run
    /// use unsandbox::Client;
    ///
    /// let usage = Client::from_env()?.usage()?;
    /// println!("{} of {} programs run", usage.running, usage.limits.concurrency);
    /// # Ok::<(), unsandbox::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// ARGUMENT at an endpoint that does not tell it, as the service; otherwise why it did not answer.
    pub fn usage(&self) -> Result<KeyUsage, Error> {
        self.call().usage()
    }

    /// Whether the endpoint is up. A server that says itself that it takes no work, as one that stops does,
    /// is not healthy.
    ///
    /// # Errors
    ///
    /// Why it did not answer, or that its answer says nothing of the server.
    pub fn health(&self) -> Result<Health, Error> {
        self.call().health()
    }

    /// Which layers of isolation this machine gives.
    ///
    /// # Errors
    ///
    /// ARGUMENT for an endpoint that is not `local:`, whose isolation only its results tell.
    pub fn probe(&self) -> Result<Probe, Error> {
        self.call().probe()
    }
}

/// Brings the end of a submission to its task.
struct TaskSink {
    ending: Arc<Ending<ExecutionResult>>,
    on_output: Option<OutputCallback>,
    cancel: CancelToken,
}

impl EventSink for TaskSink {
    fn event(&self, event: Event<'_>) {
        if let (Some(callback), Event::Output { stream, bytes, .. }) = (&self.on_output, event) {
            callback(stream, bytes);
        }
    }

    fn wants_output(&self) -> bool {
        self.on_output.is_some()
    }

    fn finished(&self, end: Result<Job, Error>) {
        self.ending.finish(result_of(end, &self.cancel));
    }
}

impl Drop for TaskSink {
    fn drop(&mut self) {
        // Only the first end counts.
        self.ending.finish(Err(lost(None)));
    }
}
