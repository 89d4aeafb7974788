// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Idempotency-Key`: a submission that is repeated gets the job of the first, so that a client may
//! retry after any fault and no program runs twice.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::limits::IDEMPOTENCY_WINDOW;
use unsandbox_protocol::{CancelToken, Error, ErrorCode, Job, Owner};

/// Characters of a key; what clients send is a UUID or a digest.
const KEY_MAX_CHARS: usize = 255;
/// Keys of one owner remembered at once. Beyond them the one that ended first makes room, so that
/// nobody's keys push out another's.
const KEYS_OF_OWNER_MAX: usize = 10_000;

type Fingerprint = [u8; 32];

/// A job, and how to end it when nobody waits for it any more.
type Taken = (Job, Option<CancelToken>);

/// What one key stands for.
pub(crate) struct Entry {
    owner: Owner,
    key: String,
    fingerprint: Fingerprint,
    /// The backend's answer to the submission. A lock of its own: the end of a run may be reported while
    /// `submit_once` still holds it.
    answer: Mutex<Option<Result<Taken, Error>>>,
    /// Requests that wait for the end; from none to one only under the table's lock.
    waiting: Mutex<usize>,
    /// The run is over: its result is what the key stands for. Set under the table's lock.
    has_ended: AtomicBool,
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

    fn waiting(&self) -> std::sync::MutexGuard<'_, usize> {
        self.waiting.lock().expect("no panic under this lock")
    }
}

/// A request's share in an entry. While there is one, the run is not given up.
pub(crate) struct Claim {
    entry: Arc<Entry>,
}

impl Claim {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Nobody has to wait for this run: its caller comes back with the job's id.
    pub(crate) fn stay(self) {
        *self.entry.waiting() += 1;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *self.entry.waiting() -= 1;
    }
}

/// The keys of all owners.
pub(crate) struct Table {
    owners: Mutex<HashMap<Owner, Keys>>,
    window: Duration,
    max: usize,
}

#[derive(Default)]
struct Keys {
    entries: HashMap<String, Arc<Entry>>,
    /// In the order of their ends.
    ended: VecDeque<(Instant, Arc<Entry>)>,
}

impl Keys {
    fn has(&self, entry: &Arc<Entry>) -> bool {
        self.entries.get(&entry.key).is_some_and(|known| Arc::ptr_eq(known, entry))
    }

    /// Removes an entry, unless its key stands for another by now.
    fn remove(&mut self, entry: &Arc<Entry>) {
        if self.has(entry) {
            self.entries.remove(&entry.key);
        }
    }

    fn make_room(&mut self, window: Duration, max: usize) {
        while let Some((since, _)) = self.ended.front()
            && (since.elapsed() > window || self.entries.len() >= max)
        {
            let (_, entry) = self.ended.pop_front().expect("it was looked at");
            self.remove(&entry);
        }
    }
}

impl Default for Table {
    fn default() -> Self {
        Table { owners: Mutex::default(), window: IDEMPOTENCY_WINDOW, max: KEYS_OF_OWNER_MAX }
    }
}

impl Table {
    /// A share in the entry of a key, which is made if need be; CONFLICT if the key belongs to another
    /// request.
    pub(crate) fn claim(
        &self,
        owner: &Owner,
        key: &str,
        fingerprint: Fingerprint,
    ) -> Result<Claim, Error> {
        let mut owners = self.owners.lock().expect("no panic under this lock");
        let keys = owners.entry(owner.clone()).or_default();
        keys.make_room(self.window, usize::MAX);
        let entry = match keys.entries.get(key) {
            Some(entry) if entry.fingerprint == fingerprint => entry.clone(),
            Some(_) => {
                return Err(Error::new(
                    ErrorCode::Conflict,
                    "this Idempotency-Key was used for another request within ten minutes",
                ));
            }
            None => {
                keys.make_room(self.window, self.max);
                if keys.entries.len() >= self.max {
                    let max = self.max;
                    let text = format!(
                        "{max} runs of this key with an Idempotency-Key are under way, which is the limit"
                    );
                    return Err(
                        Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(30_000)
                    );
                }
                let entry = Arc::new(Entry {
                    owner: owner.clone(),
                    key: key.to_string(),
                    fingerprint,
                    answer: Mutex::default(),
                    waiting: Mutex::default(),
                    has_ended: AtomicBool::new(false),
                });
                keys.entries.insert(key.to_string(), entry.clone());
                entry
            }
        };
        *entry.waiting() += 1;
        Ok(Claim { entry })
    }

    /// The ten minutes begin.
    pub(crate) fn ended(&self, entry: &Arc<Entry>) {
        let mut owners = self.owners.lock().expect("no panic under this lock");
        // One that was abandoned has its end too, but no key any more.
        if let Some(keys) = owners.get_mut(&entry.owner).filter(|keys| keys.has(entry)) {
            keys.ended.push_back((Instant::now(), entry.clone()));
        }
        entry.has_ended.store(true, Ordering::SeqCst);
    }

