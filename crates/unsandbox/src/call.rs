// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options of a single call besides its request (a way to stop it, a deadline, streams), and the operations with them.

use crate::client::{Client, Route};
use crate::job_events::JobEvents;
use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo, result_in};
use unsandbox_protocol::usage::KeyUsage;
use unsandbox_protocol::waiter::Waiter;
use unsandbox_protocol::{
    CallContext, CancelToken, Error, Event, EventSink, ExecutionResult, Job, JobPage, Offsets,
    Owner, Page, Probe, Request, Stream,
};

/// Receives output as the program writes it; called from the library's threads, must not block.
pub type OutputCallback = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// Options of one call.
#[derive(Default)]
pub struct CallOptions {
    /// Ends the call from any thread: it fails with CANCELLED, and the program is ended where the
    /// endpoint can.
    pub cancel: CancelToken,
    /// How long the call may take; it fails with TIMEOUT. `None`: the client's setting, and by default
    /// long enough for queue, compiler and ttl.
    pub deadline: Option<Duration>,
    /// Live output, from the local engine and from a server of your own; that of the service comes in one piece with the
    /// result.
    pub on_output: Option<OutputCallback>,
    /// Standard input as a stream, in place of `Request::stdin`; read to its end first for a server.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Submit as a job, so that cancelling the call also cancels the program at any server. Our own
    /// server does so without.
    pub cancel_job: bool,
}

impl CallOptions {
    /// Options with a new token, the client's deadline and no streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the token that ends the call from any thread.
    pub fn cancel(mut self, cancel: CancelToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Sets how long the call may take before it fails with TIMEOUT.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets what receives output, as the program writes it; from the service in one piece. It must not block.
    pub fn on_output(mut self, callback: impl Fn(Stream, &[u8]) + Send + Sync + 'static) -> Self {
        self.on_output = Some(Arc::new(callback));
        self
    }

    /// Sets a stream as standard input, in place of [`Request::stdin`](field@Request::stdin).
    pub fn stdin(mut self, stdin: impl Read + Send + 'static) -> Self {
        self.stdin = Some(Box::new(stdin));
        self
    }
}

impl fmt::Debug for CallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOptions")
            .field("cancel", &self.cancel)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// The operations of a client with options for one call: what [`Client::with`] gives.
///
/// ```no_run
/// use std::time::Duration;
/// use unsandbox::{CallOptions, Client, Request};
///
/// let client = Client::from_env()?;
/// let options = CallOptions::new().deadline(Duration::from_secs(10));
/// let result = client.with(options).execute(&Request::new("python", "print(1)"))?;
/// # Ok::<(), unsandbox::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it does nothing until an operation is called"]
pub struct Call<'a> {
    client: &'a Client,
    options: CallOptions,
}

impl<'a> Call<'a> {
    pub(crate) fn new(client: &'a Client, options: CallOptions) -> Self {
        Call { client, options }
    }

