// SPDX-License-Identifier: MIT OR Apache-2.0
//! When webhooks are delivered: those that are due, by turns between the keys, so many at once. One that fails is due
//! again later, with growing pauses, until it is given up.

use super::deliver::{Courier, Outcome, Post};
use super::places::{Place, Places};
use super::{PLACES, PLACES_EACH, WebhookOptions};
use crate::key_ring::KeyRing;
use crate::keys::unix_seconds;
use crate::observe::metrics::Metrics;
use crate::workers::spawn_blocking;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use unsandbox_protocol::outbox::{Outbox, Room, Settled, Webhook};
use unsandbox_protocol::webhook::{CallbackUrl, webhook_body, webhook_id};
use unsandbox_protocol::{Error, Owner};

/// How often webhooks are looked for that nothing here tells of: those whose pause is over, or of another process.
const LOOK: Duration = Duration::from_secs(1);
/// For writing the outcome of a delivery.
const SETTLING: Duration = Duration::from_secs(5);
/// Attempts whose outcome was never written, beyond which a webhook is given up.
const UNSETTLED_MAX: usize = 5;
/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

pub(super) struct Schedule {
    pub(super) wake: Arc<Notify>,
    courier: Courier,
    outbox: Arc<dyn Outbox>,
    keys: Arc<KeyRing>,
    metrics: Arc<Metrics>,
    pauses: Vec<Duration>,
    /// Longer than a delivery and the writing of its outcome.
    lease: Duration,
    places: Arc<Places>,
}

impl Schedule {
    pub(super) fn new(
        courier: Courier,
        outbox: Arc<dyn Outbox>,
        keys: Arc<KeyRing>,
        metrics: Arc<Metrics>,
        options: &WebhookOptions,
    ) -> Schedule {
        let (wake, pauses, lease) =
            (Arc::default(), options.pauses.clone(), options.deadline + SETTLING);
        let places = Places::new(Arc::clone(&wake));
        Schedule { wake, courier, outbox, keys, metrics, pauses, lease, places }
    }

    /// Delivers what is due, for as long as it is polled.
    pub(super) async fn run(self: Arc<Self>) {
        let mut after = Owner::default();
        loop {
            let room = self.room(after.clone());
            if room.places > 0 {
                let outbox = self.outbox.clone();
                match spawn_blocking(move || outbox.take(&room)).await {
                    Ok(taken) => {
                        if let Some(last) = taken.last() {
                            after.clone_from(&last.owner);
                        }
                        taken.into_iter().for_each(|webhook| self.begin(webhook));
                    }
                    Err(error) => log::warn!("{error}"),
                }
            }
            let _ = tokio::time::timeout(LOOK, self.wake.notified()).await;
        }
    }

    /// Resolves when no delivery is under way; not while [`Schedule::run`] is polled, which takes the same signal.
    pub(super) async fn idle(&self) {
        while !self.places.out().is_empty() {
            self.wake.notified().await;
        }
    }

    fn room(&self, after: Owner) -> Room {
        let out = self.places.out();
        let places = PLACES.saturating_sub(out.values().sum());
        Room { places, each: PLACES_EACH, out, after, lease: self.lease }
    }

    fn begin(self: &Arc<Self>, webhook: Webhook) {
        let place = Arc::new(self.places.enter(&webhook.owner));
        let this = self.clone();
        tokio::spawn(async move {
            let settled = this.deliver(&webhook, place.clone()).await;
            let outbox = this.outbox.clone();
            if let Err(error) = spawn_blocking(move || outbox.settle(&webhook, settled)).await {
                log::warn!("a webhook will be delivered once more: {error}");
            }
            drop(place);
        });
    }

    async fn deliver(&self, webhook: &Webhook, place: Arc<Place>) -> Settled {
        if webhook.attempts as usize > self.pauses.len() + UNSETTLED_MAX {
            self.metrics.webhook("given_up");
            log::warn!("{} is given up after {} attempts", named(webhook), webhook.attempts);
            return Settled::Done;
        }
        let post = match self.post(webhook) {
            Ok(post) => post,
            // The key may come back: a line of a file is soon taken out by mistake.
            Err(why) => {
                return self.settle(webhook.attempts, &named(webhook), Outcome::Refused(why));
            }
        };
        let whom = format!("{} to {}", named(webhook), post.url.authority);
        let outcome = self.courier.deliver(post, place).await;
        self.settle(webhook.attempts, &whom, outcome)
    }

