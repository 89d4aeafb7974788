// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGINT, SIGTERM and SIGHUP as events: the first signal stops in order, every further one at once. For a server,
//! SIGHUP without the end of its terminal is another event, and so is SIGUSR2.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Receives signals until it is dropped.
pub(crate) struct Watch {
    handle: Handle,
    first: Arc<AtomicI32>,
}

impl Watch {
    /// `on_first` is called at the first signal, `on_repeat` at every further one, with the exit code of the signal.
    pub(crate) fn start(
        on_first: impl Fn() + Send + 'static,
        on_repeat: impl Fn(i32) + Send + 'static,
    ) -> Result<Watch, Failure> {
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        // A terminal that closes ends the program too, unless `nohup` is in use.
        if !hangup_is_ignored() {
            signals.add_signal(SIGHUP).map_err(failed)?;
        }
        Watch::run(signals, |_| false, on_first, on_repeat)
    }

    /// As [`Watch::start`], but SIGHUP calls `on_reload`, unless the terminal of this process has closed and `nohup` is
    /// not in use, and SIGUSR2 calls `on_replace`. Each has a thread of its own: a file that is slow to read
    /// must not delay a stop.
    pub(crate) fn start_server(
        on_reload: impl Fn() + Send + 'static,
        on_replace: impl Fn() + Send + 'static,
        on_first: impl Fn() + Send + 'static,
        on_repeat: impl Fn(i32) + Send + 'static,
    ) -> Result<Watch, Failure> {
        let has_terminal = !hangup_is_ignored() && terminal_is_there();
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR2]).map_err(failed)?;
        let reload = on_a_thread("unsandbox-reload", on_reload)?;
        let replace = on_a_thread("unsandbox-replace", on_replace)?;
        let is_handled = move |signal| {
            let asked = match signal {
                SIGUSR2 => &replace,
                SIGHUP if !has_terminal || terminal_is_there() => &reload,
                _ => return false,
            };
            let _ = asked.try_send(());
            true
        };
        Watch::run(signals, is_handled, on_first, on_repeat)
    }

    /// `is_handled` is asked first about each signal.
    fn run(
        mut signals: Signals,
        is_handled: impl Fn(i32) -> bool + Send + 'static,
        on_first: impl Fn() + Send + 'static,
        on_repeat: impl Fn(i32) + Send + 'static,
    ) -> Result<Watch, Failure> {
        let watch = Watch { handle: signals.handle(), first: Arc::default() };
        let first = watch.first.clone();
        let body = move || {
            for signal in signals.forever() {
                if is_handled(signal) {
                    continue;
                }
                if first.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    on_first();
                } else {
                    on_repeat(128 + signal);
                }
            }
        };
        std::thread::Builder::new()
            .name("unsandbox-signals".to_string())
            .spawn(body)
            .map_err(failed)?;
        Ok(watch)
    }

    /// The exit code of the first signal, if one came.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match self.first.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(128 + signal),
        }
    }
}

/// A thread that acts when it is asked to. One further time may wait: it begins after the signals that find it waiting.
fn on_a_thread(name: &str, act: impl Fn() + Send + 'static) -> Result<SyncSender<()>, Failure> {
    let (sender, receiver) = sync_channel(1);
    let thread = std::thread::Builder::new().name(name.to_string());
    thread.spawn(move || receiver.iter().for_each(|()| act())).map_err(failed)?;
    Ok(sender)
}

fn failed(error: std::io::Error) -> Failure {
    Failure::failed(format!("cannot listen for signals: {error}"))
}

/// Whether this process has a terminal that controls it: the kernel takes it away when the terminal closes.
fn terminal_is_there() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether this process was started with SIGHUP ignored.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (SIGHUP - 1)) != 0
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
    }
}
