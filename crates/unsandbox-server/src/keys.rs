// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of a server, and the owner that a request's key gives to its jobs.

use crate::party::{Party, Peer};
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use unsandbox_protocol::auth::{self, Secret, Signed};
use unsandbox_protocol::webhook::WebhookSecret;
use unsandbox_protocol::{Error, ErrorCode, Owner};

/// The longest key of a request that is looked up: each is compared with all accounts, or hashed.
const KEY_MAX_BYTES: usize = 1024;
/// With which our own secret keys begin.
const SECRET_PREFIX: &str = "unsb-sk-";
/// Before the digest of a bearer key.
const DIGEST: &str = "sha256:";
const NO_DIGEST: &str = "has sha256: without the 64 hexadecimal digits of a digest";

/// The keys that a server accepts; empty for a server without keys.
///
/// A key pair may sign its requests, or send its secret key as a bearer key; a bearer key stands alone.
#[derive(Clone, Default)]
pub struct Keys {
    accounts: Vec<Arc<Account>>,
}

#[derive(Clone)]
struct Account {
    /// `None` for a bearer key that stands alone.
    public: Option<String>,
    proof: Proof,
    /// The public key, or `sha256:` and the digest of a bearer key.
    identity: String,
    /// Its comment in the keys file.
    name: Option<String>,
    caller: Caller,
}

/// What a key is compared with.
#[derive(Clone)]
enum Proof {
    Secret(Secret),
    /// SHA-256 of a bearer key, which is not known here.
    Digest([u8; 32]),
}

/// A key as a request brings it, hashed at most once.
struct Bearer<'a> {
    text: &'a str,
    digest: OnceCell<[u8; 32]>,
}

impl Proof {
    fn matches(&self, bearer: &Bearer<'_>) -> bool {
        match self {
            Proof::Secret(secret) => secret.matches(bearer.text),
            // Nobody can choose a key by the digest, so the time of this tells nothing.
            Proof::Digest(digest) => {
                digest == bearer.digest.get_or_init(|| Sha256::digest(bearer.text).into())
            }
        }
    }
}

/// The sender of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Caller {
    pub owner: Owner,
    /// Short name for the log; empty without keys.
    pub label: String,
}

