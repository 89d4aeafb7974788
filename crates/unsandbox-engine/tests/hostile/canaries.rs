// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host has for hostile programs to find: secrets, files, listeners, a bystander. Each is
//! compared with what it was, so that a program that gets at one is seen from outside.

use crate::common::within;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, Permissions};
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The variable of this process that holds what no output may contain.
pub const SECRET: &str = "HOSTILE_SECRET";
/// What programs name when they try to leave something behind.
pub const LEFT: &str = "hostile-left";
/// The key of the System V objects that they leave.
const KEY: u32 = 0x0048_4f53;

pub struct Canaries {
    pub secret: String,
    pub folder: PathBuf,
    bystander: Child,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    unix: Vec<UnixListener>,
    abstract_name: String,
    /// Open without close-on-exec, as a careless host would have it.
    _careless: File,
    before: Vec<String>,
}

impl Canaries {
    /// Puts them below `folder`, which is this process's own.
    pub fn put(folder: &Path) -> Canaries {
        let secret = std::env::var(SECRET).expect("the suite gives one");
        let folder = folder.join("canary");
        let make = |name: &str, mode| {
            fs::create_dir_all(folder.join(name)).expect("the folder is ours");
            fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).expect("ours");
        };
        let write = |name: &str, mode| {
            fs::write(folder.join(name), format!("{secret}\n")).expect("the folder is ours");
            fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).expect("ours");
        };
        let folders = [("", 0o755), ("folder", 0o777), ("empty", 0o777), ("shown", 0o755)];
        folders.iter().for_each(|(name, mode)| make(name, *mode));
        let files = [("secret", 0o644), ("open", 0o666), ("folder/file", 0o666)];
        files.iter().for_each(|(name, mode)| write(name, *mode));
        let bash = fs::read("/bin/bash").expect("bash is here");
        crate::common::write_program(&folder.join("shown/bash"), &bash, 0o755);
        let careless = File::open(folder.join("secret")).expect("just written");
        rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).expect("it is open");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
        let port = tcp.local_addr().expect("it is bound").port();
        // The other families have the same port where they can.
        let mut tcp = vec![tcp];
        tcp.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)));
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).into_iter();
        let udp = udp.chain(UdpSocket::bind((Ipv6Addr::LOCALHOST, port))).collect::<Vec<_>>();
        let abstract_name = format!("unsandbox-hostile-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("it is short");
        let unix = vec![
            UnixListener::bind(folder.join("socket")).expect("the folder is ours"),
            UnixListener::bind_addr(&address).expect("the name is new"),
        ];
        fs::set_permissions(folder.join("socket"), Permissions::from_mode(0o777)).expect("ours");
        tcp.iter().for_each(|one| one.set_nonblocking(true).expect("a socket"));
        udp.iter().for_each(|one| one.set_nonblocking(true).expect("a socket"));
        unix.iter().for_each(|one| one.set_nonblocking(true).expect("a socket"));
        let bystander = Command::new("sleep").arg("100000").spawn().expect("sleep is here");
        let mut canaries = Canaries {
            secret,
            folder,
            bystander,
            tcp,
            udp,
            unix,
            abstract_name,
            _careless: careless,
            before: Vec::new(),
        };
        // On a busy machine it may not have come to its sleep yet.
        let is_asleep = || canaries.facts().iter().any(|fact| fact.starts_with("bystander [\"S\""));
        within(Duration::from_secs(10), is_asleep);
        canaries.before = canaries.facts();
        canaries
    }

    pub fn bystander(&self) -> u32 {
        self.bystander.id()
    }

    /// Where they are, for the environment of the programs.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let port = self.tcp[0].local_addr().expect("it is bound").port();
        vec![
            ("CANARY_DIR", self.folder.to_string_lossy().into_owned()),
            ("CANARY_PORT", port.to_string()),
            ("CANARY_ABSTRACT", self.abstract_name.clone()),
            ("CANARY_PID", self.bystander.id().to_string()),
            ("CANARY_HOST", std::process::id().to_string()),
            ("CANARY_KEY", KEY.to_string()),
        ]
    }

    /// What is no more as it was (I3, I4, I7), and then is the new state.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let now = self.facts();
        if now != self.before {
            let gone =
                self.before.iter().filter(|fact| !now.contains(fact)).map(|f| format!("-{f}"));
            let new =
                now.iter().filter(|fact| !self.before.contains(fact)).map(|f| format!("+{f}"));
            wrong.push(format!(
                "I3 the host changed: {}",
                gone.chain(new).collect::<Vec<_>>().join(" ")
            ));
            self.before = now;
        }
        let mut byte = [0; 16];
        let heard = self.tcp.iter().filter(|one| one.accept().is_ok()).count()
            + self.unix.iter().filter(|one| one.accept().is_ok()).count()
            + self.udp.iter().filter(|one| one.recv(&mut byte).is_ok()).count();
        if heard > 0 {
            wrong.push(format!("I4 {heard} canary listeners were reached"));
        }
        wrong.extend(left_behind().into_iter().map(|what| format!("I7 {what} is left")));
        wrong
    }

    /// Everything of the host that programs try to change, as text.
    fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        walk(&self.folder, &mut facts);
        let proc = PathBuf::from(format!("/proc/{}", self.bystander.id()));
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|_| "gone".to_string());
        let stat = read(&proc.join("stat"));
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        // State, priority, nice value, scheduling policy; a sleeper's others do not matter.
        let chosen = [0, 15, 16, 38].map(|index| fields.get(index).copied().unwrap_or("gone"));
        facts.push(format!("bystander {chosen:?}"));
        facts.push(format!("its limits {:x}", hash(read(&proc.join("limits")).as_bytes())));
        let status = read(&proc.join("status"));
        facts.extend(
            status.lines().find(|line| line.starts_with("Cpus_allowed:")).map(str::to_string),
        );
        // Nobody sets these, and reading and writing leaves both times as they are, but for terminals'.
        for device in ["null", "zero", "full", "random", "urandom"] {
            let Ok(found) = fs::metadata(Path::new("/dev").join(device)) else { continue };
            let (mode, times) = (found.mode(), [found.mtime_nsec(), found.ctime_nsec()]);
            facts.push(format!("device {device} {mode:o} {} {times:?}", found.uid()));
        }
        // Others of the machine may mount what they like; what the jailer mounts has these names.
        let mounts = read(Path::new("/proc/self/mountinfo"));
        let ours = |line: &&str| line.contains(" - tmpfs root ") || line.contains(" - tmpfs tmp ");
        facts.extend(mounts.lines().filter(ours).map(str::to_string));
        for machine in [
            "/proc/self/limits",
            "/proc/sys/kernel/hostname",
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/randomize_va_space",
            "/etc/passwd",
        ] {
            facts.push(format!("{machine} {:x}", hash(read(Path::new(machine)).as_bytes())));
        }
        facts
    }
}

