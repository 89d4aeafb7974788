// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root that jails see, built once per set of shown paths and kept as a mount namespace. A jail
//! gets a copy of it by being cloned from inside it, so that a run itself mounts only /proc and /tmp.

use crate::sys::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use rustix::mount::MountFlags;
use std::ffi::CStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;
use unsandbox_jailer::SYSTEM;

/// The one user and group of a jail.
pub const JAIL_ID: u32 = 1000;

/// The parts of /etc that runtimes read and that say nothing about the host. Paths that a single language needs are in
/// its recipe's `show`.
const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/services",
    "/etc/protocols",
    "/etc/mime.types",
    "/etc/fonts",
    "/etc/magic",
    "/etc/terminfo",
    "/etc/os-release",
];

/// Paths of the host that every jail shows.
pub fn shown_always() -> impl Iterator<Item = &'static str> {
    SYSTEM.iter().chain(ETC).copied()
}

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

const WRITTEN: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n\
         sandbox:x:1000:1000:sandbox:/tmp/home:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
    ("etc/hostname", "sandbox\n"),
    // No name server can be reached. Without `dns` a name is unknown at once and for good, so that programs do not try
    // again; a C library that does not read this file waits for a second.
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("etc/resolv.conf", "options timeout:1 attempts:1\n"),
    ("etc/machine-id", "00000000000000000000000000000000\n"),
    ("etc/timezone", "Etc/UTC\n"),
    ("dev/.nothing", ""),
];

/// An empty file in every root, mounted over files that are to be hidden.
pub const NOTHING: &CStr = c"/dev/.nothing";

const LINKS: &[(&str, &str)] = &[
    ("pts/ptmx", "dev/ptmx"),
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("/tmp/.shm", "dev/shm"),
    ("/proc/self/mounts", "etc/mtab"),
];

/// Device and inode of each path of the host that a root shows, in order; `None` for a path that does not exist. An inode
/// number is not used again while a root shows its file.
pub type Sources = Vec<Option<(u64, u64)>>;

pub fn sources(show: &[String]) -> Sources {
    let identity = |path: &str| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let standard = shown_always().map(identity);
    standard.chain(show.iter().map(|path| identity(path))).collect()
}

/// Builds a root with the system and `show` in it, and returns a descriptor of its mount namespace.
pub fn build(show: &[String]) -> Result<OwnedFd, (String, io::Error)> {
    let nowhere = |error| ("mount namespace".to_string(), error);
    let (mut report, mut builder_end) = io::pipe().map_err(nowhere)?;
    let (mut hold_reader, hold) = io::pipe().map_err(nowhere)?;
    let Some(pid) = sys::fork_with(libc::CLONE_NEWNS).map_err(nowhere)? else {
        drop((report, hold));
        let line = match assemble(show) {
            Ok(()) => String::new(),
            Err((step, error)) => format!("{}\n{step}", error.raw_os_error().unwrap_or(0)),
        };
        let _ = builder_end.write_all(line.as_bytes());
        drop(builder_end);
        // Lives until the parent has opened the namespace.
        let _ = hold_reader.read(&mut [0u8]);
        sys::exit_now(0);
    };
    drop((builder_end, hold_reader));
    let mut trouble = String::new();
    report.read_to_string(&mut trouble).map_err(nowhere)?;
    let namespace = fs::File::open(format!("/proc/{pid}/ns/mnt"));
    drop(hold);
    // The builder is reaped with the other children.
    match trouble.split_once('\n') {
        Some((errno, step)) => {
            Err((step.to_string(), io::Error::from_raw_os_error(errno.parse().unwrap_or(0))))
        }
        None => namespace.map(OwnedFd::from).map_err(nowhere),
    }
}

struct Bind {
    /// The path of the host.
    source: String,
    /// Its path in the new root, without the leading slash.
    place: String,
    tree: OwnedFd,
    is_directory: bool,
    /// Whether a shown tree above it may contain it already; not so for devices and /proc.
    may_be_covered: bool,
}

/// Paths below /tmp are mounted here first, because each run mounts its own /tmp. The init then binds them to their
/// places.
pub const STAGED: &str = "/shown";

/// Paths below /tmp, with where each is staged.
pub fn staged(show: &[String]) -> impl Iterator<Item = (String, &String)> {
    let below = show.iter().filter(|path| path.starts_with("/tmp/"));
    below.enumerate().map(|(index, path)| (format!("{STAGED}/{index}"), path))
}

