// SPDX-License-Identifier: MIT OR Apache-2.0
//! The link to the jailer: the running jailer, its start, its report about this machine, and whether its socket is
//! writable.

use crate::jailer::start::{Hello, Jailer, level_of};
use crate::jailer::token;
use crate::programs::temporary;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use unsandbox_jailer::channel;
use unsandbox_jailer::message::{FromJailer, LayerReport, ToJailer};
use unsandbox_protocol::isolation::{Isolation, Layer, Level};
use unsandbox_protocol::sync::lock;
use unsandbox_protocol::{Error, ErrorCode, IsolationPolicy, Probe};

/// How long the jailer may take to probe this machine.
const PROBE_TIME: Duration = Duration::from_secs(10);

pub struct JailerLink {
    policy: IsolationPolicy,
    epoll: Arc<OwnedFd>,
    jailer: Mutex<Option<Arc<Jailer>>>,
    /// Held while a jailer starts, so that there is never a second one.
    starting: Mutex<()>,
    /// Whether a run waits until the jailer's socket is writable.
    is_full: AtomicBool,
    /// The first message of the last jailer.
    hello: Mutex<Option<Hello>>,
    /// Held by the caller that waits for a report, because there is one field for it.
    probing: Mutex<()>,
    report: Mutex<Option<FromJailer>>,
    reported: Condvar,
}

/// An error of the operating system while the engine is set up.
pub fn system(what: &str) -> impl FnOnce(Errno) -> Error + '_ {
    move |error| {
        let is_full = [Errno::MFILE, Errno::NFILE].contains(&error);
        let fix = if is_full { "; raise the limit on open files (ulimit -n)" } else { "" };
        let text = format!("the engine could not be started: {what} failed: {error}{fix}");
        Error::new(ErrorCode::Server, text)
    }
}

impl JailerLink {
    pub fn new(policy: IsolationPolicy, epoll: Arc<OwnedFd>) -> JailerLink {
        JailerLink {
            policy,
            epoll,
            jailer: Mutex::default(),
            starting: Mutex::default(),
            is_full: AtomicBool::new(false),
            hello: Mutex::default(),
            probing: Mutex::default(),
            report: Mutex::default(),
            reported: Condvar::new(),
        }
    }

    /// The running jailer.
    pub fn get(&self) -> Option<Arc<Jailer>> {
        lock(&self.jailer).clone()
    }

    /// The running jailer; starts one if there is none and `may_start` allows it.
    pub fn ensure(
        &self,
        may_start: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Arc<Jailer>, Error> {
        let _one = lock(&self.starting);
        if let Some(jailer) = self.get() {
            return Ok(jailer);
        }
        may_start()?;
        self.adopt(Jailer::start(self.policy)?)
    }

    /// Makes a jailer the current one, and watches its socket and its end.
    fn adopt(&self, jailer: Jailer) -> Result<Arc<Jailer>, Error> {
        let jailer = Arc::new(jailer);
        let watch = |fd: &OwnedFd, number| {
            let data = epoll::EventData::new_u64(number);
            epoll::add(&self.epoll, fd, data, EventFlags::IN)
        };
        self.is_full.store(false, Ordering::SeqCst);
        watch(&jailer.socket, token::JAILER_SOCKET).map_err(system("epoll"))?;
        watch(&jailer.pidfd, token::JAILER_ENDED).map_err(system("epoll"))?;
        *lock(&self.hello) = Some(jailer.hello.clone());
        *lock(&self.jailer) = Some(jailer.clone());
        Ok(jailer)
    }

    /// Takes out the jailer, because it has ended or is about to be ended.
    pub fn take(&self) -> Option<Arc<Jailer>> {
        let jailer = lock(&self.jailer).take()?;
        let _ = epoll::delete(&self.epoll, &jailer.socket);
        let _ = epoll::delete(&self.epoll, &jailer.pidfd);
        Some(jailer)
    }

    /// Wakes the reactor when the jailer's socket is writable again.
    pub fn await_writable(&self, jailer: &Jailer) {
        self.is_full.store(true, Ordering::SeqCst);
        self.watch_socket(jailer, EventFlags::IN | EventFlags::OUT);
    }

    /// Whether a run waited for a writable socket. Resets that, and stops waking the reactor for it.
    pub fn was_full(&self) -> bool {
        let was_full = self.is_full.swap(false, Ordering::SeqCst);
        if was_full && let Some(jailer) = self.get() {
            self.watch_socket(&jailer, EventFlags::IN);
        }
        was_full
    }

    fn watch_socket(&self, jailer: &Jailer, events: EventFlags) {
        let data = epoll::EventData::new_u64(token::JAILER_SOCKET);
        let _ = epoll::modify(&self.epoll, &jailer.socket, data, events);
    }

    /// The isolation of every run.
    pub fn isolation(&self) -> Option<Isolation> {
        lock(&self.hello).as_ref().map(|hello| Isolation {
            level: hello.level.map_or("none", Level::as_str).to_string(),
            layers: hello.layers.clone(),
            missing: hello.missing.clone(),
        })
    }

    pub fn answer_probe(&self, report: FromJailer) {
        *lock(&self.report) = Some(report);
        self.reported.notify_all();
    }

    /// Asks the jailer which layers this machine has.
    pub fn probe(&self, jailer: &Jailer) -> Result<Probe, Error> {
        let _one = lock(&self.probing);
        let mut report = lock(&self.report);
        *report = None;
        channel::send(jailer.socket.as_fd(), &ToJailer::Probe, &[]).map_err(|error| {
            Error::new(ErrorCode::Server, format!("the jailer has ended: {error}"))
        })?;
        let missing = |report: &mut Option<FromJailer>| report.is_none();
        let waited = self.reported.wait_timeout_while(report, PROBE_TIME, missing);
        let mut report: MutexGuard<'_, _> = waited.expect("no panic under this lock").0;
        match report.take() {
            Some(FromJailer::Layers { level, layers }) => Ok(probe_of(jailer, level, layers)),
            _ => Err(Error::new(ErrorCode::Server, "the jailer did not answer within 10 s")),
        }
    }
}

fn probe_of(jailer: &Jailer, level: u8, layers: Vec<LayerReport>) -> Probe {
    let mut layers: Vec<Layer> = layers.into_iter().map(layer_of).collect();
    if let Some(why) = &jailer.fell_back {
        // The reason why the full level failed, which this jailer did not see itself.
        layers.retain(|layer| layer.name != why.layer);
        let (name, detail, fix) = (why.layer.clone(), why.what.clone(), why.fix.clone());
        layers.insert(0, Layer { name, available: false, detail, fix });
    }
    if let Some(detail) = temporary::noexec(Path::new(&jailer.hello.base)) {
        let (name, fix) = ("temporary directory".to_string(), temporary::NOEXEC_FIX.to_string());
        layers.push(Layer { name, available: false, detail, fix });
    }
    Probe { level: level_of(level), layers }
}

fn layer_of(report: LayerReport) -> Layer {
    let LayerReport { name, available, detail, fix } = report;
    Layer { name, available, detail, fix }
}
