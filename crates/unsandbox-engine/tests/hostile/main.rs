// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hostile suite: every program of `programs/` at both levels, as root and again as an ordinary
//! user, with the host looked at from outside after each. `cargo test --test hostile` prints the
//! report; words after `--` choose programs by their names.
//!
//! `--layers` plays parts of it without one layer after the other (see layers.rs).
//!
//! Each column of the report is a process of its own, which is the host that its programs attack.

mod canaries;
#[path = "../common/mod.rs"]
mod common;
mod host;
mod layers;
mod look;
mod report;
mod table;

use report::{Column, Report};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use unsandbox_protocol::Level;

/// Says to a process of this program that it is a column: the level, and its folder.
const INSIDE: &str = "UNSANDBOX_HOSTILE_INSIDE";
/// The only column to play, such as `full root`.
const ONLY: &str = "UNSANDBOX_HOSTILE_COLUMN";
/// Ordinary users; two, so that neither counts the other's processes.
const USERS: [(Level, u32); 2] = [(Level::Full, 65_534), (Level::Reduced, 65_533)];

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(inside) = std::env::var_os(INSIDE) {
        let inside = inside.to_string_lossy().into_owned();
        let (level, folder) = inside.split_once(':').expect("the suite gives both");
        let level = if level == "full" { Level::Full } else { Level::Reduced };
        play_column(level, Path::new(folder), &words);
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|word| word == "--layers") {
        return code(layers::play());
    }
    have_more_than_most();
    let place = |level, user| Place { level, user, without: layers::every_layer() };
    let mut report = Report::new();
    report.add(columns([place(Level::Full, None), place(Level::Reduced, None)], &words));
    if is_root() {
        report.add(columns(USERS.map(|(level, user)| place(level, Some(user))), &words));
    }
    report.print();
    code(report.failed())
}

fn code(failed: usize) -> ExitCode {
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Limits and groups that most hosts are not given: what a jail takes away shows. Only root can have them.
fn have_more_than_most() {
    use rustix::process::{Gid, Resource, Rlimit, setrlimit};
    for resource in [Resource::Memlock, Resource::Msgqueue, Resource::Nice, Resource::Rtprio] {
        let _ = setrlimit(resource, Rlimit { current: Some(1 << 24), maximum: Some(1 << 24) });
    }
    let _ = rustix::thread::set_thread_groups(&[Gid::from_raw(12_345)]);
}

pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Where programs are played.
struct Place {
    level: Level,
    /// An ordinary user in the place of the one that the suite runs as.
    user: Option<u32>,
    /// Layers that a jailer which can leave layers out leaves out.
    without: String,
}

impl Place {
    fn name(&self) -> String {
        let user = if self.user.is_none() && is_root() { "root" } else { "user" };
        format!("{} {user}", self.level.as_str())
    }
}

/// Both levels side by side.
fn columns(places: [Place; 2], words: &[String]) -> Vec<Column> {
    let only = std::env::var(ONLY).ok();
    let chosen =
        places.into_iter().filter(|place| only.as_ref().is_none_or(|only| *only == place.name()));
    let play = |place: Place| {
        let words = words.to_vec();
        std::thread::spawn(move || play_in_a_process(&place, &words))
    };
    let running: Vec<_> = chosen.map(play).collect();
    running.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
}

fn play_in_a_process(place: &Place, words: &[String]) -> Column {
    use std::os::unix::process::CommandExt;
    let Place { level, user, without } = place;
    let (name, user) = (place.name(), *user);
    let folder = own_folder(&name, user);
    let program = common::readable_copy_of_this_program();
    let mut command = Command::new(&program);
    command
        .args(words)
        .env(INSIDE, format!("{}:{}", level.as_str(), folder.display()))
        .env(canaries::SECRET, secret())
        .env(layers::WITHOUT, without)
        .env("TMPDIR", folder.join("tmp"))
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Some(user) = user {
        command.env("HOME", "/nonexistent").uid(user).gid(user);
    }
    let output = command.output();
    let _ = std::fs::remove_file(&program);
    let _ = std::fs::remove_dir_all(&folder);
    let output = output.expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    Column::read(name, &text, output.status.success())
}

/// A folder that belongs to the column's user.
fn own_folder(name: &str, user: Option<u32>) -> PathBuf {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let name = format!("unsandbox-hostile-{}-{number}-{name}", std::process::id());
    let name = name.replace(' ', "-");
    let folder = std::env::temp_dir().join(name);
    for one in [folder.clone(), folder.join("tmp")] {
        std::fs::create_dir_all(&one).expect("the temporary directory is writable");
        std::fs::set_permissions(&one, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        std::os::unix::fs::chown(&one, user, user).expect("root may");
    }
    folder
}

fn secret() -> String {
    let mut bytes = [0u8; 12];
    getrandom::fill(&mut bytes).expect("the kernel has random numbers");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hostile-secret-{hex}")
}

/// In a process of its own: plays the programs and writes a line for each.
fn play_column(level: Level, folder: &Path, words: &[String]) {
    let mut host = host::Host::new(level, folder);
    for program in table::programs() {
        let chosen =
            words.is_empty() || words.iter().any(|word| program.name.contains(word.as_str()));
        if chosen && program.is_for(level) {
            let seen = host.play(&program);
            println!("{}", report::line(&program.name, &seen.ended, seen.took, &seen.complaints));
        }
    }
    println!("{}", report::line(report::THE_END, "", std::time::Duration::ZERO, &host.end()));
}
