// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves host names on a thread that can be abandoned, because the system's resolver has no deadline and cannot be
//! interrupted. A caller may provide another resolver.

use super::connection_state::ConnectionState;
use super::socket::{Target, as_timeout};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::sync::lock;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

/// How long an address is cached. The HTTP client resolves before every request, even if it has a connection.
const ADDRESS_LIFE: Duration = Duration::from_secs(30);
/// The most addresses of one name that are used, which is the limit of the HTTP client.
const ADDRESSES_MAX: usize = 16;

/// Gives the addresses of a host.
#[derive(Clone)]
pub(crate) struct LookUp(pub(crate) Arc<LookUpFn>);

type LookUpFn = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUp")
    }
}

/// The resolver of one connection.
#[derive(Debug)]
pub(super) struct ConnectionResolver {
    state: Arc<ConnectionState>,
    target: Target,
    limit: Duration,
    look_up: Option<LookUp>,
    found: Mutex<Option<(String, Instant, Vec<SocketAddr>)>>,
}

impl ConnectionResolver {
    pub(super) fn new(
        state: Arc<ConnectionState>,
        target: Target,
        limit: Duration,
        look_up: Option<LookUp>,
    ) -> Self {
        ConnectionResolver { state, target, limit, look_up, found: Mutex::new(None) }
    }

    fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let known_as = format!("{host}:{port}");
        let found = lock(&self.found).clone();
        if let Some((known, when, addresses)) = found
            && known == known_as
            && when.elapsed() < ADDRESS_LIFE
        {
            return Ok(addresses);
        }
        let (name, look_up) = (host.to_string(), self.look_up.clone());
        let lookup = move || match look_up {
            Some(look_up) => (look_up.0)(&name, port),
            None => (name.as_str(), port).to_socket_addrs().map(Iterator::collect),
        };
        let addresses: Vec<SocketAddr> = self
            .state
            .run_detached(self.limit, lookup)
            .map_err(|error| as_timeout(error, Timeout::Resolve))?
            // The text of the lookup's error ("Name or service not known") is kept.
            .map_err(|error| Error::Other(Box::new(LookupFailed(error))))?;
        if addresses.is_empty() {
            return Err(Error::HostNotFound);
        }
        let mut found = lock(&self.found);
        *found = Some((known_as, Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Resolver for ConnectionResolver {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let addresses = match (&self.target, host.parse::<IpAddr>()) {
            // The HTTP client needs an address, although it is never connected to.
            (Target::Path(_), _) => vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            (Target::Host, Ok(address)) => vec![SocketAddr::new(address, port)],
            (Target::Host, Err(_)) => self.look_up(host, port)?,
        };
        let mut found = self.empty();
        addresses.into_iter().take(ADDRESSES_MAX).for_each(|address| found.push(address));
        Ok(found)
    }
}

/// The error of a lookup, as a type that differs from the errors of a connection.
#[derive(Debug)]
pub(super) struct LookupFailed(io::Error);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LookupFailed {}
