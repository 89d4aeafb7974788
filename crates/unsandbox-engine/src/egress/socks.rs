// SPDX-License-Identifier: MIT OR Apache-2.0
//! SOCKS5 (RFC 1928): connections only, without authentication; names are resolved here.

use super::conn::Conn;
use super::dial::{DialError, dial};
use super::relay::{Sending, relay};
use super::session::ConnectionEnd;
use std::net::{Ipv4Addr, Ipv6Addr};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Reply codes.
const DONE: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const REFUSED: u8 = 5;
const COMMAND_UNKNOWN: u8 = 7;
const ADDRESS_UNKNOWN: u8 = 8;

/// Serves one client.
pub fn serve(mut client: Conn<'_>) -> Result<(), ConnectionEnd> {
    let [version, count] = array(&mut client)?;
    if version != VERSION {
        return Ok(()); // another protocol, so there is no valid answer
    }
    if !client.take(count.into())?.contains(&NO_AUTHENTICATION) {
        return client.finish(&[VERSION, NO_METHOD]);
    }
    client.send(&[VERSION, NO_AUTHENTICATION])?;
    let [_, command, _, kind] = array(&mut client)?;
    let host = match kind {
        IPV4 => Ipv4Addr::from(array(&mut client)?).to_string().into_bytes(),
        IPV6 => format!("[{}]", Ipv6Addr::from(array(&mut client)?)).into_bytes(),
        NAME => {
            let [len] = array(&mut client)?;
            client.take(len.into())?
        }
        _ => return client.finish(&reply(ADDRESS_UNKNOWN)),
    };
    let port = u16::from_be_bytes(array(&mut client)?);
    if command != CONNECT {
        return client.finish(&reply(COMMAND_UNKNOWN));
    }
    let code = match dial(client.session, &host, port) {
        Ok((_, server)) => {
            client.send(&reply(DONE))?;
            return relay(client, server, Vec::new(), Sending::Everything);
        }
        Err(DialError::Refused(_)) => NOT_ALLOWED,
        Err(DialError::NotFound(_)) => HOST_UNREACHABLE,
        Err(DialError::Unreachable(_)) => REFUSED,
        Err(DialError::Busy) => GENERAL_FAILURE,
        Err(DialError::Ended(end)) => return Err(end),
    };
    client.finish(&reply(code))
}

fn array<const N: usize>(client: &mut Conn<'_>) -> Result<[u8; N], ConnectionEnd> {
    Ok(client.take(N)?.try_into().expect("as many bytes as were asked for"))
}

/// The bound address is left empty, because clients do not need it.
fn reply(code: u8) -> [u8; 10] {
    [VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]
}
