// SPDX-License-Identifier: MIT OR Apache-2.0
//! The listening socket of the server: a TCP address, or a Unix socket that only its owner may open.

use crate::systemd;
use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::socket_acceptconn;
use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unsandbox_protocol::Error;

/// Room for a path in a socket address of Linux, without the final NUL.
const SOCKET_PATH_MAX_BYTES: usize = 107;

/// An address as a person writes it: `HOST:PORT`, `unix:PATH`, or `systemd` for a socket of a socket unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    Tcp(String),
    Unix(PathBuf),
    /// The socket that systemd passed on, with its name if there are several.
    Systemd(Option<String>),
}

impl Listen {
    /// Reads `127.0.0.1:8080`, `[::1]:8080`, `localhost:0` (any free port), `unix:/path`, `systemd` or `systemd:name`.
    /// With the last two the sockets that systemd passed on are taken from the environment.
    ///
    /// # Errors
    /// CONFIG, if it is none of these.
    pub fn parse(text: &str) -> Result<Listen, Error> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(Error::config("the address \"unix:\" has no path; give unix:PATH"));
            }
            return Ok(Listen::Unix(PathBuf::from(path)));
        }
        if text == "systemd" || text.starts_with("systemd:") {
            systemd::read();
            let name = text.strip_prefix("systemd:").filter(|name| !name.is_empty());
            return Ok(Listen::Systemd(name.map(str::to_string)));
        }
        let host = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        match host {
            Some((host, _)) if !host.is_empty() => Ok(Listen::Tcp(text.to_string())),
            _ => Err(Error::config(format!(
                "{text:?} is not an address to listen on; give HOST:PORT, as 127.0.0.1:8080, unix:PATH, or \
                 systemd"
            ))),
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Tcp(_, address) => write!(f, "http://{address}"),
            // Clients may be somewhere else, and take absolute paths only.
            Socket::Unix(_, file) => {
                let path = std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone());
                write!(f, "unix:{}", path.display())
            }
        }
    }
}

impl Socket {
    /// Another descriptor of the same socket.
    pub(crate) fn duplicate(&self) -> std::io::Result<OwnedFd> {
        match self {
            Socket::Tcp(listener, _) => listener.as_fd().try_clone_to_owned(),
            Socket::Unix(listener, _) => listener.as_fd().try_clone_to_owned(),
        }
    }
}

/// Binds. Without keys only sockets are allowed that users of this machine alone can reach.
pub(crate) fn bind(listen: &Listen, has_keys: bool) -> Result<Socket, Error> {
    match listen {
        Listen::Tcp(address) => bind_tcp(address, has_keys),
        Listen::Unix(path) => bind_unix(path),
        Listen::Systemd(name) => adopt(systemd::take(name.as_deref())?, listen, has_keys),
    }
}

/// Takes a socket that listens already: of systemd, or of the server that this one replaces. Without keys the rule is
/// that of [`bind`].
pub(crate) fn adopt(socket: OwnedFd, listen: &Listen, has_keys: bool) -> Result<Socket, Error> {
    let (own, shown) = match listen {
        Listen::Unix(path) => (Some(path.as_path()), format!("unix:{}", path.display())),
        Listen::Tcp(address) => (None, address.clone()),
        Listen::Systemd(None) => (None, "systemd".to_string()),
        Listen::Systemd(Some(name)) => (None, format!("systemd:{name}")),
    };
    let shown = shown.as_str();
    let socket = socket2::Socket::from(socket);
    let address = socket
        .local_addr()
        .map_err(|error| Error::config(format!("cannot listen on {shown}")).with_cause(error))?;
    if address.is_unix() {
        adopt_unix(OwnedFd::from(socket).into(), own, has_keys, shown)
    } else {
        adopt_tcp(OwnedFd::from(socket).into(), has_keys, shown)
    }
}

fn adopt_tcp(listener: TcpListener, has_keys: bool, shown: &str) -> Result<Socket, Error> {
    let failed = |error| Error::config(format!("cannot listen on {shown}")).with_cause(error);
    let address = listener.local_addr().map_err(failed)?;
    if !address.ip().is_loopback() && !has_keys {
        return Err(refuse_open(address));
    }
    refuse_silent(socket_acceptconn(&listener), shown)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Socket::Tcp(listener, address))
}

