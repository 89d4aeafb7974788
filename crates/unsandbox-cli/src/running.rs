// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run in progress. It is submitted as a job at every endpoint: an interrupt has to cancel the program and fetch its
//! partial output, and both need the job's id.

use crate::failure::Failure;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unsandbox::protocol::shell::shell_word;
use unsandbox::{
    CallOptions, CancelToken, Client, Error, ErrorCode, ExecutionResult, Request, Stream,
};
use unsandbox_protocol::sync::lock;

/// How long an interrupt waits for the reply to a submission, which contains the id that a cancel needs.
const SUBMISSION_TIME: Duration = Duration::from_secs(1);

pub(crate) enum Event {
    Output(Stream, Vec<u8>),
    Done(Box<Result<ExecutionResult, Error>>),
}

/// Clones are the same run.
#[derive(Clone)]
pub(crate) struct Running {
    client: Client,
    events: Sender<Event>,
    /// Ends the submission itself.
    submission: CancelToken,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    job_id: Option<String>,
    stopped: bool,
}

impl Running {
    pub(crate) fn new(client: &Client, events: Sender<Event>, submission: CancelToken) -> Running {
        Running { client: client.clone(), events, submission, state: Arc::default() }
    }

    /// Submits; output and the end come as events.
    pub(crate) fn start(&self, request: &Request, mut options: CallOptions) -> Result<(), Failure> {
        let waiting = CallOptions { on_output: options.on_output.take(), ..CallOptions::default() };
        let job = match request.language {
            Some(_) => self.client.with(options).execute_async(request)?,
            None => self.client.with(options).run_async(request)?,
        };
        let stopped = {
            let mut state = lock(&self.state);
            state.job_id = Some(job.job_id.clone());
            state.stopped
        };
        if stopped {
            return self.cancel(job.job_id);
        }
        let running = self.clone();
        spawn(move || {
            let end = running.client.with(waiting).wait_job(&job.job_id);
            // After a stop the server may have removed the job; its end then comes from the cancel.
            if end.is_ok() || !running.is_stopped() {
                let _ = running.events.send(Event::Done(Box::new(end)));
            }
        })
    }

    /// Cancels the program, from any thread, without waiting.
    pub(crate) fn stop(&self) {
        let job_id = {
            let mut state = lock(&self.state);
            state.stopped = true;
            state.job_id.clone()
        };
        // If no thread can be started, a second interrupt still ends the command.
        let _ = match job_id {
            Some(job_id) => self.cancel(job_id),
            None => {
                let submission = self.submission.clone();
                spawn(move || {
                    std::thread::sleep(SUBMISSION_TIME);
                    submission.cancel();
                })
            }
        };
    }

    /// The failure for a missing result, with a hint how to fetch it if the job may still have one.
    pub(crate) fn lost(&self, error: Error) -> Failure {
        let job_id = lock(&self.state).job_id.clone();
        let gone = matches!(error.code(), ErrorCode::NotFound | ErrorCode::JobLost);
        let kept = self.client.backend().is_ok_and(|backend| backend.capabilities().keeps_jobs);
        match job_id {
            Some(id) if kept && !gone => {
                let command = wait_command(self.client.endpoint(), &id);
                Failure::from(error)
                    .hint(format!("job {id} may still be running; get its result with `{command}`"))
            }
            _ => error.into(),
        }
    }

    fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    fn cancel(&self, job_id: String) -> Result<(), Failure> {
        let running = self.clone();
        spawn(move || {
            let end = running.client.cancel_job(&job_id);
            let _ = running.events.send(Event::Done(Box::new(end)));
        })
    }
}

/// The command that fetches a result. The server chose the id, which may begin with a dash.
fn wait_command(url: &str, id: &str) -> String {
    let end_of_options = if id.starts_with('-') { "-- " } else { "" };
    format!("unsandbox wait --url {} {end_of_options}{}", shell_word(url), shell_word(id))
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = std::thread::Builder::new().name("unsandbox-call".to_string()).spawn(body);
    thread.map(drop).map_err(|error| Failure::failed(format!("no thread for the call: {error}")))
}

#[cfg(test)]
mod tests {
    use super::wait_command;

    #[test]
    fn the_command_that_asks_for_a_result_is_quoted_for_a_shell() {
        for (url, id, command) in [
            ("http://h:80", "job_1-a", "unsandbox wait --url http://h:80 job_1-a"),
            ("http://h/a;id", "$(id)", "unsandbox wait --url 'http://h/a;id' '$(id)'"),
            ("unix:/a b/s", "--url=x", "unsandbox wait --url 'unix:/a b/s' -- '--url=x'"),
        ] {
            assert_eq!(wait_command(url, id), command);
        }
    }
}
