// SPDX-License-Identifier: MIT OR Apache-2.0
//! Listens to everything that any crate of this process logs, down to trace, and finds keys in it: also
//! where the HTTP library dumps bytes, sixteen in a line.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the keys and passwords of all tests have in them, and the Basic credentials of the last one.
pub const KEYS: [&str; 3] = ["test-key", "5ecre7", "NWVjcmU3"];

/// Bytes of which more may follow in the next line: longer than any key.
const TAIL_BYTES: usize = 64;

static HEARD: AtomicU64 = AtomicU64::new(0);
static DUMPED: AtomicU64 = AtomicU64::new(0);
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static DUMP: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

/// From now on every line is listened to.
pub fn listen() {
    log::set_logger(&Listener).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

/// How many bytes were heard, how many of them in dumps of what was sent and received, and each line with
/// a key in it.
pub fn heard() -> (u64, u64, Vec<String>) {
    (HEARD.load(Ordering::SeqCst), DUMPED.load(Ordering::SeqCst), FOUND.lock().unwrap().clone())
}

/// The first of the keys that stands in `text`.
pub fn key_in(text: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|key| text.contains(key))
}

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        let line = record.args().to_string();
        HEARD.fetch_add(line.len() as u64, Ordering::SeqCst);
        if key_in(&line).is_some() {
            FOUND.lock().unwrap().push(line.clone());
        }
        if let Some(row) = row(&line).filter(|_| record.target().starts_with("ureq_proto")) {
            DUMPED.fetch_add(row.len() as u64, Ordering::SeqCst);
            DUMP.with_borrow_mut(|dump| {
                dump.extend(row);
                let text = String::from_utf8_lossy(dump).into_owned();
                if key_in(&text).is_some() {
                    FOUND.lock().unwrap().push(text);
                    dump.clear();
                }
                dump.drain(..dump.len().saturating_sub(TAIL_BYTES));
            });
        }
    }

    fn flush(&self) {}
}

/// The bytes of a line of a dump: `504f 5354 …`, with `--` where there are no more.
fn row(line: &str) -> Option<Vec<u8>> {
    let hex: String = line.get(..40)?.split(' ').collect();
    let bytes = hex.as_bytes().chunks(2).take_while(|pair| *pair != b"--");
    bytes.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