fn adopt_unix(
    listener: UnixListener,
    own: Option<&Path>,
    has_keys: bool,
    shown: &str,
) -> Result<Socket, Error> {
    let failed = |error| Error::config(format!("cannot listen on {shown}")).with_cause(error);
    refuse_silent(socket_acceptconn(&listener), shown)?;
    listener.set_nonblocking(true).map_err(failed)?;
    if let Some(path) = own {
        return Ok(Socket::Unix(listener, SocketFile::of(path).map_err(failed)?));
    }
    let address = listener.local_addr().map_err(failed)?;
    let Some(path) = address.as_pathname() else {
        return Err(Error::config(format!("{shown} is a Unix socket without a path; give it one")));
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 && !has_keys {
        return Err(Error::config(format!(
            "{} has the mode {:04o} and would let other users of this machine run code; give keys (--keys FILE or \
             UNSANDBOX_SERVE_KEYS), or set SocketMode=0600 in the socket unit",
            path.display(),
            mode & 0o7777
        )));
    }
    Ok(Socket::Unix(listener, SocketFile::of(path).map_err(failed)?.of_others()))
}

/// A socket unit with `Accept=yes` passes connections on.
fn refuse_silent(listens: rustix::io::Result<bool>, shown: &str) -> Result<(), Error> {
    match listens {
        Ok(true) => Ok(()),
        _ => Err(Error::config(format!(
            "{shown} is not a socket that listens; a socket unit needs Accept=no and ListenStream="
        ))),
    }
}

/// The error about an address that others can reach, without keys.
fn refuse_open(open: SocketAddr) -> Error {
    Error::config(format!(
        "listening on {open} would let anyone who reaches it run code; give keys (--keys FILE or \
         UNSANDBOX_SERVE_KEYS), or listen on 127.0.0.1 or unix:PATH"
    ))
}

fn bind_tcp(text: &str, has_keys: bool) -> Result<Socket, Error> {
    let addresses: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| {
            Error::config(format!("cannot resolve {text:?} to listen on")).with_cause(error)
        })?
        .collect();
    // A name may have several addresses; none of them may be reachable by others.
    if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback())
        && !has_keys
    {
        return Err(refuse_open(*open));
    }
    let listener = addresses
        .iter()
        .map(|address| listen_tcp(*address))
        .reduce(|first, next| first.or(next))
        .unwrap_or_else(|| Err(std::io::ErrorKind::AddrNotAvailable.into()))
        .map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => "; choose another port, or 0 for a free one",
                std::io::ErrorKind::PermissionDenied => "; ports below 1024 are for root",
                _ => "",
            };
            Error::config(format!("cannot listen on {text}{hint}")).with_cause(error)
        })?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::config(format!("cannot listen on {text}")).with_cause(error))?;
    Ok(Socket::Tcp(listener, address))
}

/// Listens like the standard library, but with a longer queue: beyond its 128 waiting connections the first packet
/// of a client is dropped, and sent again a second later.
fn listen_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> Result<Socket, Error> {
    let failed = |error: std::io::Error| {
        let why = if parent(path).is_dir() { "" } else { ": its directory does not exist" };
        Error::config(format!("cannot listen on unix:{}{why}", path.display())).with_cause(error)
    };
    // Held from the check to the rename: two servers that start at the same time cannot both pass the check.
    let _lock = lock_directory(path);
    refuse_existing(path)?;
    // The socket gets its mode inside a directory that only this user can enter, and is then moved to its place:
    // another user can connect at no moment, and a stale socket is replaced in one step.
    let staging_directory = PrivateDirectory::beside(path).map_err(failed)?;
    let made = staging_directory.path.join("s");
    let longest = made.as_os_str().len().max(path.as_os_str().len());
    if longest > SOCKET_PATH_MAX_BYTES {
        return Err(Error::config(format!(
            "the socket path {} is too long: a path of {longest} bytes is necessary to listen there, the limit is \
             {SOCKET_PATH_MAX_BYTES}; choose a shorter one",
            path.display()
        )));
    }
    let listener = UnixListener::bind(&made).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let metadata = fs::symlink_metadata(&made).map_err(failed)?;
    fs::rename(&made, path).map_err(failed)?;
    let file = SocketFile { path: path.to_path_buf(), identity: (metadata.dev(), metadata.ino()) };
    Ok(Socket::Unix(listener, file))
}

/// How long another server may hold the lock; one that is starting releases it sooner.
const LOCK_TIME: Duration = Duration::from_secs(3);

/// Locks the directory of a socket against other servers that start. Safety does not depend on it, so the wait is
/// bounded: anyone who may read the directory could hold the lock.
fn lock_directory(path: &Path) -> Option<fs::File> {
    let directory = fs::File::open(parent(path)).ok()?;
    let until = Instant::now() + LOCK_TIME;
    while flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(directory)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuses to replace anything but a socket without a listener.
fn refuse_existing(path: &Path) -> Result<(), Error> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let shown = path.display();
    if !metadata.file_type().is_socket() {
        return Err(Error::config(format!(
            "{shown} exists and is not a socket; remove it or choose another path"
        )));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        Ok(_) => Err(Error::config(format!("another server already listens on unix:{shown}"))),
        Err(error) => Err(Error::config(format!(
            "cannot tell whether a server still listens on unix:{shown}"
        ))
        .with_cause(error)),
    }
}

