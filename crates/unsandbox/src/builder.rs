// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a client is set up. Every setting has a default; the environment provides those that the caller does not make.

use crate::client::Client;
use crate::config::{ExplicitSettings, choose, choose_key};
use crate::local::LocalOptions;
use crate::observe::{Observer, RequestEvent};
use crate::remote::{LookUp, ProxyChoice, Remote, RemoteOptions, Roots};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use unsandbox_protocol::auth::{Credentials, Secret};
use unsandbox_protocol::webhook::WebhookSecret;
use unsandbox_protocol::{Error, ErrorCode, IsolationPolicy};

/// How long the steps of a call to a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Looking up the host's name.
    pub resolve: Duration,
    /// Connecting, with a proxy and TLS.
    pub connect: Duration,
    /// Sending the request. `None`: as long as the call may take.
    pub send: Option<Duration>,
    /// From the request to the reply's headers. `None`: as long as the call may take, since a server
    /// answers an execution when it has ended.
    pub first_byte: Option<Duration>,
    /// Each read of the reply's body. `None`: as long as the call may take.
    pub read: Option<Duration>,
    /// The whole call, with retries. `None`: 30 s for a question, and for an execution its ttl with
    /// time for queue and compiler.
    pub call: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(15),
            send: None,
            first_byte: None,
            read: None,
            call: None,
        }
    }
}

/// Sets up a [`Client`].
///
/// ```no_run
/// let client = unsandbox::Client::builder().base_url("unix:/run/unsandbox.sock").build()?;
/// # Ok::<(), unsandbox::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct ClientBuilder {
    pub(crate) settings: ExplicitSettings,
    pub(crate) local: LocalOptions,
    pub(crate) remote: RemoteOptions,
}

