// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a client: setters over the client's builder.

use crate::boundary::{ffi, free, give_out, handle_mut};
use crate::error::unsandbox_error;
use crate::text::text;
use std::ffi::c_char;
use std::time::Duration;
use unsandbox::{Client, ClientBuilder, Timeouts};
use unsandbox_protocol::{Error, IsolationPolicy};

/// How a client is set up; what is not set comes from the environment. Belongs to one thread at a
/// time, and may be used for many clients.
pub struct unsandbox_config {
    pub builder: ClientBuilder,
    timeouts: Timeouts,
}

impl unsandbox_config {
    /// Builders are consumed by their setters.
    fn change(&mut self, set: impl FnOnce(ClientBuilder) -> ClientBuilder) {
        self.builder = set(std::mem::take(&mut self.builder));
    }
}

/// The builder of a client that tells a server which face it has.
pub fn builder() -> ClientBuilder {
    Client::builder().user_agent(concat!("unsandbox-c/", env!("CARGO_PKG_VERSION")))
}

/// Makes an empty configuration.
///
/// @param config  receives a configuration owned by the caller; free with unsandbox_config_free. Required.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_new(
    config: *mut *mut unsandbox_config,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        give_out(config, "config", || {
            let made = unsandbox_config { builder: builder(), timeouts: Timeouts::default() };
            Ok(Box::into_raw(Box::new(made)))
        })
    })
}

/// Sets where programs run: "local:", "http://HOST:PORT", "https://HOST" or "unix:/PATH". Else
/// UNSANDBOX_URL, else the service where a key is configured, else "local:".
///
/// @param url     copied.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_base_url(
    config: *mut unsandbox_config,
    url: *const c_char,
    url_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let url = text(url, url_len, "url")?;
        config.change(|it| it.base_url(url));
        Ok(())
    })
}

/// Sets one key, sent as a bearer. Else UNSANDBOX_API_KEY.
///
/// @param key     copied.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_api_key(
    config: *mut unsandbox_config,
    key: *const c_char,
    key_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let key = text(key, key_len, "key")?;
        config.change(|it| it.api_key(key));
        Ok(())
    })
}

/// Sets a public and a secret key: requests are signed, and the secret is never sent. Else
/// UNSANDBOX_PUBLIC_KEY and UNSANDBOX_SECRET_KEY.
///
/// @param public_key  copied.
/// @param secret_key  copied.
/// @param err         receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_key_pair(
    config: *mut unsandbox_config,
    public_key: *const c_char,
    public_key_len: usize,
    secret_key: *const c_char,
    secret_key_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let public_key = text(public_key, public_key_len, "public_key")?;
        let secret_key = text(secret_key, secret_key_len, "secret_key")?;
        config.change(|it| it.key_pair(public_key, secret_key));
        Ok(())
    })
}

/// Chooses a row, from 0, of the accounts file; keys in the environment do not count then.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_account(
    config: *mut unsandbox_config,
    row: u32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.account(row as usize));
        Ok(())
    })
}

/// Sets the accounts file. Else ~/.unsandbox/accounts.csv.
///
/// @param path    copied.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_accounts_file(
    config: *mut unsandbox_config,
    path: *const c_char,
    path_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let path = text(path, path_len, "path")?;
        config.change(|it| it.accounts_file(path));
        Ok(())
    })
}

/// Sets a PEM file with certificates to trust in place of the built-in ones.
///
/// @param path    copied.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_ca_file(
    config: *mut unsandbox_config,
    path: *const c_char,
    path_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let path = text(path, path_len, "path")?;
        config.change(|it| it.ca_file(path));
        Ok(())
    })
}

/// Sets the proxy on the way to a server: "http://[USER:PASSWORD@]HOST:PORT" or "socks5://…"; "" for none,
/// whatever the environment says. Else https_proxy, http_proxy or all_proxy, unless no_proxy names the
/// server or it is this machine.
///
/// @param url  copied.
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_proxy(
    config: *mut unsandbox_config,
    url: *const c_char,
    url_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let url = text(url, url_len, "url")?;
        config.change(|it| if url.is_empty() { it.no_proxy() } else { it.proxy(url) });
        Ok(())
    })
}

/// Allows (not 0) a key over plain http to another machine, where it can be read on the way.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_allow_plain_http_key(
    config: *mut unsandbox_config,
    yes: i32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.allow_plain_http_key(yes != 0));
        Ok(())
    })
}

/// Sets how long a whole call may take, in milliseconds, at least 1. Else 30 s for a question, and for
/// an execution its ttl with time for queue and compiler.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_timeout_ms(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let timeout = milliseconds("timeout_ms", timeout_ms)?;
        config.timeouts.call = Some(timeout);
        config.change(|it| it.timeout(timeout));
        Ok(())
    })
}

/// Sets how long connecting to a server may take, with TLS, in milliseconds, at least 1. Else 15 s.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_connect_timeout_ms(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, { set_timeout(config, timeout_ms, |it, limit| it.connect = limit) })
}

