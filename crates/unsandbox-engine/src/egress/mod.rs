// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only network access of a `semitrusted` run. Its jail has an empty network namespace with two listening sockets,
//! whose connections are accepted here, outside. A client names a host (`http.rs`, `socks.rs`), which is
//! read strictly (`net::host` of the protocol), checked against the allow-list (`allow.rs`), resolved once (`lookup.rs`),
//! checked again as an address (`net::address` of the protocol, `address.rs`) and connected to (`dial.rs`); then bytes flow (`relay.rs`).

mod address;
mod allow;
mod conn;
mod dial;
mod gateway;
mod http;
mod lookup;
mod relay;
mod session;
mod slots;
mod socks;

pub use address::is_own;
pub use gateway::Gateway;
pub use lookup::{Resolver, SystemResolver};

use allow::AllowList;
use slots::{Slot, Slots};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unsandbox_protocol::share::within_share;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, Owner, limits};

/// Ports on the jail's own loopback: the usual ones of an HTTP proxy and of SOCKS5.
pub const PORTS: [u16; 2] = [3128, 1080];

/// The time in which a client has to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
const LOOKUP_TIME: Duration = Duration::from_secs(20);
/// The time for connecting to a host, over all its addresses.
const CONNECT_TIME: Duration = Duration::from_secs(20);
/// How long a connection may have no traffic in either direction.
const IDLE_TIME: Duration = Duration::from_secs(300);
/// The same, once the server has closed its side.
const HALF_OPEN_TIME: Duration = Duration::from_secs(10);
/// Lookups at once: of one run, of all runs of an owner, and of all runs. The last two also count lookups whose runs have
/// ended, so that slow names of one owner do not block the others.
const LOOKUPS_EACH: usize = 8;
const LOOKUPS_OWNER: usize = 32;
const LOOKUPS_MAX: usize = 256;
/// How long a closing engine waits for the threads of ended connections.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// The hosts that `semitrusted` runs may reach, and the limits of that.
#[derive(Clone, Debug)]
pub struct EgressOptions {
    /// Host names, `*.suffix` (its sub-domains, not itself) and addresses; empty: every public host.
    pub allow: Vec<String>,
    /// Connections at once of one run.
    pub connections_max: usize,
    /// Bytes of one run, both directions together; the first one over it ends its connections.
    pub bytes_max: u64,
    /// One address of this machine that is not refused, for tests and local mirrors.
    pub open_loopback: Option<SocketAddr>,
    /// Instead of the system's resolver.
    pub resolver: Option<Arc<dyn Resolver>>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        EgressOptions {
            allow: Vec::new(),
            connections_max: limits::EGRESS_CONNECTIONS_MAX,
            bytes_max: limits::EGRESS_MAX_BYTES,
            open_loopback: None,
            resolver: None,
        }
    }
}

/// Refuses entries of an allow-list that name no host, before there is an engine.
pub fn check_hosts(allow: &[String]) -> Result<(), Error> {
    AllowList::parse(allow).map(drop)
}

/// The places of one owner, which all its runs share.
#[derive(Debug)]
pub struct OwnerSlots {
    lookups: Arc<Slots>,
    /// Counts them: [`within_share`] bounds them.
    connections: Arc<Slots>,
}

/// The state that the gateways of an engine share.
pub struct Egress {
    options: EgressOptions,
    allow: AllowList,
    resolver: Arc<dyn Resolver>,
    connections: Arc<Slots>,
    lookups: Arc<Slots>,
    /// The places of each owner, while they are in use.
    shares: Mutex<HashMap<Owner, Arc<OwnerSlots>>>,
    threads: Arc<Slots>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Egress {
    pub fn new(options: &EgressOptions) -> Result<Egress, Error> {
        Ok(Egress {
            allow: AllowList::parse(&options.allow)?,
            resolver: options.resolver.clone().unwrap_or_else(|| Arc::new(SystemResolver)),
            options: options.clone(),
            connections: Slots::new(limits::EGRESS_CONNECTIONS_ALL_MAX),
            lookups: Slots::new(LOOKUPS_MAX),
            shares: Mutex::default(),
            threads: Slots::new(usize::MAX),
        })
    }

    /// The places that all runs of this owner share.
    fn share_of(&self, owner: &Owner) -> Arc<OwnerSlots> {
        let mut shares = lock(&self.shares);
        if let Some(share) = shares.get(owner) {
            return share.clone();
        }
        // Lookups of runs that have ended hold their places only.
        shares.retain(|_, share| Arc::strong_count(share) > 1 || share.lookups.used_now() > 0);
        let share = Arc::new(OwnerSlots {
            lookups: Slots::new(LOOKUPS_OWNER),
            connections: Slots::new(usize::MAX),
        });
        shares.insert(owner.clone(), share.clone());
        share
    }

    /// Places for a connection, of all and of its owner; `None` if there is none, or the owner has its share of them.
    fn connection(&self, owner: &OwnerSlots) -> Option<(Slot, Slot)> {
        let places = (self.connections.try_take()?, owner.connections.try_take()?);
        let (mine, free) = (owner.connections.used_now(), self.connections.free_now());
        within_share(mine as u64, free as u64).then_some(places)
    }

    /// Waits for threads of ended runs. A lookup may take longer, but holds no resources of a run.
    pub fn close(&self) {
        if !self.threads.wait_until_unused(Instant::now() + CLOSE_TIME) {
            log::warn!("connections of the egress gateway did not end in time");
        }
    }
}

/// The environment variables that name the proxy. Some libraries read upper case, others lower case.
pub fn variables() -> Vec<(String, String)> {
    let [http, socks] = PORTS;
    let proxy = format!("http://127.0.0.1:{http}");
    // The jail's own loopback needs no proxy.
    let own = "localhost,127.0.0.1,::1".to_string();
    let mut pairs = Vec::new();
    for (name, value) in [
        ("http_proxy", &proxy),
        ("https_proxy", &proxy),
        ("ftp_proxy", &proxy),
        // Not socks5h://: some clients refuse to start with it, although they would not use it.
        ("all_proxy", &proxy),
        ("socks_proxy", &format!("socks5h://127.0.0.1:{socks}")),
        ("no_proxy", &own),
    ] {
        pairs.push((name.to_ascii_uppercase(), value.clone()));
        pairs.push((name.to_string(), value.clone()));
    }
    // Node's fetch reads the other variables only if this one is set.
    pairs.push(("NODE_USE_ENV_PROXY".to_string(), "1".to_string()));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_of_one_owner_leave_connections_to_those_of_another() {
        let egress = Egress::new(&EgressOptions::default()).unwrap();
        let (a, b) = (egress.share_of(&Owner("a".into())), egress.share_of(&Owner("b".into())));
        let all = limits::EGRESS_CONNECTIONS_ALL_MAX;
        let mut held: Vec<_> = std::iter::from_fn(|| egress.connection(&a)).collect();
        assert_eq!(held.len(), all / 4 * 3);
        let others: Vec<_> = std::iter::from_fn(|| egress.connection(&b)).collect();
        assert_eq!(others.len(), all / 16 * 3);
        held.truncate(all / 4 * 3 - 4);
        assert!(egress.connection(&a).is_none(), "what it gave back is the others' too");
        assert!(egress.connection(&b).is_some());
        drop((held, others));
        assert_eq!((egress.connections.used_now(), a.connections.used_now()), (0, 0));
    }
}
