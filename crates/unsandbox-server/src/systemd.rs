// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sockets that systemd passes on to the process (socket activation).

use listenfd::ListenFd;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock};
use unsandbox_protocol::Error;
use unsandbox_protocol::sync::lock;

/// What systemd has passed on (`LISTEN_FDS`), with the names of the sockets (`LISTEN_FDNAMES`).
struct Passed {
    sockets: ListenFd,
    names: Vec<String>,
    /// Which ones are in use.
    taken: Vec<bool>,
}

/// Read once: the variables are removed then, so that no other process takes them for its own.
pub(crate) fn read() {
    passed();
}

fn passed() -> &'static Mutex<Passed> {
    static PASSED: OnceLock<Mutex<Passed>> = OnceLock::new();
    PASSED.get_or_init(|| {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_string).collect();
        let sockets = ListenFd::from_env();
        let taken = vec![false; sockets.len()];
        Mutex::new(Passed { sockets, names, taken })
    })
}

/// Takes a socket of systemd: the one with this name, or the only one that is left.
pub(crate) fn take(name: Option<&str>) -> Result<OwnedFd, Error> {
    let mut passed = lock(passed());
    let count = passed.taken.len();
    let shown = name.map_or("systemd".to_string(), |name| format!("systemd:{name}"));
    let has_name = |index: &usize| match name {
        Some(name) => passed.names.get(*index).is_some_and(|it| it == name),
        None => true,
    };
    let free = (0..count).filter(|index| !passed.taken[*index]).filter(has_name);
    let free: Vec<usize> = free.collect();
    let [index] = free[..] else {
        return Err(Error::config(format!(
            "cannot listen on {shown}: {} of the {count} sockets that systemd passed on (LISTEN_FDS) fit; it has to be \
             one. Start the server by a socket unit, and tell several apart by FileDescriptorName= and systemd:NAME",
            free.len()
        )));
    };
    passed.taken[index] = true;
    if let Ok(Some(listener)) = passed.sockets.take_unix_listener(index) {
        return Ok(listener.into());
    }
    match passed.sockets.take_tcp_listener(index) {
        Ok(listener) => Ok(listener.expect("it is taken once").into()),
        Err(error) => Err(Error::config(format!("cannot listen on {shown}")).with_cause(error)),
    }
}