    /// What is posted, or why nothing is.
    fn post(&self, webhook: &Webhook) -> Result<Post, String> {
        let Webhook { owner, job_id, status, ended_at, url, .. } = webhook;
        let url = CallbackUrl::parse(url).map_err(|error: Error| error.message().to_string())?;
        let secrets = self.keys.now().keys.webhook_secrets(owner);
        if secrets.is_empty() {
            return Err(
                "the server does not know its key, and nobody else could sign it".to_string()
            );
        }
        let (id, time) = (webhook_id(job_id), unix_seconds());
        let body = webhook_body(job_id, status, *ended_at);
        let signatures: Vec<String> =
            secrets.iter().map(|secret| secret.sign(&id, time, &body)).collect();
        Ok(Post { url, id, time, signatures: signatures.join(" "), body })
    }

    /// Counts and logs an attempt, and decides what comes next.
    fn settle(&self, attempts: u32, whom: &str, outcome: Outcome) -> Settled {
        let (word, why, retry_after) = match outcome {
            Outcome::Delivered => {
                self.metrics.webhook("delivered");
                log::debug!("{whom} was delivered");
                return Settled::Done;
            }
            Outcome::Gone => {
                self.metrics.webhook("given_up");
                log::warn!("{whom} is given up: it answered 410");
                return Settled::Done;
            }
            Outcome::Refused(why) => ("refused", why, None),
            Outcome::Failed { why, retry_after } => ("retried", why, retry_after),
        };
        let Some(pause) = pause(&self.pauses, attempts, retry_after) else {
            self.metrics.webhook(if word == "refused" { word } else { "given_up" });
            log::warn!("{whom} is given up after {attempts} attempts: {why}");
            return Settled::Done;
        };
        self.metrics.webhook(word);
        log::info!("{whom} was not delivered: {why}; again in {} s", pause.as_secs());
        Settled::Later(pause)
    }
}

/// A webhook in the log: whose, and about which job.
fn named(webhook: &Webhook) -> String {
    let key: String = webhook.owner.0.chars().take(8).collect();
    format!("the webhook of job {} of key {key}", webhook.job_id)
}

/// The pause after so many attempts, up to a fifth longer by chance, or as long as the receiver asks for; `None` after
/// the last one.
fn pause(pauses: &[Duration], attempts: u32, retry_after: Option<Duration>) -> Option<Duration> {
    let index = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let own = *pauses.get(index)?;
    let mut random = [0; 1];
    // Without random numbers the pause is the plain one.
    let _ = getrandom::fill(&mut random);
    let own = own + own * u32::from(random[0]) / (5 * u32::from(u8::MAX));
    Some(own.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::super::PAUSES_SECONDS;
    use super::*;

    #[test]
    fn pauses_grow_with_some_chance_until_a_webhook_is_given_up() {
        let pauses = PAUSES_SECONDS.map(Duration::from_secs);
        assert!(pauses.is_sorted());
        for (index, own) in pauses.iter().enumerate() {
            let attempts = u32::try_from(index).unwrap() + 1;
            for _ in 0..50 {
                let pause = pause(&pauses, attempts, None).unwrap();
                assert!((*own..=*own * 6 / 5).contains(&pause), "{attempts}: {pause:?}");
            }
        }
        assert_eq!(pause(&pauses, 10, Some(Duration::from_secs(1))), None);
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_pause_within_bounds_and_for_no_shorter_one() {
        let pauses = [Duration::from_secs(100)];
        let asked = |seconds| pause(&pauses, 1, Some(Duration::from_secs(seconds))).unwrap();
        assert!(asked(0) >= pauses[0] && asked(99) >= pauses[0]);
        assert_eq!(asked(1_000), Duration::from_secs(1_000));
        assert_eq!(asked(86_400), RETRY_AFTER_MAX);
    }
}
