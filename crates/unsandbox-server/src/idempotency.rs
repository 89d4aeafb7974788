// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Idempotency-Key`: a submission that is repeated gets the job of the first, so that a client may
//! retry after any fault and no program runs twice.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use unsandbox_protocol::limits::IDEMPOTENCY_WINDOW;
use unsandbox_protocol::{CancelToken, Error, ErrorCode, Job, Owner};

/// Characters of a key; what clients send is a UUID or a digest.
const KEY_MAX_CHARS: usize = 255;
/// Keys remembered at once; at the limit, submissions with a new key are refused for a while.
const ENTRIES_MAX: usize = 100_000;

type Fingerprint = [u8; 32];

/// A job, and how to end it when nobody waits for it any more.
type Taken = (Job, Option<CancelToken>);

/// What one key stands for.
pub(crate) struct Entry {
    fingerprint: Fingerprint,
    /// The backend's answer to the submission. A lock of its own: the end of a run may be reported while
    /// `submit_once` still holds it.
    answer: Mutex<Option<Result<Taken, Error>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: Option<Instant>,
    /// Connections that wait for the end of a synchronous run.
    waiting: usize,
}

impl Entry {
    /// Runs `submit` unless an earlier call did; gives what that gave.
    ///
    /// A second submission with the same key waits here, for the moment that `submit` takes.
    pub(crate) fn submit_once(
        &self,
        submit: impl FnOnce() -> Result<Taken, Error>,
    ) -> Result<Taken, Error> {
        let mut answer = self.answer.lock().expect("no panic under this lock");
        answer.get_or_insert_with(submit).clone()
    }
}

/// The keys of all owners.
#[derive(Default)]
pub(crate) struct Table {
    entries: Mutex<HashMap<(Owner, String), Arc<Entry>>>,
}

impl Table {
    /// The entry of a key, made if need be; CONFLICT if the key belongs to another request.
    pub(crate) fn entry(
        &self,
        owner: &Owner,
        key: &str,
        fingerprint: Fingerprint,
    ) -> Result<Arc<Entry>, Error> {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        let name = (owner.clone(), key.to_string());
        if let Some(entry) = entries.get(&name)
            && !expired(entry)
        {
            return if entry.fingerprint == fingerprint {
                Ok(entry.clone())
            } else {
                Err(Error::new(
                    ErrorCode::Conflict,
                    "this Idempotency-Key was used for another request within ten minutes",
                ))
            };
        }
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, entry| !expired(entry));
        }
        if entries.len() >= ENTRIES_MAX {
            return Err(Error::new(
                ErrorCode::RateLimited,
                format!("{ENTRIES_MAX} idempotency keys are in use, which is the limit"),
            )
            .with_retry_after_ms(30_000));
        }
        let entry =
            Arc::new(Entry { fingerprint, answer: Mutex::default(), state: Mutex::default() });
        entries.insert(name, entry.clone());
        Ok(entry)
    }

    /// Takes a key back whose submission was refused: nothing ran, so that a retry may.
    pub(crate) fn forget(&self, owner: &Owner, key: &str, entry: &Arc<Entry>) {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        let name = (owner.clone(), key.to_string());
        if entries.get(&name).is_some_and(|known| Arc::ptr_eq(known, entry)) {
            entries.remove(&name);
        }
    }
}

impl Entry {
    /// The ten minutes begin.
    pub(crate) fn ended(&self) {
        self.state.lock().expect("no panic under this lock").ended = Some(Instant::now());
    }

    pub(crate) fn join(&self) {
        self.state.lock().expect("no panic under this lock").waiting += 1;
    }

    /// Whether that was the last one who waited.
    pub(crate) fn leave(&self) -> bool {
        let mut state = self.state.lock().expect("no panic under this lock");
        state.waiting -= 1;
        state.waiting == 0
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.lock().expect("no panic under this lock").waiting == 0
    }
}

fn expired(entry: &Entry) -> bool {
    let state = entry.state.lock().expect("no panic under this lock");
    state.ended.is_some_and(|ended| ended.elapsed() > IDEMPOTENCY_WINDOW)
}

/// The same for the same request, whatever the transport did to it.
pub(crate) fn fingerprint(family: &str, query: &str, body: &[u8]) -> Fingerprint {
    let mut digest = Sha256::new();
    for part in [family.as_bytes(), query.as_bytes(), body] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Checks the header's value.
pub(crate) fn parse_key(value: &[u8]) -> Result<String, Error> {
    let sane = !value.is_empty()
        && value.len() <= KEY_MAX_CHARS
        && value.iter().all(|byte| byte.is_ascii_graphic());
    if !sane {
        return Err(Error::argument(format!(
            "the header Idempotency-Key has {} bytes; it takes 1 to {KEY_MAX_CHARS} visible ASCII characters",
            value.len()
        )));
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::Status;

    fn owner(name: &str) -> Owner {
        Owner(name.to_string())
    }

    #[test]
    fn a_repeated_submission_gets_the_first_job() {
        let table = Table::default();
        let print = fingerprint("execute", "", b"{}");
        let first = table.entry(&owner("a"), "k", print).unwrap();
        first.submit_once(|| Ok((Job::new("1", Status::Pending), None))).unwrap();
        let again = table.entry(&owner("a"), "k", print).unwrap();
        let (job, _) = again.submit_once(|| panic!("a second run")).unwrap();
        assert_eq!(job.job_id, "1");
    }

    #[test]
    fn another_body_conflicts_and_another_owner_does_not() {
        let table = Table::default();
        table.entry(&owner("a"), "k", fingerprint("execute", "", b"1")).unwrap();
        let error = table.entry(&owner("a"), "k", fingerprint("execute", "", b"2"));
        assert_eq!(error.err().unwrap().code(), ErrorCode::Conflict);
        table.entry(&owner("b"), "k", fingerprint("execute", "", b"2")).unwrap();
    }

    #[test]
    fn a_refused_submission_leaves_its_key_free() {
        let table = Table::default();
        let entry = table.entry(&owner("a"), "k", fingerprint("execute", "", b"1")).unwrap();
        entry.submit_once(|| Err(Error::argument("no"))).unwrap_err();
        table.forget(&owner("a"), "k", &entry);
        table.entry(&owner("a"), "k", fingerprint("execute", "", b"2")).unwrap();
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(fingerprint("a", "bc", b""), fingerprint("a", "b", b"c"));
    }

    #[test]
    fn keys_are_bounded_and_visible() {
        assert_eq!(parse_key(b"a-1").unwrap(), "a-1");
        for wrong in [&b""[..], b"a b", b"\xff", &[b'a'; 256]] {
            assert_eq!(parse_key(wrong).unwrap_err().code(), ErrorCode::Argument);
        }
    }
}
