// SPDX-License-Identifier: MIT OR Apache-2.0
//! When a call is repeated: only where that can never run a program twice.

use super::RemoteOptions;
use super::control::{Control, jitter};
use super::exchange::{Answer, Ask, Exchange, Fault, path_of};
use crate::observe::{Observer, RequestEvent};
use std::time::{Duration, Instant};
use unsandbox_protocol::wire::decode_error;
use unsandbox_protocol::{Error, ErrorCode};
use ureq::http::Method;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A server that asks for more patience is not waited for: the caller may know better what to do.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What repeating a call would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Safety {
    /// It changes nothing the second time.
    Repeatable,
    /// It would run a program again, unless the server saw nothing of it.
    OnceOnly,
}

/// Asks until there is an answer of 200–299, an error that stays, or no attempt left.
///
/// A refusal of any kind is an error. `accept` names further statuses that are answers.
pub(super) fn ask(
    exchange: &Exchange,
    ask: &Ask<'_>,
    control: &Control,
    options: &RemoteOptions,
    safety: &dyn Fn() -> Safety,
    accept: &[u16],
) -> Result<Answer, Error> {
    let Some(Observer(observer)) = &options.observer else {
        return attempts(
            exchange,
            ask,
            control,
            options.retries,
            safety,
            accept,
            &mut Seen::default(),
        );
    };
    let (method, path, bytes_sent) = (ask.method.as_str(), path_of(ask.target), ask.body.len());
    observer(&RequestEvent::Started { method, path, bytes_sent });
    let begun = Instant::now();
    let mut seen = Seen::default();
    let end = attempts(exchange, ask, control, options.retries, safety, accept, &mut seen);
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
    /// Whether the server may have acted on any of the attempts.
    acted: bool,
}

fn attempts(
    exchange: &Exchange,
    ask: &Ask<'_>,
    control: &Control,
    retries: u32,
    safety: &dyn Fn() -> Safety,
    accept: &[u16],
    seen: &mut Seen,
) -> Result<Answer, Error> {
    loop {
        let attempt = seen.attempts;
        seen.attempts += 1;
        let outcome = exchange.ask(ask, control);
        seen.status = outcome.as_ref().ok().map(|answer| answer.status);
        seen.bytes = outcome.as_ref().map_or(0, |answer| answer.body.len());
        let failure = match outcome {
            Ok(answer)
                if (200..300).contains(&answer.status) || accept.contains(&answer.status) =>
            {
                return Ok(answer);
            }
            Ok(answer) => Failure::refused(&answer),
            Err(fault) => Failure::lost(fault),
        };
        seen.acted |= failure.seen;
        // Only a submission can have run something.
        let submission = ask.method == Method::POST && ask.key.is_some();
        let may_have_run = submission && seen.acted;
        let at_the_end = |error: Error| error.with_may_have_run(may_have_run);
        if attempt >= retries || !failure.may_repeat(safety) {
            if failure.seen {
                // A caller who gave up while the server was asked what it can do is told just that.
                control.check().map_err(at_the_end)?;
            }
            return Err(at_the_end(failure.error));
        }
        let pause = failure.pause(attempt);
        if pause > LONGEST_PAUSE || control.left().is_some_and(|left| left <= pause) {
            return Err(at_the_end(failure.error));
        }
        log::info!("{} is repeated in {pause:?}: {}", ask.method, failure.error);
        control.sleep(pause).map_err(at_the_end)?;
    }
}

struct Failure {
    error: Error,
    /// Whether the server may have acted on the request.
    seen: bool,
}

impl Failure {
    fn refused(answer: &Answer) -> Failure {
        let retry_after = answer.header("Retry-After");
        let error = decode_error(answer.status, retry_after, &answer.body);
        // Too many requests, or a server that says when it will be back: nothing ran.
        let unseen = answer.status == 429 || (answer.status == 503 && retry_after.is_some());
        // A refusal of the request itself did not run anything either.
        let seen = !unseen && answer.status >= 500 && error.code() == ErrorCode::Server;
        Failure { error, seen }
    }

    fn lost(fault: Fault) -> Failure {
        Failure { error: fault.error, seen: fault.sent }
    }

    fn may_repeat(&self, safety: &dyn Fn() -> Safety) -> bool {
        let passing = matches!(
            self.error.code(),
            ErrorCode::Connect | ErrorCode::Server | ErrorCode::RateLimited
        );
        passing && (!self.seen || safety() == Safety::Repeatable)
    }

    /// What the server asked for, else longer and longer.
    fn pause(&self, attempt: u32) -> Duration {
        match self.error.retry_after_ms() {
            Some(ms) => Duration::from_millis(ms),
            None => jitter(FIRST_PAUSE * 2u32.saturating_pow(attempt.min(6))),
        }
    }
}
