// SPDX-License-Identifier: MIT OR Apache-2.0
//! The audit file: one line of JSON for each submission that ends or is handed on. A thread of its own writes it, so that
//! a slow disk delays no run; what cannot be written is logged and counted, and stops nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, ErrorCode};

/// Lines that may wait for the disk: some megabytes at most.
const WAITING_MAX: usize = 8192;

/// Called once for each line that is not in the file.
type OnLoss = Box<dyn Fn() + Send>;

enum Task {
    Write { line: String, on_loss: OnLoss },
    Reopen(Sender<Result<(), Error>>),
    Flush(Sender<()>),
}

/// A file to which audit lines are appended.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    tasks: Mutex<Option<SyncSender<Task>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AuditLog {
    /// Opens the file, which is made with mode 0600 if it is missing. One that others may read gets that mode.
    ///
    /// # Errors
    /// CONFIG, if it cannot be opened, or is not a regular file.
    pub fn open(path: &Path) -> Result<AuditLog, Error> {
        let file = open(path)?;
        let (sender, tasks) = sync_channel(WAITING_MAX);
        let writer = Writer { path: path.to_path_buf(), file: Some(file), is_cut: false };
        let named = std::thread::Builder::new().name("unsandbox-audit".to_string());
        let thread = named.spawn(move || writer.run(&tasks)).map_err(|error| {
            Error::new(ErrorCode::Config, "the thread of the audit file could not start")
                .with_cause(error)
        })?;
        let (tasks, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(AuditLog { path: path.to_path_buf(), tasks, thread })
    }

    /// Appends a line, which has no line break. Does not wait for the disk.
    pub(crate) fn write(&self, line: String, on_loss: impl Fn() + Send + 'static) {
        let task = Task::Write { line, on_loss: Box::new(on_loss) };
        let refused = match &*lock(&self.tasks) {
            Some(tasks) => tasks.try_send(task).err(),
            None => Some(TrySendError::Disconnected(task)),
        };
        if let Some(TrySendError::Full(task) | TrySendError::Disconnected(task)) = refused {
            let path = self.path.display();
            log::error!("an audit line is lost: too many wait for {path}, or it is closed");
            if let Task::Write { on_loss, .. } = task {
                on_loss();
            }
        }
    }

    /// Opens the file anew, after the lines that wait: another program may have moved it away.
    ///
    /// # Errors
    /// As [`AuditLog::open`]. The lines then go on to the file that was open.
    pub fn reopen(&self) -> Result<(), Error> {
        let (sender, receiver) = channel();
        self.send(Task::Reopen(sender));
        receiver.recv().unwrap_or(Ok(()))
    }

    /// Returns when every line so far is in the file, or lost.
    pub fn flush(&self) {
        let (sender, receiver) = channel();
        self.send(Task::Flush(sender));
        let _ = receiver.recv();
    }

    /// Waits for a place.
    fn send(&self, task: Task) {
        let tasks = lock(&self.tasks).clone();
        if let Some(tasks) = tasks {
            let _ = tasks.send(task);
        }
    }
}

#[cfg(test)]
impl AuditLog {
    /// One that takes no line.
    pub(crate) fn closed() -> AuditLog {
        AuditLog { path: PathBuf::new(), tasks: Mutex::default(), thread: Mutex::default() }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        drop(lock(&self.tasks).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    /// `None` after a failed write.
    file: Option<File>,
    /// The last line of the file may be incomplete.
    is_cut: bool,
}

impl Writer {
    fn run(mut self, tasks: &Receiver<Task>) {
        for task in tasks {
            match task {
                Task::Write { line, on_loss } => {
                    if let Err(error) = self.append(&line) {
                        log::error!("an audit line is lost: {}: {error}", self.path.display());
                        on_loss();
                    }
                }
                Task::Reopen(done) => {
                    let opened = open(&self.path).map(|file| {
                        (self.file, self.is_cut) = (Some(file), false);
                    });
                    let _ = done.send(opened);
                }
                Task::Flush(done) => _ = done.send(()),
            }
        }
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(open(&self.path).map_err(io::Error::other)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let begin = if self.is_cut { "\n" } else { "" };
        let written = file.write_all(format!("{begin}{line}\n").as_bytes());
        self.is_cut = written.is_err();
        if self.is_cut {
            self.file = None;
        }
        written
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let unusable = |cause: &dyn std::fmt::Display| {
        let text = format!("the audit file {} cannot be used: {cause}", path.display());
        Error::new(ErrorCode::Config, text)
    };
    // Looked at first: to open a pipe would wait for its reader.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(unusable(&"it is not a regular file"));
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let file = file.map_err(|error| unusable(&error))?;
    let mode = file.metadata().map_err(|error| unusable(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let private = std::fs::Permissions::from_mode(0o600);
        file.set_permissions(private).map_err(|error| unusable(&error))?;
        log::warn!(
            "the audit file {} had the mode {:o}; it is 600 now",
            path.display(),
            mode & 0o777
        );
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let name = format!("us-audit-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn never() {
        panic!("no line is lost");
    }

    #[test]
    fn lines_are_appended_to_a_private_file_which_may_be_moved_away() {
        let scratch = Scratch::new("moved");
        let (path, old) = (scratch.0.join("audit"), scratch.0.join("audit.1"));
        fs::write(&path, "before\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let audit = AuditLog::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        audit.write("one".to_string(), never);
        audit.flush();
        fs::rename(&path, &old).unwrap();
        audit.write("two".to_string(), never);
        audit.reopen().unwrap();
        audit.write("three".to_string(), never);
        drop(audit);
        assert_eq!(fs::read_to_string(&old).unwrap(), "before\none\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_a_regular_file_is_opened_and_a_failed_reopen_keeps_the_old_one() {
        let scratch = Scratch::new("kept");
        let path = scratch.0.join("audit");
        let error = AuditLog::open(&scratch.0).unwrap_err();
        assert!(error.message().contains("not a regular file"), "{error}");
        let audit = AuditLog::open(&path).unwrap();
        let old = scratch.0.join("audit.1");
        fs::rename(&path, &old).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(audit.reopen().unwrap_err().code(), ErrorCode::Config);
        audit.write("one".to_string(), never);
        audit.flush();
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_told_and_the_next_one_begins_a_line() {
        let (lost, count) = (Arc::new(AtomicUsize::new(0)), 2);
        // Every write to it fails with ENOSPC.
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let scratch = Scratch::new("full");
        let path = scratch.0.join("missing").join("audit");
        let mut writer = Writer { path: path.clone(), file: Some(full), is_cut: false };
        let (sender, tasks) = channel();
        for _ in 0..count {
            let lost = lost.clone();
            let on_loss: OnLoss = Box::new(move || _ = lost.fetch_add(1, Ordering::SeqCst));
            sender.send(Task::Write { line: "lost".to_string(), on_loss }).unwrap();
        }
        drop(sender);
        writer.is_cut = false;
        for task in tasks.try_iter() {
            let Task::Write { line, on_loss } = task else { panic!("only lines were sent") };
            if writer.append(&line).is_err() {
                on_loss();
            }
        }
        assert_eq!(lost.load(Ordering::SeqCst), count, "one to the full disk, one to no file");
        fs::create_dir(scratch.0.join("missing")).unwrap();
        writer.append("kept").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "\nkept\n");
    }
}
