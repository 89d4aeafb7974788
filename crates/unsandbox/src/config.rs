// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where code goes and with which key: what the caller said, then the environment, then the accounts
//! file. The file alone, with nothing that names it, never sends code anywhere.

use crate::key_file;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use unsandbox_protocol::auth::{Account, Credentials, Secret, is_loopback, parse_accounts};
use unsandbox_protocol::{Error, ErrorCode};

/// The service, used when a key is configured and no endpoint is.
pub const SERVICE_URL: &str = "https://api.unsandbox.com";

/// A place that runs code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    Local,
    /// `http` or `https`, without a slash at the end.
    Url(String),
    /// A socket of the file system.
    Unix(PathBuf),
}

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Endpoint, Error> {
        let unusable = |why: &str| {
            Err(config(format!(
                "endpoint {text:?} {why}; use local:, http://HOST:PORT, https://HOST or unix:/PATH"
            )))
        };
        if text == "local:" || text == "local" {
            return Ok(Endpoint::Local);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Endpoint::Unix(PathBuf::from(path))),
                false => unusable("has no absolute path"),
            };
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return unusable("has no scheme");
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return unusable("has an unknown scheme");
        }
        let rest = rest.trim_end_matches('/');
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() || rest.contains(['?', '#', ' ']) || rest.contains(char::is_control)
        {
            return unusable("has no host, or has a query, fragment, space or control character");
        }
        if authority.contains('@') {
            // Not shown: it may be a password.
            return Err(config(
                "an endpoint with user and password is not usable; configure a key",
            ));
        }
        let after_host = authority.rsplit(']').next().unwrap_or_default();
        if after_host.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
            return unusable("has an invalid port (0 to 65535)");
        }
        let url = format!("{scheme}://{rest}");
        match ureq::http::Uri::try_from(&url) {
            Ok(_) => Ok(Endpoint::Url(url)),
            Err(_) => unusable("is not a URL"),
        }
    }

    /// Whether a key would travel readable to another machine.
    pub(crate) fn is_plain_to_another_machine(&self) -> bool {
        let Endpoint::Url(url) = self else { return false };
        let Some(rest) = url.strip_prefix("http://") else { return false };
        let authority = rest.split('/').next().unwrap_or_default();
        !is_loopback(authority)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Local => f.write_str("local:"),
            Endpoint::Url(url) => f.write_str(url),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Config, message)
}

/// What the caller said about endpoint and key.
#[derive(Clone, Default)]
pub(crate) struct Said {
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) key_pair: Option<(String, Secret)>,
    pub(crate) account: Option<usize>,
    pub(crate) accounts_file: Option<PathBuf>,
    pub(crate) allow_plain_http_key: bool,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A user and password that stand in a URL are refused later, and not shown until then.
        let url = self.base_url.as_deref().filter(|url| !url.contains('@'));
        f.debug_struct("Said")
            .field("base_url", &url)
            .field("api_key", &self.api_key)
            .field("key_pair", &self.key_pair)
            .field("account", &self.account)
            .field("accounts_file", &self.accounts_file)
            .finish_non_exhaustive()
    }
}

/// What the choice came to.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) endpoint: Endpoint,
    pub(crate) credentials: Option<Credentials>,
    /// The caller named the endpoint; neither the environment nor a key did.
    pub(crate) explicit: bool,
    /// Who else may read the file from which the key comes.
    pub(crate) exposed: Option<String>,
}

struct Key {
    credentials: Credentials,
    exposed: Option<String>,
}

/// Reads a variable of the environment.
type Env<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// A variable as text; an empty one is as good as none. One that is not text was meant to say something, and
/// code must not go elsewhere because it cannot be read.
fn text(env: &Env<'_>, name: &str) -> Result<Option<String>, Error> {
    match env(name).map(OsString::into_string) {
        Some(Err(_)) => Err(config(format!("{name} in the environment is not UTF-8 text"))),
        Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
        None => Ok(None),
    }
}

