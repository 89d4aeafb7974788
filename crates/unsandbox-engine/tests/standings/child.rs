// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs inside a standing: an engine, one program, and a report of what came of it.

use crate::table::{Denied, Policy};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::sync::{Arc, Mutex};
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::backend::NoSink;
use unsandbox_protocol::{Backend, IsolationPolicy, Request, Submission};

/// The child's orders: policy, number of the report's descriptor, denied system calls.
pub const VARIABLE: &str = "UNSANDBOX_TEST_STANDING";

pub fn orders(policy: Policy, report: i32, denied: &[Denied]) -> String {
    format!("{policy:?} {report} {denied:?}")
}

/// Lines of `key: value`.
pub fn main(orders: &str) {
    let mut words = orders.splitn(3, ' ');
    let policy = match words.next() {
        Some("Reduced") => IsolationPolicy::Reduced,
        _ => IsolationPolicy::Auto,
    };
    let number = words.next().and_then(|word| word.parse().ok()).expect("a descriptor's number");
    // SAFETY: the parent left it open for this process, which nothing else here has touched.
    let mut report = unsafe { File::from_raw_fd(number) };
    let denied = words.next().unwrap_or_default();
    for kind in [Denied::Namespaces, Denied::Mounts, Denied::UserNamespaces, Denied::Landlock] {
        if denied.contains(&format!("[{kind:?}")) || denied.contains(&format!(" {kind:?}")) {
            deny(kind);
        }
    }
    let text = try_engine(policy);
    report.write_all(text.as_bytes()).expect("the parent listens");
}

fn try_engine(policy: IsolationPolicy) -> String {
    log::set_logger(&SAID).expect("there is no other");
    log::set_max_level(log::LevelFilter::Warn);
    let mut report = String::new();
    let mut tell = |key: &str, value: &str| report += &format!("{key}: {value}\n");
    let engine = match Engine::new(EngineOptions { isolation: policy, ..EngineOptions::default() })
    {
        Ok(engine) => engine,
        Err(error) => {
            tell("refused", &format!("{}: {error}", error.code().name()));
            return report;
        }
    };
    // Twice: what the first leaves behind must not be in the way of the second.
    for round in 0..2 {
        let request = Request::new("bash", "cat; echo err >&2; sleep 100 & echo ran > artifacts/a");
        let submission = Submission::validated(request.ttl(20).stdin("in")).unwrap();
        match engine.execute(submission, Arc::new(NoSink)) {
            Ok(result) => {
                let isolation = result.isolation.clone().expect("every result tells it");
                let artifact = result.artifacts.first().map(|it| &it.content[..]);
                let whole = result.success
                    && result.stdout == b"in"
                    && result.stderr == b"err\n"
                    && artifact == Some(b"ran\n");
                if !whole {
                    tell("broken", &format!("round {round}: {result:?}"));
                } else if round > 0 {
                    tell("level", &isolation.level);
                    tell("missing", &isolation.missing.join(", "));
                }
            }
            Err(error) => {
                tell("refused", &format!("{}: {error}", error.code().name()));
                break;
            }
        }
    }
    if let Ok(probe) = engine.probe(&unsandbox_protocol::CallContext::default()) {
        for layer in probe.layers.iter().filter(|layer| !layer.available) {
            tell("lacks", &format!("{}: {}; {}", layer.name, layer.detail, layer.fix));
        }
    }
    drop(engine);
    for line in SAID.0.lock().expect("no panic under this lock").iter() {
        tell("said", line);
    }
    report
}

/// What the engine logs as a warning or worse.
struct Said(Mutex<Vec<String>>);

static SAID: Said = Said(Mutex::new(Vec::new()));

impl log::Log for Said {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().expect("no panic under this lock").push(record.args().to_string());
    }
    fn flush(&self) {}
}

/// Denies this process, for good, what a machine may deny.
fn deny(kind: Denied) {
    let any = Vec::new;
    let (errno, calls) = match kind {
        Denied::Namespaces => (
            libc::EPERM,
            vec![
                (libc::SYS_unshare, any()),
                (libc::SYS_setns, any()),
                (libc::SYS_mount, any()),
                (libc::SYS_clone, with_namespaces()),
            ],
        ),
        Denied::Mounts => {
            (libc::EACCES, vec![(libc::SYS_mount, any()), (libc::SYS_open_tree, any())])
        }
        Denied::UserNamespaces => (
            libc::EPERM,
            vec![
                (libc::SYS_unshare, vec![asks_for(libc::CLONE_NEWUSER)]),
                (libc::SYS_clone, vec![asks_for(libc::CLONE_NEWUSER)]),
            ],
        ),
        Denied::Landlock => (libc::ENOSYS, vec![(libc::SYS_landlock_create_ruleset, any())]),
    };
    let rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().expect("a known architecture");
    let action = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("the filter compiles");
    seccompiler::apply_filter(&program).expect("a process may filter itself");
}

fn with_namespaces() -> Vec<SeccompRule> {
    let flags = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    flags.map(asks_for).into()
}

fn asks_for(flag: libc::c_int) -> SeccompRule {
    let asked = SeccompCmpOp::MaskedEq(flag as u64);
    SeccompCondition::new(0, SeccompCmpArgLen::Dword, asked, flag as u64)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .expect("a constant rule")
}
