// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Idempotency-Key`: a repeated submission gets the job of the first, so that a client may retry after any fault
//! and no program runs twice. A key may name the store that the client knew before its first attempt. It is then
//! refused if the server has another store, or if keys of that time have been removed.

use crate::acceptance::Acceptance;
use crate::store::Store;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use unsandbox_protocol::limits::IDEMPOTENCY_WINDOW;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::wire::IDEMPOTENCY_KEY_MAX_CHARS as KEY_MAX_CHARS;
use unsandbox_protocol::{CancelToken, Error, ErrorCode, Owner, wire};

/// Keys of one owner that are kept at once. Beyond them the one that ended first is removed, so that no owner's
/// keys displace those of another.
const KEYS_OF_OWNER_MAX: usize = 10_000;

pub(crate) type Fingerprint = [u8; 32];

/// The submission of one key.
pub(crate) struct Entry {
    owner: Owner,
    key: String,
    fingerprint: Fingerprint,
    /// The generation of the store that the key names.
    generation: Option<u32>,
    /// Ends the run; set by the request that submits it.
    token: OnceLock<CancelToken>,
    /// The backend's answer to the submission.
    acceptance: Arc<Acceptance>,
    /// Requests that wait for the end; from none to one only under the table's lock.
    waiting: Mutex<usize>,
    /// The run is over, and the key gives its result. Set under the table's lock.
    has_ended: AtomicBool,
}

impl Entry {
    /// True for the first request only, which then submits the run. `token` cancels that run.
    pub(crate) fn begin(&self, token: CancelToken) -> bool {
        self.token.set(token).is_ok()
    }

    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.token.get()
    }

    pub(crate) fn acceptance(&self) -> &Arc<Acceptance> {
        &self.acceptance
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, usize> {
        lock(&self.waiting)
    }
}

/// One request that waits for an entry. While there is one, the run is not abandoned.
pub(crate) struct Claim {
    entry: Arc<Entry>,
}

impl Claim {
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Keeps the run although no request waits for it: its client will ask for it by the job's id.
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
    store: Store,
    owners: Mutex<HashMap<Owner, Keys>>,
    window: Duration,
    max: usize,
}

#[derive(Default)]
struct Keys {
    entries: HashMap<String, Arc<Entry>>,
    /// Entries that have ended, in that order.
    ended: VecDeque<(Instant, Arc<Entry>)>,
    /// No key of this generation or a later one has been removed.
    whole_from: u32,
}

impl Keys {
    fn has(&self, entry: &Arc<Entry>) -> bool {
        self.entries.get(&entry.key).is_some_and(|known| Arc::ptr_eq(known, entry))
    }

    /// Removes an entry, unless its key has another entry by now.
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
            self.forget(&entry);
        }
    }

    /// Removes an entry whose key was used.
    fn forget(&mut self, entry: &Arc<Entry>) {
        if let Some(generation) = entry.generation {
            self.whole_from = self.whole_from.max(generation.saturating_add(1));
        }
        self.remove(entry);
    }
}

/// The key of a submission.
pub(crate) struct Keyed {
    pub key: String,
    /// The generation of the store that the key names, if it names one.
    pub generation: Option<u32>,
    pub fingerprint: Fingerprint,
}

impl Table {
    /// # Errors
    /// INTERNAL, if the system gives no random numbers.
    pub(crate) fn new() -> Result<Table, Error> {
        Self::bounded(IDEMPOTENCY_WINDOW, KEYS_OF_OWNER_MAX)
    }

