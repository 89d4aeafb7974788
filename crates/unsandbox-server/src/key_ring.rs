// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys that a server accepts now and what each may do. Both can be replaced while it serves.

use crate::key_policy::{KeyPolicies, KeyPolicy};
use crate::keys::Keys;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use unsandbox_protocol::quota::{Quota, Quotas};
use unsandbox_protocol::{Error, ErrorCode, Owner};

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
    default: Arc<KeyPolicy>,
    named: HashMap<Owner, Arc<KeyPolicy>>,
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
    /// CONFIG, if the policies reserve all places.
    pub fn new(keys: Keys, policies: KeyPolicies, places: usize) -> Result<KeyRing, Error> {
        let set = KeySet::new(keys, policies, places)?;
        Ok(KeyRing { now: RwLock::new(Arc::new(set)), places })
    }

    /// Keys that may do everything.
    pub fn of(keys: Keys) -> Arc<KeyRing> {
        let set = KeySet { keys, ..KeySet::default() };
        Arc::new(KeyRing { now: RwLock::new(Arc::new(set)), places: usize::MAX })
    }

    pub(crate) fn now(&self) -> Arc<KeySet> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether requests need no key.
    pub fn is_empty(&self) -> bool {
        self.now().keys.is_empty()
    }

    /// Accepts these keys from the next request on, in place of all others. Requests that were accepted go on, and so do
    /// the jobs of keys that are gone.
    ///
    /// # Errors
    /// CONFIG, if one of both lists is empty: a server with keys may be reachable for everyone, and one without
    /// them answers every user of this machine. CONFIG, if the policies reserve all places.
    pub fn replace(&self, keys: Keys, policies: KeyPolicies) -> Result<(), Error> {
        let set = KeySet::new(keys, policies, self.places)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.keys.is_empty() != set.keys.is_empty() {
            return Err(config(
                "a server cannot begin or cease to need keys while it runs; start it anew",
            ));
        }
        *now = Arc::new(set);
        Ok(())
    }
}

impl KeySet {
    fn new(keys: Keys, policies: KeyPolicies, places: usize) -> Result<KeySet, Error> {
        let KeyPolicies { default, named } = policies;
        let mut unused: HashSet<&String> = named.keys().collect();
        let mut policies: HashMap<Owner, Arc<KeyPolicy>> = HashMap::new();
        for (owner, identity, name) in keys.identities() {
            let names = [Some(identity), name].into_iter().flatten();
            for (name, policy) in names.filter_map(|name| named.get_key_value(name)) {
                unused.remove(name);
                policies.insert(owner.clone(), Arc::new(policy.clone()));
            }
        }
        // Not refused: a key is revoked by the removal of its line alone.
        for name in unused {
            log::warn!(
                "the table [key.{name}] of the key limits file is of no key; it does nothing"
            );
        }
        let default = Arc::new(default);
        let of = |owner: &Owner| policies.get(owner).unwrap_or(&default).quota.reserved;
        let owners: HashSet<Owner> = keys.identities().map(|(owner, ..)| owner.clone()).collect();
        let reserved = owners.into_iter().map(|owner| (of(&owner), owner));
        let reserved: Vec<(Owner, usize)> =
            reserved.filter(|(count, _)| *count > 0).map(|(count, owner)| (owner, count)).collect();
        let all: usize = reserved.iter().map(|(_, count)| count).sum();
        if all >= places && all > 0 {
            return Err(config(format!(
                "{all} places are reserved for keys, and this server runs {places} programs at once; leave at least \
                 one for the others, or raise --concurrency"
            )));
        }
        Ok(KeySet { keys, default, named: policies, reserved })
    }

    pub(crate) fn policy(&self, owner: &Owner) -> &Arc<KeyPolicy> {
        self.named.get(owner).unwrap_or(&self.default)
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

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Config, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    fn owner_of(keys: &Keys, key: &str) -> Option<Owner> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        keys.find(&headers).and_then(|found| found.verify("GET", "/", b"")).ok().map(|it| it.owner)
    }

    #[test]
    fn keys_are_replaced_by_keys_alone() {
        let ring = KeyRing::of(Keys::from_words("old").unwrap());
        let knows = |key: &str| owner_of(&ring.now().keys, key).is_some();
        ring.replace(Keys::from_words("new").unwrap(), KeyPolicies::default()).unwrap();
        assert!(knows("new") && !knows("old"));
        let error = ring.replace(Keys::default(), KeyPolicies::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(knows("new"));
        let keys = Keys::from_words("new").unwrap();
        let error = KeyRing::default().replace(keys, KeyPolicies::default()).unwrap_err();
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
}
