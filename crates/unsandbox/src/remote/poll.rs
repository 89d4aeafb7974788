// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for a job: by long poll where the server offers it, else quick first and then slower.

use super::Remote;
use super::accepted::Missing;
use super::control::{Control, jitter};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsandbox_protocol::printable::printable;
use unsandbox_protocol::wire::WAIT_MAX_SECONDS;
use unsandbox_protocol::{Error, ErrorCode, ExecutionResult, Job};

/// Milliseconds between looks; the last one stays.
const PAUSES_MS: [u64; 10] = [50, 100, 200, 300, 450, 700, 900, 1200, 1600, 2000];

/// Asks something about a job. One of which the server has told this client, and which it does not know
/// any more, is lost; one that was just submitted is asked for some times more before that.
pub(super) fn about<T>(
    remote: &Remote,
    job_id: &str,
    control: &Control,
    ask: impl Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        let error = match ask() {
            Err(error) if error.code() == ErrorCode::NotFound => error,
            other => return other,
        };
        let missing = remote.jobs_told().miss(job_id);
        match missing {
            Missing::NotFound => return Err(error),
            Missing::Lost => return Err(lost(remote, job_id, error)),
            Missing::NotYet(looks) => {
                control.sleep(jitter(Duration::from_millis(PAUSES_MS[looks])))?;
            }
        }
    }
}

/// Asks for a job until it has ended.
pub(super) fn wait(
    remote: &Remote,
    job_id: &str,
    control: &Control,
) -> Result<ExecutionResult, Error> {
    let mut looks = 0;
    let mut silent = 0;
    loop {
        let long = remote.features().wait;
        let begun = Instant::now();
        let asked = if long { longest_wait(remote, control) } else { None };
        match about(remote, job_id, control, || look(remote, job_id, asked, control)) {
            Ok(Job { result: Some(result), .. }) => return Ok(Arc::unwrap_or_clone(result)),
            Ok(_) => silent = 0,
            // One connection that went dead on the way must not be the end of a long wait.
            Err(error)
                if error.code() == ErrorCode::Timeout
                    && !control.is_over()
                    && silent < remote.inner.options.retries =>
            {
                silent += 1;
                log::info!("job {} is asked for again: {error}", printable(job_id));
                continue;
            }
            // It names the job that a caller asked for; there is none.
            Err(error) if error.code() == ErrorCode::NotFound => return Err(error),
            Err(error) => return Err(error.with_job_id(job_id)),
        }
        if !long && looks == 0 && remote.features().wait {
            // The first answer told that the server holds questions: the next one waits there.
            looks += 1;
            continue;
        }
        if let Some(pause) = pause(looks, asked, begun.elapsed()) {
            control.sleep(jitter(pause)).map_err(|error| error.with_job_id(job_id))?;
        }
        looks += 1;
    }
}

/// The pause after a question that took `took`, of which the server was asked to hold it for `asked` seconds.
///
/// One that was held so long needs none. A server that answers before that has no place to hold it, and must not
/// be asked again at once.
fn pause(looks: usize, asked: Option<u64>, took: Duration) -> Option<Duration> {
    let held = asked
        .is_some_and(|seconds| took + Duration::from_millis(500) >= Duration::from_secs(seconds));
    (!held).then(|| Duration::from_millis(PAUSES_MS[looks.min(PAUSES_MS.len() - 1)]))
}

/// For how many seconds the server may be asked to hold a question.
fn longest_wait(remote: &Remote, control: &Control) -> Option<u64> {
    let seconds = match control.left() {
        // An answer needs time to come back before our own deadline.
        Some(left) => left.as_secs().saturating_sub(1).min(WAIT_MAX_SECONDS),
        None => WAIT_MAX_SECONDS,
    };
    let seconds = match remote.inner.options.timeouts.first_byte {
        Some(limit) => limit.as_secs().saturating_sub(1).min(seconds),
        None => seconds,
    };
    (seconds > 0).then_some(seconds)
}

fn look(remote: &Remote, job_id: &str, wait: Option<u64>, control: &Control) -> Result<Job, Error> {
    let limit = remote.question_time() + Duration::from_secs(wait.unwrap_or(0));
    remote.look_at(job_id, wait, &control.within(limit))
}

fn lost(remote: &Remote, job_id: &str, cause: Error) -> Error {
    let (endpoint, status) = (remote.endpoint(), cause.http_status());
    let message = format!(
        "{endpoint} accepted job {job_id:?} and now answers {status} for it; the program may have run"
    );
    Error::new(ErrorCode::JobLost, message)
        .with_http_status(cause.http_status())
        .with_job_id(job_id)
        .with_may_have_run(true)
        .with_cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_answered_early_is_not_asked_again_at_once() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(0, Some(30), seconds(30)), None);
        assert_eq!(pause(0, Some(30), Duration::from_millis(29_600)), None);
        assert_eq!(pause(0, Some(30), seconds(20)), Some(Duration::from_millis(50)));
        assert_eq!(pause(100, Some(30), seconds(1)), Some(seconds(2)));
        assert_eq!(pause(0, None, seconds(30)), Some(Duration::from_millis(50)));
    }
}