    fn bounded(window: Duration, max: usize) -> Result<Table, Error> {
        Ok(Table { store: Store::new(window / 2)?, owners: Mutex::default(), window, max })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Claims the entry of a key, which is created if missing. CONFLICT if the key belongs to another request;
    /// [`wire::store_changed`] if the key may have been used and removed.
    pub(crate) fn claim(&self, owner: &Owner, keyed: Keyed) -> Result<Claim, Error> {
        let mut owners = lock(&self.owners);
        let keys = owners.entry(owner.clone()).or_default();
        keys.make_room(self.window, usize::MAX);
        let entry = match keys.entries.get(&keyed.key) {
            Some(entry) if entry.fingerprint == keyed.fingerprint => entry.clone(),
            Some(_) => {
                return Err(Error::new(
                    ErrorCode::Conflict,
                    "this Idempotency-Key was used for another request within ten minutes",
                ));
            }
            None if keyed.generation.is_some_and(|generation| generation < keys.whole_from) => {
                self.store.move_beyond(keys.whole_from - 1);
                let named = wire::store_of_key(&keyed.key).unwrap_or_default();
                return Err(wire::store_changed(named, &self.store.name()));
            }
            None => self.enter(owner, keys, keyed)?,
        };
        *entry.waiting() += 1;
        Ok(Claim { entry })
    }

    /// Creates an entry for a new key; RATE_LIMITED if the owner has too many.
    fn enter(&self, owner: &Owner, keys: &mut Keys, keyed: Keyed) -> Result<Arc<Entry>, Error> {
        keys.make_room(self.window, self.max);
        if keys.entries.len() >= self.max {
            let max = self.max;
            let text = format!(
                "{max} runs of this client with an Idempotency-Key are under way, which is the limit"
            );
            return Err(Error::new(ErrorCode::RateLimited, text).with_retry_after_ms(30_000));
        }
        let Keyed { key, generation, fingerprint } = keyed;
        let entry = Arc::new(Entry {
            owner: owner.clone(),
            key: key.clone(),
            fingerprint,
            generation,
            token: OnceLock::new(),
            acceptance: Arc::default(),
            waiting: Mutex::default(),
            has_ended: AtomicBool::new(false),
        });
        keys.entries.insert(key, entry.clone());
        Ok(entry)
    }

    /// Records that a run has ended; its key is kept for the window from now on.
    pub(crate) fn ended(&self, entry: &Arc<Entry>) {
        let mut owners = lock(&self.owners);
        if let Some(keys) = owners.get_mut(&entry.owner).filter(|keys| keys.has(entry)) {
            keys.ended.push_back((Instant::now(), entry.clone()));
        }
        entry.has_ended.store(true, Ordering::SeqCst);
    }

    /// Releases the key of a refused submission: nothing ran, so a retry may run.
    pub(crate) fn release_key(&self, entry: &Arc<Entry>) {
        let mut owners = lock(&self.owners);
        if let Some(keys) = owners.get_mut(&entry.owner) {
            keys.remove(entry);
            // The refusal was recorded as an end, usually as the last one: search from the back.
            let at = keys.ended.iter().rposition(|(_, ended)| Arc::ptr_eq(ended, entry));
            at.map(|at| keys.ended.remove(at));
        }
    }

    /// Makes the key of a job that its owner has deleted a new one. One that names this store stays for its window: a late
    /// repetition is refused, and does not start the program again.
    pub(crate) fn forget(&self, owner: &Owner, job_id: &str) {
        let mut owners = lock(&self.owners);
        let Some(keys) = owners.get_mut(owner) else { return };
        let is_its = |entry: &Entry| entry.generation.is_none() && entry.acceptance.is_of(job_id);
        let at = keys.ended.iter().position(|(_, entry)| is_its(entry));
        if let Some((_, entry)) = at.and_then(|at| keys.ended.remove(at)) {
            keys.remove(&entry);
        }
    }

    /// Whether a run has not ended and no request waits for it. Its key stays: a late retry gets the cancelled run
    /// and does not start the program again.
    pub(crate) fn is_abandoned(&self, entry: &Arc<Entry>) -> bool {
        let _claims = lock(&self.owners);
        *entry.waiting() == 0 && !entry.has_ended.load(Ordering::SeqCst)
    }
}

/// A digest that is equal for equal requests, independent of the transport.
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
    use unsandbox_protocol::{Job, Status, wire};

    fn owner(name: &str) -> Owner {
        Owner(name.to_string())
    }

    fn table() -> Table {
        Table::new().unwrap()
    }

    fn keyed(key: &str, body: &str) -> Keyed {
        let fingerprint = fingerprint("execute", "", body.as_bytes());
        Keyed { key: key.to_string(), generation: Some(0), fingerprint }
    }

    #[test]
    fn a_repeated_submission_gets_the_first_job() {
        let table = table();
        let first = table.claim(&owner("a"), keyed("k", "{}")).unwrap();
        assert!(first.entry().begin(CancelToken::new()));
        first.entry().acceptance().set(Ok(Job::new("1", Status::Pending)));
        let again = table.claim(&owner("a"), keyed("k", "{}")).unwrap();
        assert!(!again.entry().begin(CancelToken::new()), "a second run");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let job = runtime.block_on(again.entry().acceptance().wait()).unwrap();
        assert_eq!(job.job_id, "1");
    }

