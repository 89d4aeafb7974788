// SPDX-License-Identifier: MIT OR Apache-2.0
//! The features that a server announces beyond those of the service.

use std::sync::Arc;
use unsandbox_protocol::wire;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Features {
    pub(super) run_json: bool,
    pub(super) wait: bool,
    pub(super) events: bool,
    /// The name of the store of idempotency keys. The feature `idempotency` without a name holds only for the process
    /// that announced it, and a name that no key can carry is ignored.
    pub(super) store: Option<Arc<str>>,
}

impl Features {
    pub(super) fn parse(header: &str) -> Features {
        let words = || header.split(',').map(str::trim);
        let has = |name: &str| words().any(|word| word == name);
        let store = words()
            .filter_map(|word| word.split_once('='))
            .find(|(name, store)| *name == wire::FEATURE_IDEMPOTENCY && wire::is_store_name(store));
        Features {
            run_json: has(wire::FEATURE_RUN_JSON),
            wait: has(wire::FEATURE_WAIT),
            events: has(wire::FEATURE_EVENTS),
            store: store.map(|(_, store)| store.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_store_remembers_keys() {
        let parsed = Features::parse(&wire::encode_features("process:0a"));
        let store = Some("process:0a".into());
        assert_eq!(parsed, Features { run_json: true, wait: true, events: true, store });
        let long = format!("idempotency=process:{}", "0".repeat(500));
        let words = ["", "idempotency", "run-json, idempotency, wait", "idempotency=", "x=y"];
        for header in words.into_iter().chain(["idempotency=0a", "idempotency=a/b:c", &long]) {
            assert_eq!(Features::parse(header).store, None, "{header}");
        }
    }
}
