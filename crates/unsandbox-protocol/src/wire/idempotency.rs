// SPDX-License-Identifier: MIT OR Apache-2.0
//! Idempotency keys and the stores that remember them. The name of the store is a part of the key: of two
//! headers a gateway may pass one and drop the other, and a key without its store is safe at one server only.

use super::FEATURES_HEADER;
use crate::error::{Error, ErrorCode};

/// Header of a submission: the same in each attempt, visible ASCII characters.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";
/// Characters of a key.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
/// Characters of a store's name, so that there is room for the rest of a key.
pub const STORE_NAME_MAX_CHARS: usize = 200;
/// The word of the refusal (412) of a key whose store is another; nothing ran.
pub const STORE_CHANGED: &str = "idempotency_store_changed";

/// The key of a submission that only `store` may take: `STORE/UNIQUE`. The store is the one that the client
/// knew before it sent the submission for the first time; a server with another one refuses it.
pub fn key_in_store(store: &str, unique: &str) -> String {
    format!("{store}/{unique}")
}

/// The store that a key names: the text before its first `/`, if a `:` is in it. Other keys name none.
pub fn store_of_key(key: &str) -> Option<&str> {
    key.split_once('/').map(|(store, _)| store).filter(|store| store.contains(':'))
}

/// The name of a store: a prefix that stays, and the generation of its keys, which grows as keys are removed.
pub fn store_name(prefix: &str, generation: u32) -> String {
    format!("{prefix}{generation:08x}")
}

/// The generation in a name that [`store_name`] made; `None` for the name of another store, and for a generation after
/// the newest.
pub fn store_generation(name: &str, prefix: &str, newest: u32) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    // Checked here because parsing would accept a sign.
    let is_sane = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let generation = u32::from_str_radix(digits, 16).ok().filter(|_| is_sane)?;
    (generation <= newest).then_some(generation)
}

/// Whether a key that begins with this name is read as one that names it.
pub fn is_store_name(name: &str) -> bool {
    let visible = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    visible && name.contains(':') && name.len() <= STORE_NAME_MAX_CHARS
}

/// The key store that a key names is gone, so that a repetition could not be recognised.
pub fn store_changed(named: &str, own: &str) -> Error {
    let text = format!(
        "the Idempotency-Key names the key store {named:?}, but this server has {own:?}; nothing was run; use a key \
         for the store in the header {FEATURES_HEADER}"
    );
    Error::new(ErrorCode::Api, text).with_wire(STORE_CHANGED).with_http_status(412)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_the_store_that_it_was_made_for() {
        for store in ["process:0a", "database:eu:1", &format!("a:{}", "b".repeat(198))] {
            assert!(is_store_name(store), "{store}");
            for unique in ["0a", "a/b", "a:b", &"f".repeat(54)] {
                let key = key_in_store(store, unique);
                assert_eq!(store_of_key(&key), Some(store));
                assert!(key.len() <= IDEMPOTENCY_KEY_MAX_CHARS);
            }
        }
    }

    #[test]
    fn keys_of_other_makes_name_no_store() {
        for key in ["0a", "urn:uuid:0a", "order/1", "q83v/w==", "a/b:c", "/a:b", ""] {
            assert_eq!(store_of_key(key), None, "{key}");
        }
        let long = format!("a:{}", "b".repeat(199));
        for name in ["", "process", "a/b:c", "a: b", "a:\u{e9}", "a:\n", &long] {
            assert!(!is_store_name(name), "{name}");
        }
    }
}