/// Sets how long looking up a server's name may take, in milliseconds, at least 1. Else 10 s.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_resolve_timeout_ms(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, { set_timeout(config, timeout_ms, |it, limit| it.resolve = limit) })
}

/// Sets how long sending a request may take, in milliseconds, at least 1. Else as long as the call.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_send_timeout_ms(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, { set_timeout(config, timeout_ms, |it, limit| it.send = Some(limit)) })
}

/// Sets how long a server may take to begin its reply, in milliseconds, at least 1; it begins an
/// execution's when that has ended. Else as long as the call.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_first_byte_timeout_ms(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, { set_timeout(config, timeout_ms, |it, limit| it.first_byte = Some(limit)) })
}

/// Sets how long each read of a reply may take once it has begun, in milliseconds, at least 1. Else as
/// long as the call.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_read_timeout_ms(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, { set_timeout(config, timeout_ms, |it, limit| it.read = Some(limit)) })
}

/// Sets for which programs an execution is submitted as a job and polled, so that no connection has to
/// idle that long: those whose ttl is longer than so many seconds. Else 120.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_job_threshold(
    config: *mut unsandbox_config,
    ttl: u32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.job_threshold(Duration::from_secs(ttl.into())));
        Ok(())
    })
}

/// Submits (not 0) every execution as a job, so that a call that is cancelled or past its deadline ends
/// its program at any server. Our own server ends it without.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_cancel_jobs(
    config: *mut unsandbox_config,
    yes: i32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.cancel_jobs(yes != 0));
        Ok(())
    })
}

/// Sets how often a call is repeated where that is safe; 0 for never. Else 3 times.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_retries(
    config: *mut unsandbox_config,
    count: u32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.retries(count));
        Ok(())
    })
}

/// Sets how many bytes of a reply are read; a larger one is UNSANDBOX_ERR_TOO_LARGE. Else 86 MB.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_reply_max_bytes(
    config: *mut unsandbox_config,
    bytes: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.reply_max_bytes(bytes));
        Ok(())
    })
}

/// Sets the name that the client gives itself to a server.
///
/// @param name    copied.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_user_agent(
    config: *mut unsandbox_config,
    name: *const c_char,
    name_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let name = text(name, name_len, "name")?;
        config.change(|it| it.user_agent(name));
        Ok(())
    })
}

/// Sets which isolation the local engine accepts: "auto" (the best that the machine gives, and the
/// default), "full" (or UNSANDBOX_ERR_ISOLATION_UNAVAILABLE) or "reduced".
///
/// @param policy  copied.
/// @param err     receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_isolation(
    config: *mut unsandbox_config,
    policy: *const c_char,
    policy_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let policy = text(policy, policy_len, "policy")?;
        let policy = IsolationPolicy::require(policy)?;
        config.change(|it| it.isolation(policy));
        Ok(())
    })
}

/// Sets how many executions the local engine runs at once; 0, the default, for twice the cores.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_concurrency(
    config: *mut unsandbox_config,
    count: u32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.concurrency(count as usize));
        Ok(())
    })
}

/// Sets how many executions may wait for their turn on the local engine. Else 1,000.
///
/// @param err  receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_set_queue_max(
    config: *mut unsandbox_config,
    count: u32,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        config.change(|it| it.queue_max(count as usize));
        Ok(())
    })
}

/// Adds a host that "semitrusted" programs on the local engine may reach: an exact name or address, or
/// "*.SUFFIX". Without any they reach every host of the public Internet. For "local:" alone: a server
/// decides that itself.
///
/// @param host  copied.
/// @param err   receives an error owned by the caller on failure; may be NULL.
/// @return UNSANDBOX_OK or UNSANDBOX_ERR_ARGUMENT.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_add_egress_host(
    config: *mut unsandbox_config,
    host: *const c_char,
    host_len: usize,
    err: *mut *mut unsandbox_error,
) -> i32 {
    ffi!(err, {
        let config = handle_mut(config, "config")?;
        let host = text(host, host_len, "host")?;
        config.change(|it| it.egress_allow(host));
        Ok(())
    })
}

/// Sets one of the limits of a step; the builder takes all of them together.
fn set_timeout(
    config: *mut unsandbox_config,
    timeout_ms: u64,
    set: impl FnOnce(&mut Timeouts, Duration),
) -> Result<(), Error> {
    let config = handle_mut(config, "config")?;
    set(&mut config.timeouts, milliseconds("timeout_ms", timeout_ms)?);
    let timeouts = config.timeouts;
    config.change(|it| it.timeouts(timeouts));
    Ok(())
}

fn milliseconds(name: &str, value: u64) -> Result<Duration, Error> {
    match value {
        0 => Err(Error::argument(format!("{name} is 0; it must be at least 1"))),
        value => Ok(Duration::from_millis(value)),
    }
}

/// Frees a configuration; NULL is fine.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_config_free(config: *mut unsandbox_config) {
    ffi!(or(), { free(config) })
}
