// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that try what only the reduced level, or only a machine without a control group, leaves to
//! filters and to watching: to hide from it, to change files that they are shown, to hold more than
//! their limits.

#[path = "../common/mod.rs"]
mod common;

mod files;
mod limits;
mod machine;
mod processes;

use common::*;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::{ExecutionResult, IsolationPolicy, LimitKind, Limits, Request};

fn engine_at(isolation: IsolationPolicy) -> Engine {
    Engine::new(EngineOptions { isolation, ..EngineOptions::default() }).unwrap()
}

fn run_at(isolation: IsolationPolicy, request: Request) -> ExecutionResult {
    execute_on(&engine_at(isolation), request).expect("this level is here")
}

fn reduced(request: Request) -> ExecutionResult {
    run_at(IsolationPolicy::Reduced, request)
}

fn reduced_c(code: &str) -> ExecutionResult {
    reduced(c_program(code))
}

/// A C program that has every header that one here needs.
fn c_program(code: &str) -> Request {
    let code = format!("{}\n{code}", include_str!("headers.h"));
    Request::new("c", &code).ttl(30)
}

/// That a run has been ended for a limit, with what it has said for the case that it was not.
fn assert_limit(result: &ExecutionResult, limit: LimitKind) {
    let words = (result.stdout_text(), result.stderr_text());
    assert_eq!((result.limit, result.exit_code), (Some(limit), Some(137)), "{words:?}");
}

const BOTH: [IsolationPolicy; 2] = [IsolationPolicy::Full, IsolationPolicy::Reduced];

fn memory(bytes: u64) -> Limits {
    Limits { memory_bytes: Some(bytes), ..Limits::default() }
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