/// A directory of mode 0700, removed when this value is dropped.
struct PrivateDirectory {
    path: PathBuf,
}

impl PrivateDirectory {
    fn beside(path: &Path) -> std::io::Result<PrivateDirectory> {
        let mut random = [0u8; 4];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let staging_directory = parent(path).join(format!(".{:08x}", u32::from_ne_bytes(random)));
        fs::DirBuilder::new().mode(0o700).create(&staging_directory)?;
        Ok(PrivateDirectory { path: staging_directory })
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // Empty after the move; after a failure it may still contain the socket.
        let _ = fs::remove_file(self.path.join("s"));
        let _ = fs::remove_dir(&self.path);
    }
}

/// The file of this server's socket. Removed at the end, unless another server has replaced it or goes on with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// The file that is at this path now.
    fn of(path: &Path) -> std::io::Result<SocketFile> {
        let metadata = fs::symlink_metadata(path)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(SocketFile { path: path.to_path_buf(), identity })
    }

    /// A file that somebody else removes.
    fn of_others(mut self) -> SocketFile {
        self.identity = NO_FILE;
        self
    }

    /// Leaves the file where it is.
    pub(crate) fn leave(self) {
        drop(self.of_others());
    }
}

/// No file has it.
const NO_FILE: (u64, u64) = (u64::MAX, u64::MAX);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unsandbox_protocol::ErrorCode;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("us-listen-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn addresses_are_read_or_refused_with_the_two_forms() {
        assert_eq!(Listen::parse("127.0.0.1:0").unwrap(), Listen::Tcp("127.0.0.1:0".to_string()));
        assert_eq!(Listen::parse("unix:/a/b").unwrap(), Listen::Unix("/a/b".into()));
        assert_eq!(Listen::parse("unix:///a/b").unwrap(), Listen::Unix("/a/b".into()));
        for wrong in ["", "8080", ":8080", "localhost", "localhost:http", "a:70000", "unix:"] {
            let error = Listen::parse(wrong).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config, "{wrong}");
            assert!(error.message().contains("unix:"), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_open_address_needs_keys() {
        for open in ["0.0.0.0:0", "[::]:0"] {
            let error = bind(&Listen::parse(open).unwrap(), false).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.message().contains("--keys"), "{error}");
        }
        bind(&Listen::parse("0.0.0.0:0").unwrap(), true).unwrap();
        bind(&Listen::parse("localhost:0").unwrap(), false).unwrap();
    }

    #[test]
    fn a_socket_is_private_replaces_a_stale_one_and_is_removed() {
        let dir = scratch("unix");
        let listen = Listen::Unix(dir.join("sock"));
        let first = bind(&listen, false).unwrap();
        let mode = fs::metadata(dir.join("sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = bind(&listen, false).unwrap_err();
        assert!(error.message().contains("already listens"), "{error}");
        // A killed server leaves its file: the listener is gone, the name is not.
        let Socket::Unix(listener, file) = first else { panic!("a Unix socket") };
        std::mem::forget(file);
        drop(listener);
        assert!(dir.join("sock").exists());
        let second = bind(&listen, false).unwrap();
        UnixStream::connect(dir.join("sock")).unwrap();
        drop(second);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing is left behind");
        fs::remove_dir(dir).unwrap();
    }

    #[test]
    fn only_one_of_several_servers_that_start_at_once_listens() {
        let dir = scratch("race");
        let listen = Listen::Unix(dir.join("sock"));
        let bound: Vec<Result<Socket, Error>> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| bind(&listen, false))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1);
        drop(bound);
        fs::remove_dir(dir).unwrap();
    }

    #[test]
    fn a_file_that_is_not_a_socket_is_never_replaced() {
        let dir = scratch("file");
        fs::write(dir.join("precious"), "data").unwrap();
        let error = bind(&Listen::Unix(dir.join("precious")), false).unwrap_err();
        assert!(error.message().contains("not a socket"), "{error}");
        assert_eq!(fs::read(dir.join("precious")).unwrap(), b"data");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_file_of_another_server_is_not_removed() {
        let dir = scratch("other");
        let listen = Listen::Unix(dir.join("sock"));
        let first = bind(&listen, false).unwrap();
        fs::remove_file(dir.join("sock")).unwrap();
        let _second = bind(&listen, false).unwrap();
        drop(first);
        assert!(dir.join("sock").exists());
        drop(_second);
        fs::remove_dir(dir).unwrap();
    }
}
