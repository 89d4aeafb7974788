// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends files to the engine after every process of the run is gone: the files that the plan names, those in
//! `artifacts/`, and those of the work directory that were asked for. It sends descriptors of regular files, opened
//! without following any link, and reads no content.

use crate::folder::c_path;
use crate::init::baseline::Baseline;
use crate::init::pattern::{Pattern, is_hidden};
use crate::init::walk::{ARTIFACTS, SCANNED_MAX, WORK, Walk, list};
use crate::sys;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unsandbox_jailer::commands::{FromInit, Plan};

/// Names of files that nothing asked for, and their bytes together, since a reply has room for few.
const LEFT_MAX_COUNT: usize = 100;
const LEFT_MAX_BYTES: usize = 32 << 10;
/// Names of skipped files that are reported one by one.
const REPORTED_MAX: u64 = 10;
/// How long the work directory is searched: names and patterns may be such that to match them takes long.
const SEARCH_TIME: Duration = Duration::from_secs(2);
/// How long to retry while the engine has too many descriptors to receive.
const SEND_WAIT: Duration = Duration::from_secs(2);

/// Gives the artifacts back, and, where the files from before the program are known, the outputs.
pub fn collect(
    plan: &Plan,
    tmp: &Path,
    baseline: Option<&Baseline>,
    send: impl Fn(FromInit, &[BorrowedFd<'_>]) -> io::Result<()>,
) -> io::Result<()> {
    let root: OwnedFd = File::open(tmp)?.into();
    let mut collector = ArtifactCollector {
        root,
        send,
        count_left: plan.artifacts_max_count,
        bytes_left: plan.artifacts_max_bytes,
        count_max: plan.artifacts_max_count,
        bytes_max: plan.artifacts_max_bytes,
        unreported: 0,
        reported: 0,
        given: HashSet::new(),
    };
    for wanted in &plan.collect {
        let path = match Path::new(&wanted.name).strip_prefix(tmp) {
            Ok(below) => below.to_path_buf(),
            Err(_) => Path::new(WORK).join(&wanted.name),
        };
        collector.give_wanted(&path, &wanted.kind)?;
    }
    collector.give_folder()?;
    if let Some(baseline) = baseline {
        collector.give_outputs(plan, baseline)?;
    }
    collector.finish()
}

struct ArtifactCollector<F> {
    root: OwnedFd,
    send: F,
    count_left: u64,
    bytes_left: u64,
    count_max: u64,
    bytes_max: u64,
    reported: u64,
    unreported: u64,
    /// Paths below the tree that were given back.
    given: HashSet<PathBuf>,
}

impl<F: Fn(FromInit, &[BorrowedFd<'_>]) -> io::Result<()>> ArtifactCollector<F> {
    /// Sends the regular file at `path` (below /tmp), or reports why it is skipped.
    fn give(&mut self, path: &Path, name: &OsStr, kind: &str) -> io::Result<()> {
        let opened =
            c_path(path).and_then(|path| sys::open_beneath(self.root.as_fd(), &path, false));
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(error) => return self.skip(name, &reason(&error)),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return self.skip(name, "it is not a regular file");
        }
        if self.count_left == 0 {
            let why = format!("the run has more than {} artifacts, the limit", self.count_max);
            return self.skip(name, &why);
        }
        if found.len() > self.bytes_left {
            let (len, left, max) = (found.len(), self.bytes_left, self.bytes_max);
            let why =
                format!("it has {len} bytes, and {left} of {max} bytes for artifacts are left");
            return self.skip(name, &why);
        }
        self.count_left -= 1;
        self.bytes_left -= found.len();
        self.given.insert(path.to_path_buf());
        let message =
            FromInit::Artifact { name: printable(name), kind: kind.to_string(), size: found.len() };
        self.send_file(&message, &file)
    }

    /// The kernel limits the descriptors of a user that are in transit, and does not tell when there are fewer. So
    /// this retries while the engine receives them one by one.
    fn send_file(&self, message: &FromInit, file: &File) -> io::Result<()> {
        let deadline = Instant::now() + SEND_WAIT;
        loop {
            match (self.send)(message.clone(), &[file.as_fd()]) {
                Err(error)
                    if error.raw_os_error() == Some(libc::ETOOMANYREFS)
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent => return sent,
            }
        }
    }

    /// Sends the file that a recipe names, or every file that matches its pattern.
    fn give_wanted(&mut self, path: &Path, kind: &str) -> io::Result<()> {
        let name = path.file_name().unwrap_or(OsStr::new("artifact")).to_owned();
        let pattern = name.to_string_lossy();
        let Some((before, after)) = pattern.split_once('*') else {
            return self.give(path, &name, kind);
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let listed = list(&self.root, folder, SCANNED_MAX).unwrap_or_default();
        let names = listed.into_iter().map(|entry| entry.name);
        let matches = |found: &OsString| {
            let found = found.to_string_lossy();
            found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some()
        };
        let matching: Vec<OsString> = names.filter(matches).collect();
        if matching.is_empty() {
            return self.skip(&name, "it was not created");
        }
        matching.iter().try_for_each(|found| self.give(&folder.join(found), found, kind))
    }

    fn skip(&mut self, name: &OsStr, why: &str) -> io::Result<()> {
        if self.reported == REPORTED_MAX {
            self.unreported += 1;
            return Ok(());
        }
        self.reported += 1;
        (self.send)(FromInit::Skipped { name: printable(name), why: why.to_string() }, &[])
    }

    /// Everything below `artifacts/`.
    fn give_folder(&mut self) -> io::Result<()> {
        let mut walk = Walk::new(&self.root, ARTIFACTS);
        while let Some(found) = walk.next(&self.root, |_| true) {
            let name = found.path.strip_prefix(ARTIFACTS).unwrap_or(&found.path).to_owned();
            self.give(&found.path, name.as_os_str(), "file")?;
        }
        self.say_unread("artifacts/", &mut walk)
    }

    /// Always reported, even above REPORTED_MAX: an entry that was not read may be the one that was wanted.
    fn say_unread(&self, folder: &str, walk: &mut Walk) -> io::Result<()> {
        let Some(why) = walk.unread() else { return Ok(()) };
        let why = format!("{folder} was not searched as a whole: {why}");
        (self.send)(FromInit::Skipped { name: String::new(), why }, &[])
    }

    /// The files of the work directory that the program made or changed: those that a pattern matches come back, the
    /// others are named.
    fn give_outputs(&mut self, plan: &Plan, baseline: &Baseline) -> io::Result<()> {
        let mut wanted = Wanted::new(&plan.outputs);
        for path in &self.given {
            wanted.matches(&parts_of(path.strip_prefix(WORK).unwrap_or(path)));
        }
        let mut left = Left::default();
        let mut walk = Walk::new(&self.root, WORK);
        let asks = !plan.outputs.is_empty();
        let enters = |path: &Path| path != Path::new(ARTIFACTS) && (asks || !ends_hidden(path));
        let end = Instant::now() + SEARCH_TIME;
        while let Some(found) = walk.next(&self.root, enters) {
            if Instant::now() > end {
                let why = format!(
                    "outputs: the search was ended after {} s; use fewer or shorter patterns",
                    SEARCH_TIME.as_secs()
                );
                return (self.send)(FromInit::Skipped { name: String::new(), why }, &[]);
            }
            if baseline.has(&self.root, &found.path) || self.given.contains(&found.path) {
                continue;
            }
            let name = found.path.strip_prefix(WORK).unwrap_or(&found.path).to_owned();
            let parts = parts_of(&name);
            if wanted.matches(&parts) {
                self.give(&found.path, name.as_os_str(), "file")?;
            } else if found.is_regular && !parts.iter().any(|part| is_hidden(part)) {
                match left.takes(printable(name.as_os_str())) {
                    Some(name) => (self.send)(FromInit::Left { name }, &[])?,
                    None if asks => {}
                    None => return Ok(()),
                }
            }
        }
        if asks {
            self.say_unread("the work directory", &mut walk)?;
        }
        for text in wanted.unmatched() {
            let why = format!("outputs {text:?}: the program made or changed no such file");
            (self.send)(FromInit::Skipped { name: String::new(), why }, &[])?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.unreported == 0 {
            return Ok(());
        }
        let why = format!(
            "{} more artifacts were skipped (only the first {REPORTED_MAX} are listed)",
            self.unreported
        );
        (self.send)(FromInit::Skipped { name: String::new(), why }, &[])
    }
}

/// The patterns of a plan, and which of them have matched a file.
struct Wanted<'a> {
    patterns: Vec<(&'a str, Pattern, bool)>,
}

impl<'a> Wanted<'a> {
    fn new(texts: &'a [String]) -> Wanted<'a> {
        let patterns = texts.iter().map(|text| (text.as_str(), Pattern::new(text), false));
        Wanted { patterns: patterns.collect() }
    }

    fn matches(&mut self, name: &[Vec<char>]) -> bool {
        let mut is_wanted = false;
        for (_, pattern, has_matched) in &mut self.patterns {
            if (!is_wanted || !*has_matched) && pattern.matches(name) {
                (is_wanted, *has_matched) = (true, true);
            }
        }
        is_wanted
    }

    fn unmatched(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().filter(|(.., has_matched)| !has_matched).map(|(text, ..)| *text)
    }
}

/// The files that are named.
#[derive(Default)]
struct Left {
    count: usize,
    bytes: usize,
}

impl Left {
    /// The name, if there is room for it.
    fn takes(&mut self, name: String) -> Option<String> {
        let bytes = self.bytes + name.len();
        if self.count == LEFT_MAX_COUNT || bytes > LEFT_MAX_BYTES {
            return None;
        }
        (self.count, self.bytes) = (self.count + 1, bytes);
        Some(name)
    }
}

/// The names of a path, for a pattern.
fn parts_of(path: &Path) -> Vec<Vec<char>> {
    path.iter().map(|name| name.to_string_lossy().chars().collect()).collect()
}

fn ends_hidden(path: &Path) -> bool {
    parts_of(path).last().is_some_and(|name| is_hidden(name))
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "it was not created".to_string(),
        Some(libc::ELOOP) => "it is a link".to_string(),
        Some(libc::ENXIO) => "it is not a regular file".to_string(),
        _ => error.to_string(),
    }
}

/// The name as text; bytes that are not UTF-8, and control characters, become replacements.
fn printable(name: &OsStr) -> String {
    name.to_string_lossy().chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}