    #[test]
    fn another_body_conflicts_and_another_owner_does_not() {
        let table = table();
        table.claim(&owner("a"), keyed("k", "1")).unwrap();
        let error = table.claim(&owner("a"), keyed("k", "2"));
        assert_eq!(error.err().unwrap().code(), ErrorCode::Conflict);
        table.claim(&owner("b"), keyed("k", "2")).unwrap();
    }

    #[test]
    fn a_refused_submission_leaves_its_key_free() {
        let table = table();
        let claim = table.claim(&owner("a"), keyed("k", "1")).unwrap();
        assert!(claim.entry().begin(CancelToken::new()));
        table.ended(claim.entry());
        table.release_key(claim.entry());
        assert!(table.owners.lock().unwrap()[&owner("a")].ended.is_empty());
        table.claim(&owner("a"), keyed("k", "2")).unwrap();
    }

    #[test]
    fn an_owner_at_its_limit_of_keys_loses_only_its_own() {
        let table = Table::bounded(IDEMPOTENCY_WINDOW, 2).unwrap();
        let claim = |name: &str, key: &str| table.claim(&owner(name), keyed(key, key));
        let (first, second) = (claim("a", "1").unwrap(), claim("a", "2").unwrap());
        assert_eq!(claim("a", "3").err().unwrap().code(), ErrorCode::RateLimited);
        claim("b", "1").unwrap();
        table.ended(second.entry());
        table.ended(first.entry());
        claim("a", "3").unwrap();
        let other = |key| Keyed { generation: None, ..keyed(key, "other") };
        assert!(table.claim(&owner("a"), other("1")).is_err(), "the one that ended last is kept");
        table.claim(&owner("a"), other("2")).unwrap();
    }

    #[test]
    fn keys_are_removed_after_their_window() {
        let table = Table::bounded(Duration::ZERO, KEYS_OF_OWNER_MAX).unwrap();
        let claim = |key| {
            let keyed = Keyed { generation: None, ..keyed(key, "") };
            table.claim(&owner("a"), keyed).unwrap()
        };
        for key in ["1", "2", "3"] {
            table.ended(claim(key).entry());
        }
        claim("4");
        let owners = table.owners.lock().unwrap();
        let keys = &owners[&owner("a")];
        assert_eq!((keys.entries.len(), keys.ended.len()), (1, 0));
    }

    /// The server cannot know whether such a key was used and removed, or never came.
    #[test]
    fn a_key_that_may_have_been_removed_is_refused_under_its_old_store_name() {
        let table = Table::bounded(IDEMPOTENCY_WINDOW, 1).unwrap();
        let claim = |name: &str, key: &str, generation: u32| {
            let keyed = Keyed { generation: Some(generation), ..keyed(key, "") };
            table.claim(&owner(name), keyed)
        };
        let name = table.store.name();
        for key in ["1", "2"] {
            table.ended(claim("a", key, 0).unwrap().entry());
        }
        let error = claim("a", "1", 0).err().expect("it made room for the second");
        assert_eq!((error.http_status(), error.wire()), (412, wire::STORE_CHANGED));
        assert!(claim("a", "2", 0).is_ok(), "one that is known is known under any name");
        assert!(claim("b", "1", 0).is_ok(), "nothing of another owner is forgotten");
        assert_ne!(table.store.name(), name, "a client learns a name that will do");
        assert!(claim("a", "1", table.store.generation()).is_ok());
    }

    #[test]
    fn an_abandoned_run_keeps_its_key_and_a_claimed_one_is_not_abandoned() {
        let table = table();
        let claim = || table.claim(&owner("a"), keyed("k", "1")).unwrap();
        let first = claim();
        let entry = first.entry().clone();
        let second = claim();
        drop(first);
        assert!(!table.is_abandoned(&entry), "another request waits for it");
        drop(second);
        assert!(table.is_abandoned(&entry));
        let retry = claim();
        assert!(Arc::ptr_eq(retry.entry(), &entry), "a retry never begins a run of its own");
        retry.stay();
        assert!(!table.is_abandoned(&entry), "a client that has its id comes back for it");
    }

    #[test]
    fn a_run_that_has_ended_is_not_abandoned() {
        let table = table();
        let claim = table.claim(&owner("a"), keyed("k", "1")).unwrap();
        let entry = claim.entry().clone();
        drop(claim);
        table.ended(&entry);
        assert!(!table.is_abandoned(&entry));
        let retry = table.claim(&owner("a"), keyed("k", "1")).unwrap();
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
