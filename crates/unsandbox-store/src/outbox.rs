// SPDX-License-Identifier: MIT OR Apache-2.0
//! Webhooks for the server that delivers them. Who takes one out moves the time at which it is due behind a lease, so that
//! one whose process ends is due again. Only the owner of the queue takes any.

use crate::shared::Shared;
use crate::webhooks;
use std::time::Duration;
use unsandbox_protocol::Error;
use unsandbox_protocol::outbox::{Outbox, Room, Settled, Webhook};

impl Outbox for Shared {
    fn take(&self, room: &Room) -> Result<Vec<Webhook>, Error> {
        if !self.live().has_queue {
            return Ok(Vec::new());
        }
        let now_ms = self.clock.now_ms();
        let look = |db: &rusqlite::Connection| webhooks::due(db, room, now_ms);
        let found = self.database.read("look for webhooks", look)?;
        if found.is_empty() {
            return Ok(found);
        }
        let until_ms = later(now_ms, room.lease);
        self.writer.write_now("take webhooks out", move |db| {
            let mut taken = Vec::new();
            for webhook in &found {
                if webhooks::take(db, webhook, until_ms)? {
                    taken.push(Webhook { attempts: webhook.attempts + 1, ..webhook.clone() });
                }
            }
            Ok(taken)
        })
    }

    fn settle(&self, webhook: &Webhook, settled: Settled) -> Result<(), Error> {
        let (webhook, now_ms) = (webhook.clone(), self.clock.now_ms());
        self.writer.write_now("settle a webhook", move |db| match settled {
            Settled::Done => webhooks::done(db, &webhook),
            Settled::Later(by) => webhooks::postpone(db, &webhook, later(now_ms, by)),
        })
    }
}

fn later(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}
