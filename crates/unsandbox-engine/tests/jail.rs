// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ordinary programs find in a jail. What hostile ones try there is in `hostile/`.

mod common;

use common::*;
use unsandbox_protocol::{Backend, Request};

#[test]
fn the_streams_can_be_opened_again() {
    let result = execute(
        Request::new("bash", "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr").stdin("x\n"),
    )
    .unwrap();
    assert_eq!((&result.stdout[..], &result.stderr[..]), (&b"x\n"[..], &b"err\n"[..]));
}

#[test]
fn the_engine_tells_what_the_machine_gives() {
    let probe = engine().probe().unwrap();
    assert_eq!(probe.level.map(|level| level.as_str()), Some("full"));
    let _ = engine().languages().unwrap();
    for layer in ["user namespace", "seccomp", "landlock", "rights", "rlimits", "cgroup"] {
        assert!(probe.layers.iter().any(|found| found.name == layer), "{layer}");
    }
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
