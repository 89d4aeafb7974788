// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core's log goes to `logging.getLogger("unsandbox")`, once Python asks for it.

use pyo3::prelude::*;
use std::sync::{Once, RwLock};
use unsandbox_protocol::printable::printable;

static SINK: RwLock<Option<Py<PyAny>>> = RwLock::new(None);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("unsandbox")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            log::Level::Error => 40,
            log::Level::Warn => 30,
            log::Level::Info => 20,
            log::Level::Debug => 10,
            log::Level::Trace => 5,
        };
        // It may contain text of a server, and a handler may write it to a terminal or a log file.
        let message = printable(&record.args().to_string()).into_owned();
        // An interpreter that is shutting down cannot run it.
        Python::try_attach(|py| {
            let sink = SINK.read().ok()?.as_ref()?.clone_ref(py);
            sink.call1(py, (level, message)).err().map(|error| error.write_unraisable(py, None))
        });
    }

    fn flush(&self) {}
}

/// Sends messages of at least `level` (as in `logging`) to `sink(level, message)`.
#[pyfunction]
pub fn set_log(sink: Py<PyAny>, level: u32) {
    static INSTALLED: Once = Once::new();
    *SINK.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(sink);
    INSTALLED.call_once(|| {
        // Fails only if this logger is already set in this copy of the library.
        let _ = log::set_logger(&Logger);
    });
    log::set_max_level(match level {
        0..=5 => log::LevelFilter::Trace,
        6..=10 => log::LevelFilter::Debug,
        11..=20 => log::LevelFilter::Info,
        21..=30 => log::LevelFilter::Warn,
        31..=40 => log::LevelFilter::Error,
        _ => log::LevelFilter::Off,
    });
}
