// SPDX-License-Identifier: MIT OR Apache-2.0
//! The features that a server announces beyond those of the service.

use std::sync::Arc;
use unsandbox_protocol::wire;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Features {
    pub(super) run_json: bool,
    pub(super) wait: bool,
    pub(super) events: bool,
    pub(super) delete: bool,
    /// The name of the store of idempotency keys. The feature `idempotency` without a name holds only for the process
    /// that announced it, and a name that no key can carry is ignored.
    pub(super) store: Option<Arc<str>>,
    /// The store of the keys of asynchronous submissions, where that is another one.
    pub(super) jobs_store: Option<Arc<str>>,
}

impl Features {
    pub(super) fn parse(header: &str) -> Features {
        let words = || header.split(',').map(str::trim);
        let has = |name: &str| words().any(|word| word == name);
        let store = |feature: &str| -> Option<Arc<str>> {
            let named = words().filter_map(|word| word.split_once('='));
            let mut stores =
                named.filter(|(name, store)| *name == feature && wire::is_store_name(store));
            stores.next().map(|(_, store)| store.into())
        };
        Features {
            run_json: has(wire::FEATURE_RUN_JSON),
            wait: has(wire::FEATURE_WAIT),
            events: has(wire::FEATURE_EVENTS),
            delete: has(wire::FEATURE_DELETE),
            store: store(wire::FEATURE_IDEMPOTENCY),
            jobs_store: store(wire::FEATURE_IDEMPOTENCY_JOBS),
        }
    }

    /// The store that remembers the key of a submission.
    pub(super) fn store_of(&self, as_job: bool) -> Option<Arc<str>> {
        let jobs_store = self.jobs_store.as_ref().filter(|_| as_job);
        jobs_store.or(self.store.as_ref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_store_remembers_keys() {
        let parsed = Features::parse(&wire::encode_features("process:0a", None));
        let store: Option<Arc<str>> = Some("process:0a".into());
        let known = Features {
            run_json: true,
            wait: true,
            events: true,
            delete: true,
            ..Features::default()
        };
        assert_eq!(parsed, Features { store: store.clone(), ..known });
        assert_eq!((parsed.store_of(true), parsed.store_of(false)), (store.clone(), store.clone()));
        let parsed = Features::parse(&wire::encode_features("process:0a", Some("store:1b")));
        assert_eq!(
            (parsed.store_of(true), parsed.store_of(false)),
            (Some("store:1b".into()), store)
        );
        let long = format!("idempotency=process:{}", "0".repeat(500));
        let words = ["", "idempotency", "run-json, idempotency, wait", "idempotency=", "x=y"];
        for header in words.into_iter().chain(["idempotency=0a", "idempotency=a/b:c", &long]) {
            assert_eq!(Features::parse(header).store, None, "{header}");
        }
    }
}
