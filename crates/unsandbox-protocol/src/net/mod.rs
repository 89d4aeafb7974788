// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hosts, addresses and networks: which of them somebody else may have this machine connect to.

pub mod address;
pub mod host;

use std::net::IpAddr;

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads an address (`192.0.2.1`) or a network (`10.0.0.0/8`, `2001:db8::/32`); `None` for any other text.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        // Addresses are compared in their short form.
        match (address, address.to_canonical()) {
            _ if bits > most => None,
            (IpAddr::V6(_), address @ IpAddr::V4(_)) => {
                Some(Network { address, bits: bits.checked_sub(96)? })
            }
            _ => Some(Network { address, bits }),
        }
    }

    /// Whether it is this address and no other.
    pub fn is_only(self, address: IpAddr) -> bool {
        let all = if self.address.is_ipv4() { 32 } else { 128 };
        self.bits == all && self.has(address)
    }

    /// Whether an address is one of the network.
    pub fn has(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (u32::from(network) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (u128::from(network) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}