    /// Takes a key back whose submission was refused: nothing ran, so that a retry may.
    pub(crate) fn forget(&self, entry: &Arc<Entry>) {
        let mut owners = self.owners.lock().expect("no panic under this lock");
        if let Some(keys) = owners.get_mut(&entry.owner) {
            keys.remove(entry);
            // A refusal is an end, and the last one as a rule.
            let at = keys.ended.iter().rposition(|(_, ended)| Arc::ptr_eq(ended, entry));
            at.map(|at| keys.ended.remove(at));
        }
    }

    /// Takes back the key of a run that goes on and for which nobody waits; whether that is so. In one step,
    /// so that a retry either keeps the run alive or begins a new one, and never gets one that is being
    /// cancelled. One that has ended meanwhile is there for a retry.
    pub(crate) fn abandon(&self, entry: &Arc<Entry>) -> bool {
        let mut owners = self.owners.lock().expect("no panic under this lock");
        let abandoned = *entry.waiting() == 0 && !entry.has_ended.load(Ordering::SeqCst);
        if let (true, Some(keys)) = (abandoned, owners.get_mut(&entry.owner)) {
            keys.remove(entry);
        }
        abandoned
    }
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
        let first = table.claim(&owner("a"), "k", print).unwrap();
        first.entry().submit_once(|| Ok((Job::new("1", Status::Pending), None))).unwrap();
        let again = table.claim(&owner("a"), "k", print).unwrap();
        let (job, _) = again.entry().submit_once(|| panic!("a second run")).unwrap();
        assert_eq!(job.job_id, "1");
    }

    #[test]
    fn another_body_conflicts_and_another_owner_does_not() {
        let table = Table::default();
        table.claim(&owner("a"), "k", fingerprint("execute", "", b"1")).unwrap();
        let error = table.claim(&owner("a"), "k", fingerprint("execute", "", b"2"));
        assert_eq!(error.err().unwrap().code(), ErrorCode::Conflict);
        table.claim(&owner("b"), "k", fingerprint("execute", "", b"2")).unwrap();
    }

    #[test]
    fn a_refused_submission_leaves_its_key_free() {
        let table = Table::default();
        let claim = table.claim(&owner("a"), "k", fingerprint("execute", "", b"1")).unwrap();
        claim.entry().submit_once(|| Err(Error::argument("no"))).unwrap_err();
        table.ended(claim.entry());
        table.forget(claim.entry());
        assert!(table.owners.lock().unwrap()[&owner("a")].ended.is_empty());
        table.claim(&owner("a"), "k", fingerprint("execute", "", b"2")).unwrap();
    }

    #[test]
    fn an_owner_with_many_keys_makes_room_among_its_own() {
        let table = Table { max: 2, ..Table::default() };
        let claim = |name: &str, key: &str| {
            table.claim(&owner(name), key, fingerprint("execute", "", key.as_bytes()))
        };
        let (first, second) = (claim("a", "1").unwrap(), claim("a", "2").unwrap());
        assert_eq!(claim("a", "3").err().unwrap().code(), ErrorCode::RateLimited);
        claim("b", "1").unwrap();
        table.ended(second.entry());
        table.ended(first.entry());
        claim("a", "3").unwrap();
        let print = fingerprint("execute", "", b"other");
        assert!(table.claim(&owner("a"), "1", print).is_err(), "the one that ended last is kept");
        table.claim(&owner("a"), "2", print).unwrap();
    }

    #[test]
    fn keys_are_forgotten_after_their_window() {
        let table = Table { window: Duration::ZERO, ..Table::default() };
        for key in ["1", "2", "3"] {
            let claim = table.claim(&owner("a"), key, fingerprint("execute", "", b"")).unwrap();
            table.ended(claim.entry());
        }
        table.claim(&owner("a"), "4", fingerprint("execute", "", b"")).unwrap();
        let owners = table.owners.lock().unwrap();
        let keys = &owners[&owner("a")];
        assert_eq!((keys.entries.len(), keys.ended.len()), (1, 0));
    }

    #[test]
    fn an_abandoned_run_has_no_key_and_a_claimed_one_is_not_abandoned() {
        let table = Table::default();
        let print = fingerprint("execute", "", b"1");
        let first = table.claim(&owner("a"), "k", print).unwrap();
        let entry = first.entry().clone();
        let second = table.claim(&owner("a"), "k", print).unwrap();
        drop(first);
        assert!(!table.abandon(&entry), "another request waits for it");
        drop(second);
        assert!(table.abandon(&entry));
        let retry = table.claim(&owner("a"), "k", print).unwrap();
        assert!(!Arc::ptr_eq(retry.entry(), &entry), "a retry begins a run of its own");
        retry.stay();
        let kept = table.claim(&owner("a"), "k", print).unwrap().entry().clone();
        assert!(!table.abandon(&kept), "whoever has its id comes back for it");
    }

    #[test]
    fn a_run_that_has_ended_is_not_abandoned() {
        let table = Table::default();
        let claim = table.claim(&owner("a"), "k", fingerprint("execute", "", b"1")).unwrap();
        let entry = claim.entry().clone();
        drop(claim);
        table.ended(&entry);
        assert!(!table.abandon(&entry));
        let retry = table.claim(&owner("a"), "k", fingerprint("execute", "", b"1")).unwrap();
        assert!(Arc::ptr_eq(retry.entry(), &entry), "its key still stands for it");
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
