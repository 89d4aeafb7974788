// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys that a server accepts now and what each may do. Both can be replaced while it serves.

use crate::key_policy::{KeyPolicies, KeyPolicy};
use crate::keys::Keys;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use unsandbox_protocol::quota::{Quota, Quotas};
use unsandbox_protocol::{Error, Owner};

/// The keys that a server accepts now, with their policies; the backends ask it for the quotas of owners.
#[derive(Debug)]
pub struct KeyRing {
    now: RwLock<Arc<KeySet>>,
    /// Programs that the server runs at once.
    places: usize,
}

/// Keys with their policies.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    pub keys: Keys,
    policies: KeyPolicies,
    /// Of owners that are not known.
    default: Arc<KeyPolicy>,
    /// Of every key.
    of_each: HashMap<Owner, Arc<KeyPolicy>>,
    /// Of keys that are gone: what they have submitted goes on, and may not have more than before.
    gone: HashMap<Owner, Arc<KeyPolicy>>,
    reserved: Vec<(Owner, usize)>,
}

impl Default for KeyRing {
    fn default() -> Self {
        KeyRing { now: RwLock::default(), places: usize::MAX }
    }
}

impl KeyRing {
    /// For a server that runs so many programs at once.
    ///
    /// # Errors
    /// CONFIG, if the policies reserve all places, or two of them are of one key.
    pub fn new(keys: Keys, policies: KeyPolicies, places: usize) -> Result<KeyRing, Error> {
        let set = KeySet::new(keys, policies)?;
        set.check_reserved(places)?;
        set.warn_of_unused();
        Ok(KeyRing { now: RwLock::new(Arc::new(set)), places })
    }

    /// Keys that may do everything.
    pub fn of(keys: Keys) -> Arc<KeyRing> {
        let ring = KeyRing::new(keys, KeyPolicies::default(), usize::MAX);
        Arc::new(ring.expect("without policies nothing is refused"))
    }

    pub(crate) fn now(&self) -> Arc<KeySet> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether requests need no key.
    pub fn is_empty(&self) -> bool {
        self.now().keys.is_empty()
    }

    /// Accepts these keys from the next request on, in place of all others, with these policies or those that it has.
    /// Requests that were accepted go on, and so do the jobs of keys that are gone. Where the policies reserve all places,
    /// that is logged, and none is reserved: a key is to be revoked whatever the policies say.
    ///
    /// # Errors
    /// CONFIG, if one of both lists is empty: a server with keys may be reachable for everyone, and one without
    /// them answers every user of this machine. CONFIG, if two policies are of one key.
    pub fn replace(&self, keys: Keys, policies: Option<KeyPolicies>) -> Result<(), Error> {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.keys.is_empty() != keys.is_empty() {
            return Err(Error::config(
                "a server cannot begin or cease to need keys while it runs; start it anew",
            ));
        }
        let is_new = policies.is_some();
        let mut set = KeySet::new(keys, policies.unwrap_or_else(|| now.policies.clone()))?;
        if let Err(error) = set.check_reserved(self.places) {
            log::error!("no place is reserved for a key now: {error}");
            set.reserve_nothing();
        }
        set.remember(&now);
        if is_new {
            set.warn_of_unused();
        }
        *now = Arc::new(set);
        Ok(())
    }
}

impl KeySet {
    fn new(keys: Keys, policies: KeyPolicies) -> Result<KeySet, Error> {
        let default = Arc::new(policies.default.clone());
        let mut of_each: HashMap<Owner, Arc<KeyPolicy>> = HashMap::new();
        let mut table_of: HashMap<Owner, &String> = HashMap::new();
        for (owner, identity, name) in keys.identities() {
            of_each.entry(owner.clone()).or_insert_with(|| default.clone());
            for name in [Some(identity), name].into_iter().flatten() {
                let Some((name, policy)) = policies.named.get_key_value(name) else { continue };
                if let Some(other) = table_of.insert(owner.clone(), name).filter(|it| *it != name) {
                    return Err(Error::config(format!(
                        "[key.{other}] and [key.{name}] of the key limits file are of the same key; keep one of them"
                    )));
                }
                of_each.insert(owner.clone(), Arc::new(policy.clone()));
            }
        }
        let reserved = of_each.iter().map(|(owner, policy)| (owner.clone(), policy.quota.reserved));
        let reserved = reserved.filter(|(_, count)| *count > 0).collect();
        Ok(KeySet { keys, default, of_each, gone: HashMap::new(), reserved, policies })
    }

    fn check_reserved(&self, places: usize) -> Result<(), Error> {
        let all: usize = self.reserved.iter().map(|(_, count)| count).sum();
        if all < places || all == 0 {
            return Ok(());
        }
        Err(Error::config(format!(
            "{all} places are reserved for keys, and this server runs {places} programs at once; leave at least one for \
             the others, or raise --concurrency"
        )))
    }

    fn reserve_nothing(&mut self) {
        self.reserved.clear();
        self.of_each.values_mut().for_each(without_reservation);
    }

    /// Keeps the policies of keys that are gone.
    fn remember(&mut self, before: &KeySet) {
        for (owner, policy) in before.gone.iter().chain(&before.of_each) {
            if !self.of_each.contains_key(owner) {
                let mut policy = policy.clone();
                without_reservation(&mut policy);
                self.gone.insert(owner.clone(), policy);
            }
        }
    }