/// Chooses endpoint and key.
pub(crate) fn choose(said: &Said, env: &Env<'_>) -> Result<Chosen, Error> {
    let named = match &said.base_url {
        Some(url) => Some(Endpoint::parse(url)?),
        None => text(env, "UNSANDBOX_URL")?.map(|url| Endpoint::parse(&url)).transpose()?,
    };
    let explicit = said.base_url.is_some();
    if named == Some(Endpoint::Local) {
        // No key is looked at: none is needed, and a broken accounts file must not matter.
        let endpoint = Endpoint::Local;
        return Ok(Chosen { endpoint, credentials: None, explicit, exposed: None });
    }
    let (credentials, exposed) = match choose_key(said, env)? {
        Some(Key { credentials, exposed }) => (Some(credentials), exposed),
        None => (None, None),
    };
    let endpoint = match (named, &credentials) {
        (Some(endpoint), _) => endpoint,
        (None, Some(_)) => Endpoint::Url(SERVICE_URL.to_string()),
        (None, None) => Endpoint::Local,
    };
    if credentials.is_some() && endpoint.is_plain_to_another_machine() && !said.allow_plain_http_key
    {
        return Err(config(format!(
            "a key over plain http to {endpoint} can be read on the way; use https, or allow it with \
             allow_plain_http_key (--allow-plain-http-key in the shell)"
        )));
    }
    if let Some(exposed) = &exposed {
        key_file::warn_once(exposed);
    }
    Ok(Chosen { endpoint, credentials, explicit, exposed })
}

fn choose_key(said: &Said, env: &Env<'_>) -> Result<Option<Key>, Error> {
    let ways = [said.key_pair.is_some(), said.api_key.is_some(), said.account.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(config(
            "more than one key is given: name an API key, a pair of keys, or an account, not several",
        ));
    }
    if let Some((public, secret)) = &said.key_pair {
        let pair = Credentials::Pair { public: public.clone(), secret: secret.clone() };
        return usable(pair).map(Some);
    }
    if let Some(key) = &said.api_key {
        return usable(Credentials::Bearer(key.clone())).map(Some);
    }
    if let Some(row) = said.account {
        return account(said, env, row).map(Some);
    }
    match (text(env, "UNSANDBOX_PUBLIC_KEY")?, text(env, "UNSANDBOX_SECRET_KEY")?) {
        (Some(public), Some(secret)) => {
            return usable(Credentials::Pair { public, secret: Secret::new(secret) }).map(Some);
        }
        (Some(_), None) => {
            return Err(config("UNSANDBOX_PUBLIC_KEY is set without UNSANDBOX_SECRET_KEY"));
        }
        (None, Some(_)) => {
            return Err(config("UNSANDBOX_SECRET_KEY is set without UNSANDBOX_PUBLIC_KEY"));
        }
        (None, None) => {}
    }
    if let Some(key) = text(env, "UNSANDBOX_API_KEY")? {
        return usable(Credentials::Bearer(Secret::new(key))).map(Some);
    }
    match text(env, "UNSANDBOX_ACCOUNT")? {
        Some(row) => {
            let row = row.parse().map_err(|_| {
                config(format!("UNSANDBOX_ACCOUNT must be the number of a row from 0, got {row:?}"))
            })?;
            account(said, env, row).map(Some)
        }
        None => Ok(None),
    }
}

/// Refuses a key that cannot stand in a header; it is not shown.
fn usable(credentials: Credentials) -> Result<Key, Error> {
    let good = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    let secret_is_good = match &credentials {
        Credentials::Bearer(_) => true,
        Credentials::Pair { secret, .. } => !secret.expose().is_empty(),
    };
    match good(credentials.bearer()) && secret_is_good {
        true => Ok(Key { credentials, exposed: None }),
        false => Err(config("the key is empty, or has characters that a header cannot carry")),
    }
}

/// Row `row`, from 0, of the accounts file.
fn account(said: &Said, env: &Env<'_>, row: usize) -> Result<Key, Error> {
    let path = match &said.accounts_file {
        Some(path) => path.clone(),
        None => match env("HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home).join(".unsandbox/accounts.csv"),
            None => {
                return Err(config(
                    "account is set, but HOME is not, so there is no accounts file",
                ));
            }
        },
    };
    let shown = path.display();
    let file = key_file::read(&path).map_err(|cause| {
        config(format!("the accounts file {shown} cannot be read")).with_cause(cause)
    })?;
    let rows = parse_accounts(file.text.expose())
        .map_err(|error| config(format!("the accounts file {shown}: {}", error.message())))?;
    let count = rows.len();
    let Some(Account { public_key, secret_key, .. }) = rows.into_iter().nth(row) else {
        return Err(config(format!(
            "account {row} is not in {shown}, which has {count} rows from 0"
        )));
    };
    let key = usable(Credentials::Pair { public: public_key, secret: secret_key })?;
    Ok(Key { exposed: file.exposed.map(|exposed| format!("the accounts file {exposed}")), ..key })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
