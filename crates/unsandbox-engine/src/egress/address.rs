// SPDX-License-Identifier: MIT OR Apache-2.0
//! The addresses of this machine, which the gateway refuses beside those of `unsandbox_protocol::net::address`: behind
//! them are services that no firewall protects from this machine itself.

use std::io;
use std::net::{IpAddr, UdpSocket};

/// Whether `address` belongs to this machine. If that cannot be determined, it counts as such.
pub fn is_own(address: IpAddr) -> bool {
    // Where any address may be bound, binding proves nothing.
    if may_bind_foreign(address) {
        return listed_as_own(address).unwrap_or(true);
    }
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        // Without the protocol no connection is possible either.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => false,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

fn may_bind_foreign(address: IpAddr) -> bool {
    let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let setting = std::fs::read_to_string(format!("/proc/sys/net/{family}/ip_nonlocal_bind"));
    setting.is_ok_and(|setting| setting.trim() != "0")
}

/// Reads the kernel's tables.
fn listed_as_own(address: IpAddr) -> io::Result<bool> {
    match address {
        IpAddr::V4(address) => {
            let table = std::fs::read_to_string("/proc/thread-self/net/fib_trie")?;
            let leaf = format!("|-- {address}");
            let lines: Vec<&str> = table.lines().map(str::trim).collect();
            Ok(lines.windows(2).any(|pair| pair[0] == leaf && pair[1].ends_with("host LOCAL")))
        }
        IpAddr::V6(address) => {
            let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
            let digits = format!("{:032x}", address.to_bits());
            Ok(table.lines().any(|line| line.starts_with(&digits)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_knows_its_own_addresses() {
        for own in ["127.0.0.1", "::1"] {
            let own: IpAddr = own.parse().unwrap();
            // A machine without IPv6 has no ::1.
            if UdpSocket::bind((own, 0)).is_ok() {
                assert!(is_own(own), "{own}");
                assert!(listed_as_own(own).unwrap(), "{own}");
            }
        }
        let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap();
        let lines: Vec<&str> = table.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[1].ends_with("/32 host LOCAL")) {
            let own: IpAddr = pair[0].trim_start_matches("|-- ").parse().unwrap();
            assert!(is_own(own), "{own}");
        }
        for foreign in ["198.51.100.77", "2001:db8::77"] {
            let foreign: IpAddr = foreign.parse().unwrap();
            assert!(!is_own(foreign), "{foreign}");
            assert!(!listed_as_own(foreign).unwrap(), "{foreign}");
        }
    }
}