impl Keys {
    /// Reads a file in the form of accounts.csv: lines `public_key,secret_key[,comment]`, lines with a bearer key alone,
    /// and lines `sha256:DIGEST[,comment]` with the SHA-256 of one. Empty lines and `#` lines are skipped.
    ///
    /// # Errors
    /// CONFIG, if it has no key, one half of a pair is missing, or a digest is not 64 hexadecimal digits.
    pub fn from_accounts(text: &str) -> Result<Keys, Error> {
        let mut keys = Keys::default();
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        for (index, line) in lines.enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(digest) = line.strip_prefix(DIGEST) {
                let (digest, name) = digest.split_once(',').unwrap_or((digest, ""));
                let digest = auth::from_hex(digest.trim()).ok_or_else(|| {
                    Error::config(format!("line {} of the keys file {NO_DIGEST}", index + 1))
                })?;
                keys.add_bearer(Proof::Digest(digest), digest, Some(name.trim()));
                continue;
            }
            if !line.contains(',') {
                keys.add_bearer(
                    Proof::Secret(Secret::new(line)),
                    Sha256::digest(line).into(),
                    None,
                );
                continue;
            }
            if line.starts_with(SECRET_PREFIX) {
                let text = "has a comment behind a bearer key; a bearer key stands alone on its line, or as \
                            sha256:DIGEST,comment";
                return Err(Error::config(format!("line {} of the keys file {text}", index + 1)));
            }
            let pairs = auth::parse_accounts(line).map_err(|_| {
                Error::config(format!(
                    "line {} of the keys file is not a PUBLIC:SECRET pair (one half is missing)",
                    index + 1
                ))
            })?;
            for pair in pairs {
                keys.add_pair(pair.public_key, pair.secret_key, pair.comment);
            }
        }
        keys.or_none(
            "the keys file has no line with a key; a line is public_key,secret_key or a bearer key or its sha256:DIGEST",
        )
    }

    /// Reads `UNSANDBOX_SERVE_KEYS`: words separated by commas or spaces, each a bearer key, its `sha256:DIGEST` or a
    /// `public:secret` pair.
    ///
    /// # Errors
    /// CONFIG, if it has no key, one half of a pair is missing, or a digest is not 64 hexadecimal digits.
    pub fn from_words(text: &str) -> Result<Keys, Error> {
        let mut keys = Keys::default();
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        for (index, word) in words.filter(|word| !word.is_empty()).enumerate() {
            if let Some(digest) = word.strip_prefix(DIGEST) {
                let digest = auth::from_hex(digest).ok_or_else(|| {
                    Error::config(format!("key {} of the list {NO_DIGEST}", index + 1))
                })?;
                keys.add_bearer(Proof::Digest(digest), digest, None);
                continue;
            }
            match word.split_once(':') {
                None => {
                    let digest = Sha256::digest(word).into();
                    keys.add_bearer(Proof::Secret(Secret::new(word)), digest, None);
                }
                Some((public, secret)) if !public.is_empty() && !secret.is_empty() => {
                    keys.add_pair(public.to_string(), Secret::new(secret), None);
                }
                Some(_) => {
                    return Err(Error::config(format!(
                        "key {} of the list is not a PUBLIC:SECRET pair (one half is missing)",
                        index + 1
                    )));
                }
            }
        }
        keys.or_none("the list of keys is empty; give bearer keys or public:secret pairs, separated by commas")
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Both lists together.
    pub fn and(mut self, other: Keys) -> Keys {
        self.accounts.extend(other.accounts);
        self
    }

    fn or_none(self, message: &str) -> Result<Keys, Error> {
        if self.is_empty() { Err(Error::config(message)) } else { Ok(self) }
    }

    fn add_pair(&mut self, public: String, secret: Secret, name: Option<String>) {
        let (identity, caller) = (public.clone(), Caller::of(&public));
        let (public, proof) = (Some(public), Proof::Secret(secret));
        self.accounts.push(Arc::new(Account { public, proof, identity, name, caller }));
    }

    /// The owner follows from the digest, so that it is the same whether the file has the key or its digest.
    fn add_bearer(&mut self, proof: Proof, digest: [u8; 32], name: Option<&str>) {
        let identity = format!("{DIGEST}{}", auth::hex(&digest));
        let name = name.filter(|name| !name.is_empty()).map(str::to_string);
        let caller = Caller::of(&identity);
        self.accounts.push(Arc::new(Account { public: None, proof, identity, name, caller }));
    }

    /// Whether a text that was meant as a name is the secret of a key.
    pub(crate) fn has_secret(&self, text: &str) -> bool {
        let bearer = Bearer { text, digest: OnceCell::new() };
        text.starts_with(SECRET_PREFIX) || self.accounts.iter().any(|it| it.proof.matches(&bearer))
    }

    /// What the webhooks of an owner are signed with: none if its key is gone, two while the secret of a pair is changed.
    pub(crate) fn webhook_secrets(&self, owner: &Owner) -> Vec<WebhookSecret> {
        let accounts = self.accounts.iter().filter(|account| account.caller.owner == *owner);
        let secrets = accounts.map(|account| match &account.proof {
            Proof::Secret(secret) => WebhookSecret::of_key(secret.expose()),
            Proof::Digest(digest) => WebhookSecret::of_digest(digest),
        });
        secrets.collect()
    }

    /// The owner of each key, its public key or digest, and its comment.
    pub(crate) fn identities(&self) -> impl Iterator<Item = (&Owner, &String, Option<&String>)> {
        self.accounts.iter().map(|it| (&it.caller.owner, &it.identity, it.name.as_ref()))
    }

    /// Looks the request's key up by its headers alone, before a body is read; a stale signature is refused
    /// here too.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Result<Found, Error> {
        let bearer = Bearer { text: bearer(headers)?, digest: OnceCell::new() };
        // Old clients send an empty signature if they have none.
        let signature = header(headers, "x-signature")?.filter(|text| !text.is_empty());
        // Every account is compared, so that the time does not reveal which one matched. While a secret is
        // changed, two accounts have the same public key.
        let matches = |account: &&Arc<Account>| match (&account.public, signature) {
            (Some(public), Some(_)) => Secret::new(public).matches(bearer.text),
            (_, None) => account.proof.matches(&bearer),
            (None, Some(_)) => false,
        };
        let accounts: Vec<_> = self.accounts.iter().filter(matches).cloned().collect();
        if accounts.is_empty() {
            return Err(refused(match signature {
                Some(_) => "the public key of this signed request is not known here",
                None => "this API key is not known here",
            }));
        }
        let signed = match signature {
            Some(signature) => Some((header(headers, "x-timestamp")?.unwrap_or(""), signature)),
            None => None,
        };
        if let Some((time, _)) = signed {
            auth::check_time(unix_seconds(), time)?;
        }
        Ok(Found {
            accounts,
            signed: signed.map(|(time, signature)| (time.to_string(), signature.to_string())),
        })
    }
}