    /// Logs the policies that are of no key. They are not refused: a key is revoked by the removal of its line alone.
    fn warn_of_unused(&self) {
        let is_used = |name: &String| {
            self.keys.identities().any(|(_, identity, comment)| {
                identity == name || comment.is_some_and(|comment| comment == name)
            })
        };
        for name in self.policies.named.keys().filter(|name| !is_used(name)) {
            if self.keys.has_secret(name) {
                log::warn!(
                    "a table of the key limits file has a secret key as its name, and does nothing; write the public key, \
                     the comment of the key, or sha256: and its digest"
                );
            } else {
                log::warn!("[key.{name}] of the key limits file is of no key, and does nothing");
            }
        }
    }

    pub(crate) fn policy(&self, owner: &Owner) -> &Arc<KeyPolicy> {
        self.of_each.get(owner).or_else(|| self.gone.get(owner)).unwrap_or(&self.default)
    }
}

fn without_reservation(policy: &mut Arc<KeyPolicy>) {
    if policy.quota.reserved > 0 {
        Arc::make_mut(policy).quota.reserved = 0;
    }
}

impl Quotas for KeyRing {
    fn quota(&self, owner: &Owner) -> Quota {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.policy(owner).quota
    }

    fn reservations(&self, each: &mut dyn FnMut(&Owner, usize)) {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.reserved.iter().for_each(|(owner, count)| each(owner, *count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;
    use unsandbox_protocol::ErrorCode;

    fn owner_of(keys: &Keys, key: &str) -> Option<Owner> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        keys.find(&headers).and_then(|found| found.verify("GET", "/", b"")).ok().map(|it| it.owner)
    }

    #[test]
    fn keys_are_replaced_by_keys_alone() {
        let ring = KeyRing::of(Keys::from_words("old").unwrap());
        let knows = |key: &str| owner_of(&ring.now().keys, key).is_some();
        ring.replace(Keys::from_words("new").unwrap(), None).unwrap();
        assert!(knows("new") && !knows("old"));
        let error = ring.replace(Keys::default(), None).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(knows("new"));
        let keys = Keys::from_words("new").unwrap();
        let error = KeyRing::default().replace(keys, None).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
    }

    #[test]
    fn a_policy_finds_its_key_by_name_public_key_or_digest() {
        let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let text = format!("pub-1,sec-1,alice\n{digest},bob\nother\n");
        let keys = Keys::from_accounts(&text).unwrap();
        for (name, key) in [("alice", "sec-1"), ("pub-1", "sec-1"), ("bob", "abc"), (digest, "abc")]
        {
            let file = format!("[default]\nconcurrency = 2\n[key.\"{name}\"]\nreserved = 1\n");
            let policies = KeyPolicies::from_toml(&file).unwrap();
            let ring = KeyRing::new(keys.clone(), policies.clone(), 2).unwrap();
            let quota = |key: &str| ring.quota(&owner_of(&keys, key).unwrap());
            assert_eq!((quota(key).reserved, quota("other").reserved), (1, 0), "{name}");
            assert_eq!(quota("other").concurrency, Some(2));
            let mut reserved = Vec::new();
            ring.reservations(&mut |owner, count| reserved.push((owner.clone(), count)));
            assert_eq!(reserved, [(owner_of(&keys, key).unwrap(), 1)]);
            let error = KeyRing::new(keys.clone(), policies, 1).unwrap_err();
            assert!(error.message().starts_with("1 places are reserved"), "{error}");
        }
    }

    #[test]
    fn a_key_is_revoked_and_keeps_its_bounds_whatever_the_policies_say() {
        let file = "[key.alice]\nconcurrency = 1\nreserved = 1\n[default]\nreserved = 2\n";
        let policies = KeyPolicies::from_toml(file).unwrap();
        let keys = |text: &str| Keys::from_accounts(text).unwrap();
        let (both, bob) = ("pub-1,sec-1,alice\npub-2,sec-2\n", "pub-2,sec-2\npub-3,sec-3\n");
        let ring = KeyRing::new(keys(both), policies, 4).unwrap();
        let alice = owner_of(&ring.now().keys, "sec-1").unwrap();
        // Both of the new keys have the default, which is more than there is.
        ring.replace(keys(bob), None).unwrap();
        assert_eq!(owner_of(&ring.now().keys, "sec-1"), None);
        let other = owner_of(&ring.now().keys, "sec-3").unwrap();
        assert_eq!((ring.quota(&other).reserved, ring.quota(&alice).reserved), (0, 0));
        assert_eq!(ring.quota(&alice).concurrency, Some(1), "of its jobs that wait");
        ring.replace(keys("pub-2,sec-2\n"), None).unwrap();
        assert_eq!(ring.quota(&alice).concurrency, Some(1));
        let two = "[key.alice]\nweight = 2\n[key.pub-1]\nweight = 3\n";
        let error = KeyRing::new(keys(both), KeyPolicies::from_toml(two).unwrap(), 4).unwrap_err();
        assert!(error.message().contains("are of the same key"), "{error}");
    }
}
