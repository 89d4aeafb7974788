// SPDX-License-Identifier: MIT OR Apache-2.0
//! The webhooks that a backend keeps on disk until they are delivered, for the server that delivers them.

use crate::error::Error;
use crate::events::Owner;
use crate::result::Status;
use std::collections::HashMap;
use std::time::Duration;

/// A webhook of a job that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// Its number in the outbox.
    pub id: i64,
    /// Whose job it was.
    pub owner: Owner,
    /// The job that has ended.
    pub job_id: String,
    /// How it has ended.
    pub status: Status,
    /// When it has ended, in Unix seconds.
    pub ended_at: i64,
    /// As the submission had it.
    pub url: String,
    /// How often it was taken out, this time included.
    pub attempts: u32,
}

/// Which webhooks may be taken out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// Of all owners.
    pub places: usize,
    /// Of one owner, with those that it has out already.
    pub each: usize,
    /// Those that each owner has out.
    pub out: HashMap<Owner, usize>,
    /// The owner that had the last turn; the next one in the order of their names begins.
    pub after: Owner,
    /// For how long they are taken out. One that is not settled within that is due again: its process has ended.
    pub lease: Duration,
}

/// What becomes of a webhook that was taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It was delivered, or is given up: it is removed.
    Done,
    /// It is due again after this time.
    Later(Duration),
}

/// Keeps webhooks until they are settled. Each call may wait for the disk.
pub trait Outbox: Send + Sync {
    /// Takes webhooks out that are due, by turns between their owners. Nobody else gets them before the lease ends. None
    /// where another process delivers them.
    ///
    /// # Errors
    ///
    /// STORE if they could not be read or written.
    fn take(&self, room: &Room) -> Result<Vec<Webhook>, Error>;

    /// Says what becomes of a webhook that was taken out. One whose lease has ended meanwhile stays as it is.
    ///
    /// # Errors
    ///
    /// STORE if it could not be written; the webhook is then due again when its lease ends.
    fn settle(&self, webhook: &Webhook, settled: Settled) -> Result<(), Error>;
}