/// Keys are never shown, only counted.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} × ***)", self.accounts.len())
    }
}

/// A known key. A signature must still be checked against the body.
pub(crate) struct Found {
    /// At least one.
    accounts: Vec<Arc<Account>>,
    signed: Option<(String, String)>,
}

impl Found {
    /// The party of the request. Without a signature the key is verified already; with one, anyone may claim it until
    /// the body is checked.
    pub(crate) fn party(&self, peer: Peer) -> Party {
        let owner = self.accounts[0].caller.owner.clone();
        match self.signed {
            None => Party::Key(owner),
            Some(_) => Party::Peer(peer, Some(owner)),
        }
    }

    /// The owner, if the key is verified already.
    pub(crate) fn verified_owner(&self) -> Option<&Owner> {
        self.signed.is_none().then(|| &self.accounts[0].caller.owner)
    }

    /// Whether the time of [`Found::verify`] grows with the body.
    pub(crate) fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    pub(crate) fn verify(&self, method: &str, target: &str, body: &[u8]) -> Result<Caller, Error> {
        let Some((time, signature)) = &self.signed else {
            return Ok(self.accounts[0].caller.clone());
        };
        let mut verified = Err(refused("the public key of this signed request is not known here"));
        for account in &self.accounts {
            // Only a pair has a public key, and it has its secret.
            let Proof::Secret(secret) = &account.proof else { continue };
            let signed = Signed { method, target, time, signature, body };
            let checked = auth::verify(secret, signed);
            if verified.is_err() {
                verified = checked.map(|()| account.caller.clone());
            }
        }
        verified
    }
}

/// The clock of the machine.
pub(crate) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The short name of an owner for the log; empty without keys.
pub(crate) fn label(owner: &Owner) -> &str {
    owner.0.get(..8).unwrap_or_default()
}