    /// [`Client::execute`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn execute(self, request: &Request) -> Result<ExecutionResult, Error> {
        self.execute_by(Route::Execute, request)
    }

    /// [`Client::run`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn run(self, request: &Request) -> Result<ExecutionResult, Error> {
        self.execute_by(Route::Run, request)
    }

    fn execute_by(self, route: Route, request: &Request) -> Result<ExecutionResult, Error> {
        let backend = self.client.backend()?;
        let on_output = OutputSink::new(self.options.on_output.clone());
        let request = Cow::Borrowed(request);
        let submission = self.client.submission(route, request, self.options, false)?;
        backend.execute(submission, on_output)
    }

    /// [`Client::execute_async`] with these options, which bound the submission and not the job.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn execute_async(self, request: &Request) -> Result<Job, Error> {
        self.submit_by(Route::Execute, request)
    }

    /// [`Client::run_async`] with these options, which bound the submission and not the job.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn run_async(self, request: &Request) -> Result<Job, Error> {
        self.submit_by(Route::Run, request)
    }

    fn submit_by(self, route: Route, request: &Request) -> Result<Job, Error> {
        let backend = self.client.backend()?;
        let on_output = OutputSink::new(self.options.on_output.clone());
        let request = Cow::Borrowed(request);
        let mut submission = self.client.submission(route, request, self.options, true)?;
        // The job outlives this call, so that the call's token must not reach it.
        submission.cancel = CancelToken::new();
        backend.submit_job(submission, on_output)
    }

    /// [`Client::get_job`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn get_job(self, job_id: &str) -> Result<Job, Error> {
        check_job_id(job_id)?;
        self.client.backend()?.get_job(job_id, &self.context())
    }

    /// [`Client::wait_job`] with these options; the deadline and the token end only the waiting. `on_output` receives
    /// the output of the job from its begin.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED by the options.
    pub fn wait_job(self, job_id: &str) -> Result<ExecutionResult, Error> {
        check_job_id(job_id)?;
        let (backend, context) = (self.client.backend()?, self.context());
        if self.options.on_output.is_none() {
            return backend.wait_job(job_id, &context);
        }
        let waiter = Waiter::with_sink(OutputSink::new(self.options.on_output));
        backend.watch_events(job_id, &context, Offsets::default(), waiter.sink())?;
        result_in(waiter.wait_within(job_id, &context)?)
    }

    /// [`Client::job_events`] with these options; the deadline and the token end only the events.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn job_events(self, job_id: &str, from: Offsets) -> Result<JobEvents, Error> {
        check_job_id(job_id)?;
        JobEvents::new(self.client.backend()?.clone(), job_id, self.context(), from)
    }

    /// [`Client::cancel_job`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn cancel_job(self, job_id: &str) -> Result<ExecutionResult, Error> {
        check_job_id(job_id)?;
        self.client.backend()?.cancel_job(job_id, &self.context())
    }

    /// [`Client::delete_job`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn delete_job(self, job_id: &str) -> Result<(), Error> {
        check_job_id(job_id)?;
        self.client.backend()?.delete_job(job_id, &self.context())
    }

    /// [`Client::list_jobs`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn list_jobs(self) -> Result<Vec<Job>, Error> {
        Ok(self.list_jobs_page(&Page::default())?.jobs)
    }

    /// [`Client::list_jobs_page`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn list_jobs_page(self, page: &Page) -> Result<JobPage, Error> {
        page.check()?;
        self.client.backend()?.list_jobs(page, &self.context())
    }

    /// [`Client::languages`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn languages(self) -> Result<Vec<LanguageInfo>, Error> {
        self.client.backend()?.languages_with_versions(&self.context())
    }

    /// [`Client::validate_key`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn validate_key(self) -> Result<KeyInfo, Error> {
        self.client.backend()?.validate_key(&self.context())
    }

    /// [`Client::usage`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn usage(self) -> Result<KeyUsage, Error> {
        self.client.backend()?.usage(&self.context())
    }

    /// [`Client::health`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn health(self) -> Result<Health, Error> {
        self.client.backend()?.health(&self.context())
    }

    /// [`Client::probe`] with these options.
    ///
    /// # Errors
    ///
    /// As there; CANCELLED and TIMEOUT by the options.
    pub fn probe(self) -> Result<Probe, Error> {
        self.client.backend()?.probe(&self.context())
    }

    fn context(&self) -> CallContext {
        let CallOptions { cancel, deadline, .. } = &self.options;
        CallContext { owner: Owner::default(), cancel: cancel.clone(), deadline: *deadline }
    }
}

fn check_job_id(job_id: &str) -> Result<(), Error> {
    match job_id.is_empty() {
        true => Err(Error::argument("job_id is empty")),
        false => Ok(()),
    }
}

/// Brings output to a call's callback.
struct OutputSink(Option<OutputCallback>);

impl OutputSink {
    fn new(callback: Option<OutputCallback>) -> Arc<OutputSink> {
        Arc::new(OutputSink(callback))
    }
}

impl EventSink for OutputSink {
    fn event(&self, event: Event<'_>) {
        if let (Some(callback), Event::Output { stream, bytes, .. }) = (&self.0, event) {
            callback(stream, bytes);
        }
    }

    fn wants_output(&self) -> bool {
        self.0.is_some()
    }

    fn finished(&self, _: Result<Job, Error>) {}
}
