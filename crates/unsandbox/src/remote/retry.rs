// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a call is repeated: only where that can never run a program twice.

use super::control::{Control, jitter};
use super::exchange::{Answer, Ask, Exchange, Fault, path_of};
use super::features::Features;
use crate::observe::{Observer, RequestEvent};
use std::time::{Duration, Instant};
use unsandbox_protocol::wire::{self, decode_error};
use unsandbox_protocol::{Error, ErrorCode};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A server that asks for more patience is not waited for: the caller may know better what to do.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a call is asked.
pub(super) struct Terms<'a> {
    pub(super) retries: u32,
    pub(super) observer: Option<&'a Observer>,
    /// Statuses beyond 200–299 that are answers.
    pub(super) accept: &'a [u16],
    /// Is shown every reply, refusals too.
    pub(super) heard: &'a dyn Fn(&Answer),
}

/// Asks until there is an answer of 200–299, an error that stays, or no attempt left.
///
/// A refusal of any kind is an error.
pub(super) fn ask(
    exchange: &Exchange,
    ask: &Ask<'_>,
    control: &Control,
    terms: &Terms<'_>,
) -> Result<Answer, Error> {
    let Some(Observer(observer)) = terms.observer else {
        return attempts(exchange, ask, control, terms, &mut Seen::default());
    };
    let (method, path, bytes_sent) = (ask.method.as_str(), path_of(ask.target), ask.body.len());
    observer(&RequestEvent::Started { method, path, bytes_sent });
    let begun = Instant::now();
    let mut seen = Seen::default();
    let end = attempts(exchange, ask, control, terms, &mut seen);
    observer(&RequestEvent::Ended {
        method,
        path,
        status: seen.status,
        error: end.as_ref().err().map(Error::code),
        bytes_sent,
        bytes_received: seen.bytes,
        attempts: seen.attempts,
        elapsed: begun.elapsed(),
    });
    end
}

/// What an observer is told at the end.
#[derive(Default)]
struct Seen {
    attempts: u32,
    status: Option<u16>,
    bytes: usize,
}

fn attempts(
    exchange: &Exchange,
    ask: &Ask<'_>,
    control: &Control,
    terms: &Terms<'_>,
    seen: &mut Seen,
) -> Result<Answer, Error> {
    let mut failures = 0;
    // How the first attempt ended on which the server may have acted.
    let mut acted: Option<Error> = None;
    loop {
        seen.attempts += 1;
        let outcome = exchange.ask(ask, control);
        seen.status = outcome.as_ref().ok().map(|answer| answer.status);
        seen.bytes = outcome.as_ref().map_or(0, |answer| answer.body.len());
        outcome.iter().for_each(terms.heard);
        let failure = match outcome {
            Ok(answer)
                if (200..300).contains(&answer.status) || terms.accept.contains(&answer.status) =>
            {
                return Ok(answer);
            }
            Ok(answer) => Failure::refused(&answer),
            Err(fault) => Failure::lost(fault),
        };
        if let (Some(once), Some(named)) = (ask.once, &failure.other_store) {
            match acted {
                Some(first) => return Err(key_forgotten(exchange, first)),
                None if once.follow(named.store.clone()) => continue,
                None => return Err(failure.error),
            }
        }
        if failure.seen && acted.is_none() {
            acted = Some(failure.error.clone());
        }
        // Only a submission can have run something.
        let may_have_run = ask.once.is_some() && acted.is_some();
        let at_the_end = |error: Error| error.with_may_have_run(may_have_run);
        let pause = failure.pause(failures);
        let late = pause > LONGEST_PAUSE || control.left().is_some_and(|left| left <= pause);
        if failures >= terms.retries || late || !failure.may_repeat(ask) {
            return Err(at_the_end(failure.error));
        }
        failures += 1;
        log::info!("{} is repeated in {pause:?}: {}", ask.method, failure.error);
        control.sleep(pause).map_err(at_the_end)?;
    }
}

/// The end of a submission of which nobody knows any more whether it ran.
fn key_forgotten(exchange: &Exchange, first: Error) -> Error {
    let message = format!(
        "{} has no record of the Idempotency-Key of this submission (the server was restarted or replaced, or the \
         key has expired); the program may have run, so it is not sent again",
        exchange.endpoint
    );
    Error::new(ErrorCode::Connect, message).with_cause(first).with_may_have_run(true)
}

struct Failure {
    error: Error,
    /// Whether the server may have acted on the request.
    seen: bool,
    /// What a server can do that refused a submission because its store of keys is another.
    other_store: Option<Features>,
}

impl Failure {
    fn refused(answer: &Answer) -> Failure {
        let retry_after = answer.header("Retry-After");
        let error = decode_error(answer.status, retry_after, &answer.body);
        let changed = answer.status == 412 && error.wire() == wire::STORE_CHANGED;
        let other_store = changed
            .then(|| Features::parse(answer.header(wire::FEATURES_HEADER).unwrap_or_default()));
        // Where a refusal names a job, there is one.
        let seen = error.job_id().is_some()
            || (error.code() == ErrorCode::Server && !says_that_nothing_ran(&error));
        Failure { error, seen, other_store }
    }

    fn lost(fault: Fault) -> Failure {
        Failure { error: fault.error, seen: fault.sent, other_store: None }
    }

    fn may_repeat(&self, ask: &Ask<'_>) -> bool {
        let passing = matches!(
            self.error.code(),
            ErrorCode::Connect | ErrorCode::Server | ErrorCode::RateLimited
        );
        passing && (!self.seen || ask.once.is_none_or(|once| once.is_bound()))
    }

    /// What the server asked for, else longer and longer.
    fn pause(&self, attempt: u32) -> Duration {
        match self.error.retry_after_ms() {
            Some(ms) => Duration::from_millis(ms),
            None => jitter(FIRST_PAUSE * 2u32.saturating_pow(attempt.min(6))),
        }
    }
}

/// A server that says in so many words that it took nothing. `Retry-After` alone does not say so: a cache
/// or gateway adds it to its own 503 where the server behind it did not answer in time, and may have run.
fn says_that_nothing_ran(refusal: &Error) -> bool {
    refusal.http_status() == 503 && [wire::STOPPING, wire::BUSY].contains(&refusal.wire())
}