impl Caller {
    /// The owner is a digest: job tables and logs never hold a key.
    fn of(identity: &str) -> Caller {
        let mut digest = Sha256::new();
        digest.update(b"unsandbox owner\0");
        digest.update(identity.as_bytes());
        let owner = auth::hex(&digest.finalize()[..16]);
        let owner = Owner(owner);
        Caller { label: label(&owner).to_string(), owner }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let value = header(headers, "authorization")?
        .ok_or_else(|| refused("this server needs an API key; send Authorization: Bearer KEY"))?;
    match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => match key.trim() {
            key if key.len() <= KEY_MAX_BYTES => Ok(key),
            key => Err(refused(&format!(
                "the key has {} bytes; no key has more than {KEY_MAX_BYTES}",
                key.len()
            ))),
        },
        _ => Err(refused("the header Authorization is not of the form Bearer KEY")),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => value
            .to_str()
            .map(|text| Some(text.trim()))
            .map_err(|_| refused(&format!("the header {name} is not visible ASCII"))),
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Auth, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn both_forms_of_the_list_are_read() {
        let file = Keys::from_accounts("# mine\n\npub-1,sec-1,the first\nbearer-1\n").unwrap();
        let words = Keys::from_words(" pub-1:sec-1, bearer-1 ").unwrap();
        for keys in [file, words] {
            assert_eq!(keys.len(), 2);
            let caller = |key: &str| {
                keys.find(&headers(&[("authorization", &format!("Bearer {key}"))]))
                    .and_then(|found| found.verify("GET", "/jobs", b""))
            };
            assert_ne!(caller("sec-1").unwrap().owner, caller("bearer-1").unwrap().owner);
            assert_eq!(caller("pub-1").unwrap_err().code(), ErrorCode::Auth);
            assert_eq!(caller("").unwrap_err().code(), ErrorCode::Auth);
        }
    }

    #[test]
    fn a_webhook_is_signed_with_each_secret_of_its_key_whether_the_file_has_the_key_or_its_digest()
    {
        let file = "pub-1,old\npub-1,new\nbearer-1\n";
        let keys = Keys::from_accounts(file).unwrap();
        let digest = auth::hex(&Sha256::digest("bearer-1"));
        let hashed = Keys::from_accounts(&format!("sha256:{digest},alice\n")).unwrap();
        let of = |keys: &Keys, identity: &str| -> Vec<String> {
            let secrets = keys.webhook_secrets(&Caller::of(identity).owner);
            secrets.iter().map(|secret| secret.expose().to_string()).collect()
        };
        let secret = |key: &str| WebhookSecret::of_key(key).expose().to_string();
        assert_eq!(of(&keys, "pub-1"), [secret("old"), secret("new")]);
        let bearer = format!("sha256:{digest}");
        assert_eq!(of(&keys, &bearer), [secret("bearer-1")]);
        assert_eq!(of(&hashed, &bearer), [secret("bearer-1")]);
        assert_eq!(of(&hashed, "pub-1"), [""; 0], "a key that was revoked");
    }

    #[test]
    fn a_list_without_keys_is_an_error() {
        assert_eq!(Keys::from_accounts("# none\n").unwrap_err().code(), ErrorCode::Config);
        for half in ["pub-2,", ",sec-2"] {
            let error = Keys::from_accounts(&format!("pub-1,sec-1\n\n{half}\n")).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.message().contains("line 3 of the keys file"), "{error}");
        }
        assert_eq!(Keys::from_words(" , ").unwrap_err().code(), ErrorCode::Config);
        let error = Keys::from_words("a,:secret-x").unwrap_err();
        assert!(!error.to_string().contains("secret-x"), "{error}");
    }

    #[test]
    fn a_pair_signs_and_its_owner_is_the_same_as_by_bearer() {
        let keys = Keys::from_words("pub-1:sec-1").unwrap();
        let signed = |time: i64, secret: &str| {
            let signature = auth::sign(&Secret::new(secret), time, "POST", "/run", b"body");
            let headers = headers(&[
                ("authorization", "Bearer pub-1"),
                ("x-timestamp", &time.to_string()),
                ("x-signature", &signature),
            ]);
            keys.find(&headers).and_then(|found| found.verify("POST", "/run?ttl=5", b"body"))
        };
        let bearer = keys.find(&headers(&[("authorization", "Bearer sec-1")])).unwrap();
        let bearer = bearer.verify("POST", "/run", b"").unwrap();
        assert_eq!(signed(unix_seconds(), "sec-1").unwrap(), bearer);
        let wrong = signed(unix_seconds(), "other").unwrap_err();
        assert_eq!((wrong.code(), wrong.wire()), (ErrorCode::Auth, "invalid_signature"));
        let stale = signed(unix_seconds() - 400, "sec-1").unwrap_err();
        assert_eq!(stale.wire(), "invalid_timestamp");
        assert!(stale.message().contains("timestamp expired"), "{stale}");
    }