impl Drop for Canaries {
    fn drop(&mut self) {
        let _ = self.bystander.kill();
        let _ = self.bystander.wait();
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn walk(path: &Path, facts: &mut Vec<String>) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    let content = if found.is_file() { fs::read(path).map_or(0, |bytes| hash(&bytes)) } else { 0 };
    let mut names = [0u8; 1024];
    let attributes = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let (mode, owner, links, time) = (found.mode(), found.uid(), found.nlink(), found.mtime_nsec());
    let path_shown = path.display();
    facts.push(format!("{path_shown} {mode:o} {owner} {links} {time} {content:x} {attributes}"));
    if found.is_dir() {
        let mut below: Vec<PathBuf> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        below.sort();
        below.iter().for_each(|path| walk(path, facts));
    }
}

/// What programs have left on the machine under the names and keys that they use. It is removed, so
/// that the next program is not blamed for it.
fn left_behind() -> Vec<String> {
    let mut found = Vec::new();
    for folder in
        ["/", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/lock", "/usr", "/etc"]
    {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(LEFT) {
                found.push(entry.path().display().to_string());
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
    }
    for (kind, option) in [("shm", "-M"), ("sem", "-S"), ("msg", "-Q")] {
        let text = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        if text.lines().any(|line| line.split_whitespace().next() == Some(&KEY.to_string())) {
            found.push(format!("a System V {kind}"));
            let _ = Command::new("ipcrm").args([option, &KEY.to_string()]).status();
        }
    }
    if fs::read_to_string("/proc/keys").is_ok_and(|keys| keys.contains(LEFT)) {
        found.push("a key".to_string());
    }
    found
}

/// Descriptors that this process has open.
pub fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}