fn assemble(show: &[String]) -> Result<(), (String, io::Error)> {
    fn at<'a>(step: &'a str) -> impl FnOnce(io::Error) -> (String, io::Error) + 'a {
        move |error| (step.to_string(), error)
    }
    sys::set_umask(0o022);
    // Sources are opened before the new root covers a directory of the host.
    let binds = collect_binds(show)?;
    let links = system_links();
    let options = MountFlags::NOSUID | MountFlags::NODEV;
    let data = c"mode=0755,size=1m,nr_inodes=4096";
    let cover = [c"/tmp", c"/mnt", c"/run", c"/var", c"/home"]
        .into_iter()
        .find(|cover| sys::mount(c"root", cover, c"tmpfs", options, data).is_ok());
    let Some(cover) = cover else {
        return Err(("mount a tmpfs".to_string(), io::Error::last_os_error()));
    };
    std::env::set_current_dir(cover.to_str().expect("a constant")).map_err(at("enter the root"))?;
    create_layout(&links).map_err(at("create the directories of the root"))?;
    for bind in binds {
        let step = format!("show {}", bind.source);
        attach(&bind).map_err(at(&step))?;
    }
    sys::pivot_root_here().map_err(at("pivot_root"))?;
    sys::umount_lazily(c".").map_err(at("unmount the old root"))?;
    std::env::set_current_dir("/").map_err(at("enter the root"))?;
    sys::mount_setattr(None, c"/", MOUNT_ATTR_RDONLY).map_err(at("make the root read-only"))
}

/// Detached copies of every shown tree, parents before their children.
fn collect_binds(show: &[String]) -> Result<Vec<Bind>, (String, io::Error)> {
    let shown = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    let devices: Vec<String> = DEVICES.iter().map(|name| format!("/dev/{name}")).collect();
    let mut wanted: Vec<(&str, u64)> = Vec::new();
    let links = SYSTEM.iter().filter(|path| !Path::new(path).is_symlink());
    wanted.extend(links.map(|path| (*path, shown)));
    wanted.extend(ETC.iter().map(|path| (*path, shown | MOUNT_ATTR_NOEXEC)));
    // A read-only device node can still be written to; only the host's node itself is protected.
    let node = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    wanted.extend(devices.iter().map(|path| (path.as_str(), node)));
    wanted.extend(show.iter().map(|path| (path.as_str(), shown)));
    wanted.retain(|(path, _)| Path::new(path).exists());
    wanted.sort();
    wanted.dedup_by_key(|(path, _)| *path);
    // The kernel allows a new procfs only where one is visible; the init mounts its own over it.
    wanted.push(("/proc", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    wanted.into_iter().map(|(path, attributes)| open_bind(path, attributes, show)).collect()
}

fn open_bind(path: &str, attributes: u64, show: &[String]) -> Result<Bind, (String, io::Error)> {
    let trouble = |error| (format!("show {path}"), error);
    let tree = sys::open_tree(&sys::c_string(path).map_err(trouble)?).map_err(trouble)?;
    sys::mount_setattr(Some(tree.as_fd()), c"", attributes).map_err(trouble)?;
    let staged = staged(show).find(|(_, of)| *of == path).map(|(place, _)| place);
    Ok(Bind {
        source: path.to_string(),
        place: staged.as_deref().unwrap_or(path).trim_start_matches('/').to_string(),
        tree,
        is_directory: fs::metadata(path).is_ok_and(|found| found.is_dir()),
        may_be_covered: attributes & MOUNT_ATTR_NODEV != 0 && path != "/proc",
    })
}

/// `/bin -> usr/bin` and the like, as the host has them.
fn system_links() -> Vec<(String, String)> {
    SYSTEM
        .iter()
        .filter_map(|path| {
            let target = fs::read_link(path).ok()?;
            Some((target.to_str()?.to_string(), path.trim_start_matches('/').to_string()))
        })
        .collect()
}

/// Makes the directories, links and small files of the new root, which is the current directory.
fn create_layout(system_links: &[(String, String)]) -> io::Result<()> {
    let fixed = LINKS.iter().map(|(target, name)| (target.to_string(), name.to_string()));
    for directory in ["dev", "dev/pts", "etc", "proc", "tmp"] {
        directory_at(Path::new(directory))?;
    }
    for (target, name) in fixed.chain(system_links.iter().cloned()) {
        symlink(target, name)?;
    }
    for (name, content) in WRITTEN {
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(name)?
            .write_all(content.as_bytes())?;
    }
    Ok(())
}

fn directory_at(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Attaches a tree to the root, unless it is visible there already.
fn attach(bind: &Bind) -> io::Result<()> {
    let place = Path::new(&bind.place);
    if bind.may_be_covered && place.exists() {
        return Ok(());
    }
    place_for(place, bind.is_directory)?;
    sys::move_mount(bind.tree.as_fd(), &sys::c_string(&bind.place)?)
}

/// Makes the mount point for a file or directory.
pub fn place_for(place: &Path, is_directory: bool) -> io::Result<()> {
    if is_directory {
        return directory_at(place);
    }
    place.parent().map_or(Ok(()), directory_at)?;
    fs::File::create(place).map(drop)
}