    #[test]
    fn a_public_key_may_have_two_secrets_while_they_are_changed() {
        let keys = Keys::from_accounts("pub-1,old\npub-1,new\npub-2,other\n").unwrap();
        let signed = |secret: &str| {
            let time = unix_seconds();
            let signature = auth::sign(&Secret::new(secret), time, "POST", "/run", b"body");
            let headers = headers(&[
                ("authorization", "Bearer pub-1"),
                ("x-timestamp", &time.to_string()),
                ("x-signature", &signature),
            ]);
            keys.find(&headers).and_then(|found| found.verify("POST", "/run", b"body"))
        };
        assert_eq!(signed("old").unwrap(), signed("new").unwrap());
        assert_eq!(signed("other").unwrap_err().code(), ErrorCode::Auth);
    }

    #[test]
    fn a_signature_claims_its_key_until_the_body_is_there() {
        let keys = Keys::from_words("pub-1:sec-1").unwrap();
        let peer = Peer::User(Some(7));
        let bearer = headers(&[("authorization", "Bearer sec-1")]);
        let owner = Caller::of("pub-1").owner;
        assert_eq!(keys.find(&bearer).unwrap().party(peer), Party::Key(owner.clone()));
        let time = unix_seconds().to_string();
        let signed = headers(&[
            ("authorization", "Bearer pub-1"),
            ("x-timestamp", &time),
            ("x-signature", "00"),
        ]);
        assert_eq!(keys.find(&signed).unwrap().party(peer), Party::Peer(peer, Some(owner)));
    }

    #[test]
    fn a_digest_stands_for_its_key_and_has_the_same_owner() {
        // Of "abc".
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let owner = |keys: &Keys, key: &str| {
            let found = keys.find(&headers(&[("authorization", &format!("Bearer {key}"))]))?;
            found.verify("GET", "/", b"").map(|caller| caller.owner)
        };
        let plain = Keys::from_words("abc").unwrap();
        let file = Keys::from_accounts(&format!("sha256:{digest}, alice\nother\n")).unwrap();
        let upper = Keys::from_words(&format!("sha256:{}", digest.to_uppercase())).unwrap();
        for keys in [&file, &upper] {
            assert_eq!(owner(keys, "abc").unwrap(), owner(&plain, "abc").unwrap());
            assert_eq!(owner(keys, digest).unwrap_err().code(), ErrorCode::Auth);
        }
        assert_eq!(file.identities().next().unwrap().2.unwrap(), "alice");
        let error = Keys::from_accounts("unsb-sk-1,alice\n").unwrap_err();
        assert!(error.message().contains("stands alone on its line"), "{error}");
        let long = owner(&upper, &"x".repeat(1025)).unwrap_err();
        assert!(long.message().contains("1025 bytes"), "{long}");
        let (short, sign) = (&digest[1..], format!("+{}", &digest[1..]));
        for wrong in ["", short, &sign, &"é".repeat(32)] {
            let error = Keys::from_accounts(&format!("other\nsha256:{wrong},x\n")).unwrap_err();
            assert!(error.message().starts_with("line 2 of the keys file has sha256:"), "{error}");
            assert!(Keys::from_words(&format!("sha256:{wrong}")).is_err());
        }
    }

    #[test]
    fn nothing_shows_a_key() {
        let keys = Keys::from_words("pub-1:sec-1,bearer-1").unwrap();
        let found = keys.find(&headers(&[("authorization", "Bearer bearer-1")])).unwrap();
        let caller = found.verify("GET", "/", b"").unwrap();
        let shown = format!("{keys:?} {caller:?}");
        assert!(!shown.contains("sec-1") && !shown.contains("bearer-1"), "{shown}");
    }
}
