// SPDX-License-Identifier: MIT OR Apache-2.0
//! Overload over TLS: many connections of each hostile kind, while others ask with new connections, over both versions
//! of HTTP. `make soak` has the long form, with 10,000 of each. Each answer comes within the bound,
//! beyond the delay of the machine: the time of a server without a flood at the same moment, and the time for which the
//! threads of the servers had no processor. On a machine that is that slow itself, it comes within twice its delay.

#[path = "support/http2.rs"]
mod http2;
mod support;

use http2::{
    CONTINUATION, END_HEADERS, END_STREAM, GET_HEALTH, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS, frame,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use support::{Running, TEST_TIMEOUT, execute_body, keyed, request, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use unsandbox_server::{ServerOptions, Tls};

/// Connections of each kind, unless UNSANDBOX_OVERLOAD_CONNECTIONS says how many.
const CONNECTIONS: usize = 1_000;
/// Connections for each place of the server, in tenths: 10,000 at one with its default of places.
const EACH_PLACE_TENTHS: usize = 25;
/// Within this a client is answered, whatever others do.
const BOUND: Duration = Duration::from_secs(1);
/// Questions after the last of the connections is open.
const LAST_ASKS: usize = 5;
/// Addresses of a flood, each of which is a party.
const ADDRESSES: usize = 100;
/// Connections that are opened at once: one in so many.
const OPENERS_PART: usize = 20;

/// What each connection of a flood does.
struct Flood {
    name: &'static str,
    /// It finishes its TLS handshake before it sends anything.
    encrypted: bool,
    /// Sent once.
    once: Vec<u8>,
    /// It is closed at once.
    ends: bool,
}

impl Flood {
    fn raw(name: &'static str, once: Vec<u8>) -> Flood {
        Flood { name, encrypted: false, once, ends: false }
    }

    fn encrypted(name: &'static str, once: Vec<u8>) -> Flood {
        Flood { encrypted: true, ..Flood::raw(name, once) }
    }
}

fn connections() -> usize {
    let asked = std::env::var("UNSANDBOX_OVERLOAD_CONNECTIONS").ok();
    asked.map_or(CONNECTIONS, |count| count.parse().expect("a number"))
}

/// A server with TLS.
struct Encrypted {
    _server: Running,
    address: SocketAddr,
    certificate: String,
}

fn encrypted() -> Encrypted {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = Some(Arc::new(Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()));
    let server = start(ServerOptions {
        tls,
        connections: connections() * 10 / EACH_PLACE_TENTHS,
        ..keyed("flood,good")
    });
    let address = server.address.strip_prefix("https://").unwrap().parse().unwrap();
    Encrypted { _server: server, address, certificate }
}

type Tunnel = tokio_rustls::client::TlsStream<TcpStream>;

impl Encrypted {
    fn connector(&self, protocol: &[u8]) -> TlsConnector {
        http2::trusting(&self.certificate, &[protocol]).into()
    }

    /// How long a new client takes until its program has run.
    async fn ask(&self, protocol: &[u8]) -> Duration {
        let began = Instant::now();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut stream = handshake(&self.connector(protocol), stream).await.unwrap();
        let output = if protocol == b"h2" {
            let mut connection = http2::handshake(stream, None).await;
            connection.scheme = "https";
            connection.execute("authorization: Bearer good", "heard").await.text("stdout")
        } else {
            let body = execute_body("heard");
            let headers = "Authorization: Bearer good\r\n";
            let bytes = request("localhost", "POST", "/execute", headers, body.as_bytes());
            stream.write_all(&bytes).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            let (_, body) = reply.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            body["stdout"].as_str().unwrap().to_string()
        };
        assert_eq!(output, "heard");
        began.elapsed()
    }
}

async fn handshake(connector: &TlsConnector, stream: TcpStream) -> io::Result<Tunnel> {
    connector.connect("localhost".try_into().unwrap(), stream).await
}

/// Opens connections of a flood until it is dropped, from a hundred addresses, and keeps the last of them.
async fn open(flood: Arc<Flood>, target: Arc<Encrypted>, opened: Arc<AtomicUsize>) {
    let connector = target.connector(b"h2");
    let mut kept = VecDeque::new();
    loop {
        let number = opened.fetch_add(1, Ordering::SeqCst);
        let from = Ipv4Addr::new(127, 0, 1, (number % ADDRESSES) as u8);
        let connected = connect(&flood, &target, &connector, from).await;
        let Ok(task) = connected else { continue };
        kept.push_back(task);
        if kept.len() > OPENERS_PART
            && let Some(task) = kept.pop_front()
        {
            task.abort();
        }
    }
}

async fn connect(
    flood: &Arc<Flood>,
    target: &Encrypted,
    connector: &TlsConnector,
    from: Ipv4Addr,
) -> io::Result<JoinHandle<()>> {
    let socket = TcpSocket::new_v4()?;
    // A port is free again when its connection has ended at both ends.
    socket.bind((from, 0).into())?;
    let mut stream = socket.connect(target.address).await?;
    if flood.encrypted {
        let stream = handshake(connector, stream).await?;
        return Ok(tokio::spawn(act(stream, flood.clone())));
    }
    stream.write_all(&flood.once).await?;
    Ok(tokio::spawn(async move {
        let _kept = stream;
        std::future::pending().await
    }))
}

/// Keeps a connection whose handshake is done.
async fn act(mut stream: Tunnel, flood: Arc<Flood>) {
    if stream.write_all(&flood.once).await.is_ok() && !flood.ends {
        std::future::pending().await
    }
}

/// Both ends of the connections are in this process.
fn has_descriptors() -> bool {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let is_enough = descriptors >= 2 * connections() as u64;
    if !is_enough {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        let line = format!("\nskipped: {test}: only {descriptors} open files are allowed\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
    is_enough
}

/// One flood at a time.
static FLOODS: Mutex<()> = Mutex::new(());

fn delay_no_other_client(floods: Vec<Flood>) {
    let _alone = FLOODS.lock().unwrap_or_else(PoisonError::into_inner);
    if has_descriptors() {
        floods.into_iter().for_each(delays_no_other_client);
    }
}

/// How long each thread of the servers has waited for a processor, by its id.
fn waits_for_processor() -> HashMap<OsString, Duration> {
    let threads = fs::read_dir("/proc/self/task").unwrap().filter_map(|it| {
        let it = it.ok()?;
        let name = fs::read_to_string(it.path().join("comm")).ok()?;
        let times = fs::read_to_string(it.path().join("schedstat")).ok()?;
        let nanoseconds = times.split(' ').nth(1)?.parse().ok()?;
        (name.trim() == "unsandbox-http")
            .then(|| (it.file_name(), Duration::from_nanos(nanoseconds)))
    });
    threads.collect()
}

fn longest_wait_since(before: &HashMap<OsString, Duration>) -> Duration {
    let now = waits_for_processor();
    let waits = now.iter().filter_map(|(thread, wait)| Some(*wait - *before.get(thread)?));
    waits.max().unwrap_or_default()
}

fn delays_no_other_client(flood: Flood) {
    let (name, target, calm) = (flood.name, Arc::new(encrypted()), encrypted());
    let (flood, opened) = (Arc::new(flood), Arc::<AtomicUsize>::default());
    let flooding = http2::runtime();
    let openers = connections() / OPENERS_PART;
    for _ in 0..openers {
        flooding.spawn(open(flood.clone(), target.clone(), opened.clone()));
    }
    let asking = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let until = Instant::now() + 10 * TEST_TIMEOUT;
    let (mut last_asks, mut longest) = (0, Duration::ZERO);
    while last_asks < LAST_ASKS {
        assert!(Instant::now() < until, "{name}: {opened:?} connections");
        last_asks += usize::from(opened.load(Ordering::SeqCst) > connections() + openers);
        for protocol in [b"h2".as_slice(), b"http/1.1"] {
            let waited = waits_for_processor();
            let both = async { tokio::join!(target.ask(protocol), calm.ask(protocol)) };
            let (took, calm) = asking.block_on(both);
            let machine = calm + longest_wait_since(&waited);
            longest = longest.max(took);
            let version = String::from_utf8_lossy(protocol);
            assert!(
                took < machine + BOUND.max(machine),
                "{name}: {version} took {took:?}, the machine {machine:?}"
            );
        }
    }
    println!("{name}: an answer took {longest:?} at most");
    flooding.shutdown_background();
}

/// The first bytes of a client's handshake.
fn client_hello() -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let config = http2::trusting(&made.cert.pem(), &[b"h2"]);
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn handshakes_that_do_not_end_delay_no_other_client() {
    let hello = client_hello();
    delay_no_other_client(vec![
        Flood::raw("silence", Vec::new()),
        Flood::raw("half of a first message", hello[..hello.len() / 2].to_vec()),
        Flood::raw("a first message", hello),
    ]);
}

#[test]
fn handshakes_without_a_request_delay_no_other_client() {
    delay_no_other_client(vec![
        Flood::encrypted("silence after the handshake", Vec::new()),
        Flood::encrypted("a beginning of HTTP/2 without streams", preface()),
        Flood { ends: true, ..Flood::encrypted("handshakes one after the other", Vec::new()) },
    ]);
}

/// The beginning of HTTP/2.
fn preface() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()
}

/// The head of a request with the key of the flood, in HPACK without entries of its table.
fn head(method: u8, path: &str) -> Vec<u8> {
    let fields = [&[method, 0x87, 0x04, path.len() as u8], path.as_bytes(), http2::HOST];
    let key = b"Bearer flood";
    [&fields.concat(), b"\x0f\x08".as_slice(), &[key.len() as u8], key].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;
const STREAMS: u32 = 90;

/// Heads that refer 16,000 times to one field of 4,000 bytes.
fn header_bomb() -> Vec<u8> {
    let mut bytes = preface();
    for number in 0..STREAMS {
        // A literal with an entry in the table, its length 3,900 in the integers of HPACK, and many references to it.
        let mut head = head(GET, "/health");
        if number == 0 {
            head.extend([b"\x40\x01a\x7f\xbd\x1d".as_slice(), &[b'x'; 3900]].concat());
        }
        head.resize(16_000, 0xbe);
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &head));
    }
    bytes
}

/// Requests whose bodies do not come.
fn streams_without_bodies() -> Vec<u8> {
    let mut bytes = preface();
    for number in 0..STREAMS {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &head(POST, "/execute")));
    }
    bytes
}

