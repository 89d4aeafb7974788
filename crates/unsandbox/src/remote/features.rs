// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server can do beyond the service, as it said itself.

use std::sync::Arc;
use unsandbox_protocol::wire;

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Features {
    pub(super) run_json: bool,
    pub(super) wait: bool,
    /// The name of what remembers idempotency keys. The word `idempotency` without a name promises nothing
    /// beyond the process that said it, and is not one.
    pub(super) store: Option<Arc<str>>,
}

impl Features {
    pub(super) fn parse(header: &str) -> Features {
        let words = || header.split(',').map(str::trim);
        let has = |name: &str| words().any(|word| word == name);
        let store = words()
            .filter_map(|word| word.split_once('='))
            .find(|(name, store)| *name == wire::FEATURE_IDEMPOTENCY && !store.is_empty());
        Features {
            run_json: has(wire::FEATURE_RUN_JSON),
            wait: has(wire::FEATURE_WAIT),
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
        assert_eq!(parsed, Features { run_json: true, wait: true, store });
        for header in ["", "idempotency", "run-json, idempotency, wait", "idempotency=", "x=y"] {
            assert_eq!(Features::parse(header).store, None, "{header}");
        }
    }
}