impl ClientBuilder {
    /// `local:`, `http://HOST:PORT`, `https://HOST` or `unix:/PATH`. Default: `UNSANDBOX_URL`, else the
    /// service if a key is configured, else `local:`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(url.into());
        self
    }

    /// One key, sent as a bearer. Default: `UNSANDBOX_API_KEY`.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.settings.api_key = Some(Secret::new(key));
        self
    }

    /// A public and a secret key: requests are signed, the secret is never sent. Default:
    /// `UNSANDBOX_PUBLIC_KEY` and `UNSANDBOX_SECRET_KEY`.
    pub fn key_pair(mut self, public: impl Into<String>, secret: impl Into<String>) -> Self {
        self.settings.key_pair = Some((public.into(), Secret::new(secret)));
        self
    }

    /// A row, from 0, of the accounts file; keys in the environment do not count then.
    pub fn account(mut self, row: usize) -> Self {
        self.settings.account = Some(row);
        self
    }

    /// Default: `~/.unsandbox/accounts.csv`.
    pub fn accounts_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.accounts_file = Some(path.into());
        self
    }

    /// Allows a key over plain `http` to another machine, where it can be read on the way.
    pub fn allow_plain_http_key(mut self, allow: bool) -> Self {
        self.settings.allow_plain_http_key = allow;
        self
    }

    /// Replaces all time limits of calls to a server, that of [`ClientBuilder::timeout`] too.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.remote.timeouts = timeouts;
        self
    }

    /// How long a whole call may take; see [`Timeouts::call`].
    pub fn timeout(mut self, call: Duration) -> Self {
        self.remote.timeouts.call = Some(call);
        self.local.deadline = Some(call);
        self
    }

    /// How often a call is repeated where that is safe; 0 for never. Default 3. To know where it is, a
    /// client asks a server's `/health` once before its first submission, unless this is 0.
    pub fn retries(mut self, count: u32) -> Self {
        self.remote.retries = count;
        self
    }

    /// Bytes of a reply that are read; a larger one is TOO_LARGE. Default 86 MB:
    /// what our server writes for a run at the default limits; raise it with `limits.output_bytes`.
    pub fn reply_max_bytes(mut self, bytes: usize) -> Self {
        self.remote.reply_max_bytes = bytes;
        self
    }

    /// Runs whose ttl is longer than this are submitted as jobs and polled, so that no connection has
    /// to idle that long. Default 120 s.
    pub fn job_threshold(mut self, ttl: Duration) -> Self {
        self.remote.job_threshold = ttl;
        self
    }

    /// Submits every execution as a job, so that a call that is cancelled or past its deadline ends its
    /// program at any server; see [`CallOptions::cancel_job`](crate::CallOptions::cancel_job) for one call.
    pub fn cancel_jobs(mut self, yes: bool) -> Self {
        self.remote.cancel_jobs = yes;
        self
    }

    /// Sets the `User-Agent` of requests to a server. Default: `unsandbox-rust/` and the version.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.remote.user_agent = name.into();
        self
    }

    /// A PEM file with certificates to trust in place of the built-in ones.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.remote.roots = Roots::File(path.into());
        self
    }

    /// Uses the certificates of the operating system instead of the built-in ones.
    #[cfg(feature = "platform-verifier")]
    pub fn platform_verifier(mut self) -> Self {
        self.remote.roots = Roots::Platform;
        self
    }

    /// The proxy to go through, as `http://[USER:PASSWORD@]HOST:PORT`; with the feature `socks` also
    /// `socks5://`. Default: `https_proxy`, `http_proxy` or `all_proxy`, unless `no_proxy` names the
    /// endpoint or it is this machine.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.remote.proxy = ProxyChoice::Url(Secret::new(url));
        self
    }

    /// Goes through no proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.remote.proxy = ProxyChoice::Direct;
        self
    }

    /// Looks host names up by `look_up` (host, port) in place of the system's resolver. It may block:
    /// it is left behind at the time limit.
    pub fn resolver(
        mut self,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.remote.look_up = Some(LookUp(Arc::new(look_up)));
        self
    }

    /// Is told when a request to a server begins and when it has ended, on the thread of the call.
    pub fn on_request(
        mut self,
        observer: impl Fn(&RequestEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.remote.observer = Some(Observer(Arc::new(observer)));
        self
    }

    /// Which isolation the local engine accepts. Default: the best that the machine gives. For a server,
    /// which decides itself, anything else is CONFIG.
    pub fn isolation(mut self, policy: IsolationPolicy) -> Self {
        self.local.isolation = policy;
        self
    }

    /// Executions at once on the local engine; 0 for twice the cores.
    pub fn concurrency(mut self, count: usize) -> Self {
        self.local.concurrency = count;
        self
    }

    /// Executions that may wait for their turn on the local engine.
    pub fn queue_max(mut self, count: usize) -> Self {
        self.local.queue_max = count;
        self
    }

    /// The interpreter or compiler of a language on the local engine where neither the request nor the environment
    /// (`UNSANDBOX_PYTHON`) chooses one. One that cannot run in a jail is passed over for that of PATH, and the log
    /// says why (DEBUG); the field `runtime` of a result has the one that was taken.
    pub fn default_runtime(
        mut self,
        language: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Self {
        self.local.runtimes.push((language.into(), path.into()));
        self
    }

    /// Hosts that `semitrusted` runs on the local engine may reach, besides those given before: exact names
    /// and addresses, or `*.suffix`. Default: every host of the public Internet.
    pub fn egress_allow(mut self, host: impl Into<String>) -> Self {
        self.local.egress_allow.push(host.into());
        self
    }

    /// Chooses endpoint and key. Connects to nothing and starts nothing yet.
    ///
    /// # Errors
    ///
    /// CONFIG if the endpoint, a key, the accounts file or the certificates are unusable.
    pub fn build(self) -> Result<Client, Error> {
        let chosen = choose(&self.settings, &|name| std::env::var_os(name))?;
        Client::new(chosen, self.local, self.remote)
    }

    /// Chooses a server and its key, as [`ClientBuilder::build`] does, and gives it as a
    /// [`Backend`](crate::Backend): for another backend around it, or for a server in front of it. Connects to nothing
    /// yet.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use unsandbox::Client;
    ///
    /// let remote = Client::builder().base_url("unix:/run/unsandbox.sock").remote()?;
    /// let client = Client::from_backend(Arc::new(remote), "unix:/run/unsandbox.sock");
    /// # Ok::<(), unsandbox::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`]; CONFIG too if the choice comes to `local:`, which is not a server.
    pub fn remote(self) -> Result<Remote, Error> {
        let chosen = choose(&self.settings, &|name| std::env::var_os(name))?;
        Remote::chosen(chosen.endpoint, chosen.credentials, &self.local, self.remote)
    }

    /// The secret with which a server of your own signs the webhooks of the key that [`ClientBuilder::build`] would take.
    /// Connects to nothing. Whoever knows the SHA-256 of the key can compute it, too.
    ///
    /// # Errors
    ///
    /// CONFIG if there is no key, or if the key or the accounts file cannot be used.
    pub fn webhook_secret(self) -> Result<WebhookSecret, Error> {
        let chosen = choose_key(&self.settings, &|name| std::env::var_os(name))?;
        let key = chosen.ok_or_else(|| {
            let text = "there is no key, and a webhook is signed with a secret that follows from it; give a key, or set \
                        UNSANDBOX_API_KEY";
            Error::new(ErrorCode::Config, text)
        })?;
        Ok(match key.credentials {
            Credentials::Bearer(key) => WebhookSecret::of_key(key.expose()),
            Credentials::Pair { secret, .. } => WebhookSecret::of_key(secret.expose()),
        })
    }
}