#[test]
fn frames_without_end_delay_no_other_client() {
    let mut resets = preface();
    for number in 0..2000u32 {
        let id = 2 * number + 1;
        resets.extend(frame(HEADERS, END_STREAM | END_HEADERS, id, GET_HEALTH));
        resets.extend(frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
    }
    let field = [b"\x00\x01a\x7f\x00".as_slice(), &[b'x'; 127]].concat();
    let mut endless = [preface(), frame(HEADERS, END_STREAM, 1, GET_HEALTH)].concat();
    endless.extend(frame(CONTINUATION, 0, 1, &field).repeat(5000));
    delay_no_other_client(vec![
        Flood::encrypted("resets", resets),
        Flood::encrypted("a head without end", endless),
        Flood::encrypted("heads that grow", header_bomb()),
    ]);
}

#[test]
fn frames_that_ask_for_little_delay_no_other_client() {
    let pings = frame(PING, 0, 0, b"12345678").repeat(5000);
    let settings = frame(SETTINGS, 0, 0, b"").repeat(5000);
    delay_no_other_client(vec![
        Flood::encrypted("streams without bodies", streams_without_bodies()),
        Flood::encrypted("pings", [preface(), pings].concat()),
        Flood::encrypted("settings", [preface(), settings].concat()),
    ]);
}
