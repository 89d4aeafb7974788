// SPDX-License-Identifier: MIT OR Apache-2.0
//! SOCKS5 (RFC 1928, with the password of RFC 1929) over our own socket. The connector of the HTTP client is not used: its
//! TCP connect cannot be cancelled, and it has one limit for both the wait for a reply and each read of its body, which
//! would end long executions. The proxy resolves the server's name.

use super::socket::{Socket, SocketConnector};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, Transport, TransportAdapter,
};
use ureq::{Error, Proxy, ProxyProtocol};

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Connects through a SOCKS proxy, if the configured proxy is one.
#[derive(Debug)]
pub(super) struct SocksConnector {
    pub(super) sockets: SocketConnector,
}

impl<In: Transport> Connector<In> for SocksConnector {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let socks = |proxy: &&Proxy| proxy.protocol() == ProxyProtocol::Socks5h;
        let Some(proxy) = details.config.proxy().filter(socks) else { return Ok(None) };
        let place = format!("http://{}:{}", proxy.host(), proxy.port());
        let place = place.parse().map_err(|_| Error::InvalidProxyUrl)?;
        let addresses = details.resolver.resolve(&place, details.config, details.timeout)?;
        let socket = self.sockets.open(&addresses, details)?;
        let mut socket = TransportAdapter::new(socket, details.current_time.clone());
        socket.set_timeout(details.timeout);
        let host = details.uri.host().unwrap_or_default();
        let default = if details.needs_tls() { 443 } else { 80 };
        let port = details.uri.port_u16().unwrap_or(default);
        greet(&mut socket, proxy.username(), proxy.password())
            .and_then(|()| ask(&mut socket, host.trim_matches(['[', ']']), port))
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    Error::ConnectProxyFailed("the proxy closed the connection".to_string())
                }
                io::ErrorKind::Other => Error::ConnectProxyFailed(error.to_string()),
                _ => Error::Io(error),
            })?;
        Ok(Some(Either::B(socket.into_inner())))
    }
}

fn greet(
    proxy: &mut (impl Read + Write),
    user: Option<&str>,
    password: Option<&str>,
) -> io::Result<()> {
    let named = user.is_some() || password.is_some();
    let offer: &[u8] = match named {
        true => &[VERSION, 2, NO_PASSWORD, PASSWORD],
        false => &[VERSION, 1, NO_PASSWORD],
    };
    send(proxy, offer)?;
    let [version, method] = receive(proxy)?;
    match method {
        _ if version != VERSION => Err(refused("the proxy does not speak SOCKS5")),
        NO_PASSWORD => Ok(()),
        PASSWORD if named => {
            let mut words = vec![PASSWORD_VERSION];
            push_short(&mut words, user.unwrap_or_default())?;
            push_short(&mut words, password.unwrap_or_default())?;
            send(proxy, &words)?;
            match receive(proxy)? {
                [_, 0] => Ok(()),
                [_, _] => Err(refused("the proxy refused user and password")),
            }
        }
        _ => Err(refused("the proxy needs authentication")),
    }
}

fn ask(proxy: &mut (impl Read + Write), host: &str, port: u16) -> io::Result<()> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(NAME);
            push_short(&mut request, host)?;
        }
    }
    request.extend(port.to_be_bytes());
    send(proxy, &request)?;
    let [version, reply, _, kind] = receive(proxy)?;
    if version != VERSION {
        return Err(refused("the proxy does not speak SOCKS5"));
    }
    if reply != 0 {
        return Err(refused(match reply {
            2 => "the proxy does not allow the connection",
            3 => "the proxy reports: network unreachable",
            4 => "the proxy reports: host unreachable",
            5 => "the proxy reports: connection refused by the host",
            6 => "the proxy reports: TTL expired",
            _ => "the proxy failed",
        }));
    }
    // The address that the proxy uses itself, which is not needed here.
    let rest = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => receive::<1>(proxy)?[0].into(),
        _ => return Err(refused("the proxy does not speak SOCKS5")),
    };
    let mut address = [0; 255 + 2];
    proxy.read_exact(&mut address[..rest + 2])
}

fn push_short(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let too_long = |_| refused("a name for the proxy is longer than 255 bytes");
    out.push(u8::try_from(text.len()).map_err(too_long)?);
    out.extend(text.bytes());
    Ok(())
}

fn send(proxy: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    proxy.write_all(bytes)?;
    proxy.flush()
}

fn receive<const N: usize>(proxy: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    proxy.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn refused(why: &str) -> io::Error {
    io::Error::other(why)
}
