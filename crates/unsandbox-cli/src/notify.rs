// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `serve` tells the service manager that started it, if one did (`NOTIFY_SOCKET`, `Type=notify` of systemd).

use sd_notify::NotifyState;

pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Until the next [`ready`].
pub(crate) fn reloading() {
    // With the time, for Type=notify-reload.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("the service manager was not told of the reload: {error}"),
    }
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the service from now on.
pub(crate) fn main_process(id: u32) {
    tell(&[NotifyState::MainPid(id)]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a manager this does nothing.
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("the service manager was not told of {state:?}: {error}");
    }
}
