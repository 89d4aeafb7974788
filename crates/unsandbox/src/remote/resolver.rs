// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looks names up, on a thread that can be left behind: a system's resolver neither knows the call's
//! deadline nor can be interrupted. A caller may bring a resolver of its own.

use super::line::Line;
use super::socket::{Target, as_timeout};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

/// How long an address is kept. The HTTP client asks before every request, also when it has a
/// connection already.
const ADDRESS_LIFE: Duration = Duration::from_secs(30);
/// Addresses of one name that are used; the HTTP client has room for so many.
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

/// The resolver of one line.
#[derive(Debug)]
pub(super) struct LineResolver {
    line: Arc<Line>,
    target: Target,
    limit: Duration,
    look_up: Option<LookUp>,
    found: Mutex<Option<(String, Instant, Vec<SocketAddr>)>>,
}

impl LineResolver {
    pub(super) fn new(
        line: Arc<Line>,
        target: Target,
        limit: Duration,
        look_up: Option<LookUp>,
    ) -> Self {
        LineResolver { line, target, limit, look_up, found: Mutex::new(None) }
    }

    fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let known_as = format!("{host}:{port}");
        let found = self.found.lock().expect("no panic under this lock").clone();
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
            .line
            .detached(self.limit, lookup)
            .map_err(|error| as_timeout(error, Timeout::Resolve))?
            // The lookup's own words ("Name or service not known") are kept.
            .map_err(|error| Error::Other(Box::new(LookupFailed(error))))?;
        if addresses.is_empty() {
            return Err(Error::HostNotFound);
        }
        let mut found = self.found.lock().expect("no panic under this lock");
        *found = Some((known_as, Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Resolver for LineResolver {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let addresses = match (&self.target, host.parse::<IpAddr>()) {
            // Never connected to, but the HTTP client wants an address.
            (Target::Path(_), _) => vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            (Target::Host, Ok(address)) => vec![SocketAddr::new(address, port)],
            (Target::Host, Err(_)) => self.look_up(host, port)?,
        };
        let mut found = self.empty();
        addresses.into_iter().take(ADDRESSES_MAX).for_each(|address| found.push(address));
        Ok(found)
    }
}

/// A name that was not found, told apart from a connection that failed.
#[derive(Debug)]
pub(super) struct LookupFailed(io::Error);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LookupFailed {}
