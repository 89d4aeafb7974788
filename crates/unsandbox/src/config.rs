// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chooses the endpoint and the key: the caller's settings come first, then the environment, then the accounts file. The
//! accounts file is used only where a setting or a variable names an account.

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

    /// Whether a key would be sent unencrypted to another machine.
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

/// The caller's settings of endpoint and key.
#[derive(Clone, Default)]
pub(crate) struct ExplicitSettings {
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) key_pair: Option<(String, Secret)>,
    pub(crate) account: Option<usize>,
    pub(crate) accounts_file: Option<PathBuf>,
    pub(crate) allow_plain_http_key: bool,
}

impl fmt::Debug for ExplicitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL with user and password is refused later, and must not be shown before that.
        let url = self.base_url.as_deref().filter(|url| !url.contains('@'));
        f.debug_struct("ExplicitSettings")
            .field("base_url", &url)
            .field("api_key", &self.api_key)
            .field("key_pair", &self.key_pair)
            .field("account", &self.account)
            .field("accounts_file", &self.accounts_file)
            .finish_non_exhaustive()
    }
}

/// The chosen endpoint and key.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) endpoint: Endpoint,
    pub(crate) credentials: Option<Credentials>,
    /// Whether the caller named the endpoint, and not the environment or a key.
    pub(crate) explicit: bool,
    /// Who else may read the file from which the key comes.
    pub(crate) exposed: Option<String>,
}

pub(crate) struct Key {
    pub(crate) credentials: Credentials,
    exposed: Option<String>,
}

/// Reads a variable of the environment.
type Env<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// A variable as text; an empty one counts as unset. One that is not text is an error, because ignoring it could send
/// code to another endpoint.
fn text(env: &Env<'_>, name: &str) -> Result<Option<String>, Error> {
    match env(name).map(OsString::into_string) {
        Some(Err(_)) => Err(config(format!("{name} in the environment is not UTF-8 text"))),
        Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
        None => Ok(None),
    }
}

/// Chooses endpoint and key.
pub(crate) fn choose(settings: &ExplicitSettings, env: &Env<'_>) -> Result<Chosen, Error> {
    let named = match &settings.base_url {
        Some(url) => Some(Endpoint::parse(url)?),
        None => text(env, "UNSANDBOX_URL")?
            .map(|url| {
                // Its source is named: nobody typed it into this call.
                let named = |error: Error| config(format!("UNSANDBOX_URL: {}", error.message()));
                Endpoint::parse(&url).map_err(named)
            })
            .transpose()?,
    };
    let explicit = settings.base_url.is_some();
    if named == Some(Endpoint::Local) {
        // No key is read: none is needed, and a broken accounts file must not matter.
        let endpoint = Endpoint::Local;
        return Ok(Chosen { endpoint, credentials: None, explicit, exposed: None });
    }
    let (credentials, exposed) = match choose_key(settings, env)? {
        Some(Key { credentials, exposed }) => (Some(credentials), exposed),
        None => (None, None),
    };
    let endpoint = match (named, &credentials) {
        (Some(endpoint), _) => endpoint,
        (None, Some(_)) => Endpoint::Url(SERVICE_URL.to_string()),
        (None, None) => Endpoint::Local,
    };
    if credentials.is_some()
        && endpoint.is_plain_to_another_machine()
        && !settings.allow_plain_http_key
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

pub(crate) fn choose_key(settings: &ExplicitSettings, env: &Env<'_>) -> Result<Option<Key>, Error> {
    let ways =
        [settings.key_pair.is_some(), settings.api_key.is_some(), settings.account.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(config(
            "more than one key is given: name an API key, a pair of keys, or an account, not several",
        ));
    }
    if let Some((public, secret)) = &settings.key_pair {
        let pair = Credentials::Pair { public: public.clone(), secret: secret.clone() };
        return usable(pair).map(Some);
    }
    if let Some(key) = &settings.api_key {
        if ["local:", "unix:", "http://", "https://"].iter().any(|it| key.expose().starts_with(it))
        {
            return Err(config(
                "the API key begins as an endpoint does (local:, unix:, http:// or https://); give the endpoint as \
                 base_url",
            ));
        }
        return usable(Credentials::Bearer(key.clone())).map(Some);
    }
    if let Some(row) = settings.account {
        return account(settings, env, row).map(Some);
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
            account(settings, env, row).map(Some)
        }
        None => Ok(None),
    }
}

/// Refuses a key that a header cannot carry, without showing it.
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
fn account(settings: &ExplicitSettings, env: &Env<'_>, row: usize) -> Result<Key, Error> {
    let path = match &settings.accounts_file {
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
