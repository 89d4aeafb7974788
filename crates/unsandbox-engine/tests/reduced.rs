// SPDX-License-Identifier: MIT OR Apache-2.0
//! The level without namespaces: what it still keeps, what it says of itself, and when it is taken.

mod common;

use common::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::{
    ErrorCode, ExecutionResult, IsolationPolicy, LimitKind, Limits, Request, Status,
};

fn engine_at(isolation: IsolationPolicy) -> Engine {
    Engine::new(EngineOptions { isolation, ..EngineOptions::default() }).unwrap()
}

fn reduced(request: Request) -> ExecutionResult {
    execute_on(&engine_at(IsolationPolicy::Reduced), request).expect("the reduced level is here")
}

fn reduced_bash(code: &str) -> ExecutionResult {
    reduced(Request::new("bash", code).ttl(20))
}

#[test]
fn programs_run_and_the_level_is_told() {
    let request = Request::new(
        "bash",
        "cat data; cat; echo $1; echo err >&2; printf x > artifacts/a; exit 3",
    );
    let result = reduced(request.stdin("in\n").arg("arg").input_file("data", "file\n"));
    assert_eq!((result.stdout_text().as_ref(), result.exit_code), ("file\nin\narg\n", Some(3)));
    assert_eq!((&result.stderr[..], result.artifacts.len()), (&b"err\n"[..], 1));
    let isolation = result.isolation.unwrap();
    assert_eq!(isolation.level, "reduced");
    assert!(isolation.missing.iter().any(|layer| layer == "pid namespace"));
    assert!(isolation.layers.iter().any(|layer| layer == "landlock"));
}

#[test]
fn compiled_languages_run() {
    let result = reduced(Request::new("c", "#include <stdio.h>\nint main(void){puts(\"c\");}"));
    assert_eq!(result.stdout_text(), "c\n", "{}", result.stderr_text());
}

#[test]
fn files_outside_are_denied() {
    let secret = std::env::temp_dir().join(format!("unsandbox-secret-{}", std::process::id()));
    std::fs::write(&secret, "secret").unwrap();
    let path = secret.display();
    let code = format!(
        "cat {path}; echo x > {path}; rm -f {path}; chmod 000 {path}; touch -d 2000-01-01 {path}; \
         ln {path} mine; mv {path} mine; cat /etc/shadow ~root/.ssh/*; ls /home /root; echo x > /tmp/canary-$$; \
         cat /proc/1/environ; cd /; ls; echo end"
    );
    let result = reduced_bash(&code);
    assert_eq!(result.stdout_text(), "end\n");
    let found = std::fs::metadata(&secret).unwrap();
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert!(found.modified().unwrap().elapsed().unwrap() < Duration::from_secs(60));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o400, 0o400);
    std::fs::remove_file(&secret).unwrap();
}

#[test]
fn other_processes_are_out_of_reach() {
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = bystander.id();
    let code = format!(
        "kill -9 {pid} && echo killed; kill -9 -1; kill -STOP {pid} && echo stopped; \
         prlimit --pid {pid} --cpu=1 2>/dev/null && echo limited; renice 19 -p {pid} 2>/dev/null && echo reniced; \
         cat /proc/{pid}/mem >/dev/null 2>&1 && echo read; echo end"
    );
    let result = reduced_bash(&code);
    let text = result.stdout_text().into_owned();
    let alive = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert!(alive, "the bystander is dead");
    assert!(
        !["stopped", "limited", "reniced", "read"].iter().any(|done| text.contains(done)),
        "{text}"
    );
}

#[test]
fn there_are_no_sockets_and_no_shared_memory() {
    let code = "import socket, ctypes\nfor f in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):\n  try:\n    \
                socket.socket(f); print('socket', f)\n  except PermissionError: pass\n\
                if ctypes.CDLL(None).shmget(1, 4096, 0o1666) >= 0: print('shm')\n\
                a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))";
    let result = reduced(Request::new("python", code).runtime("/usr/bin/python3"));
    assert_eq!(result.stdout_text(), "b'x'\n", "{}", result.stderr_text());
}

#[test]
fn everything_ends_with_its_run() {
    // A number that no other run of this test has.
    let seconds = 100_000_000 + u64::from(std::process::id());
    let code = format!(
        "for i in 1 2 3; do (setsid sleep {seconds} & setsid sh -c 'sleep {seconds} & sleep {seconds}' &) ; done; \
         echo over"
    );
    assert_eq!(reduced_bash(&code).stdout, b"over\n");
    let left = Command::new("pgrep").args(["-fx", &format!("sleep {seconds}")]).output().unwrap();
    assert_eq!(left.stdout, b"", "sleepers are left");
}

#[test]
fn a_fork_storm_ends() {
    let limits = Limits { processes: Some(60), ..Limits::default() };
    let code = "trap '' TERM; f(){ f & f & wait; }; f";
    let result = reduced(Request::new("bash", code).ttl(2).limits(limits));
    assert!(result.status.is_terminal());
    assert_eq!(reduced_bash("echo next").stdout, b"next\n");
}

#[test]
fn limits_hold() {
    let memory = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let result = reduced(
        Request::new("bash", "x=$(head -c 300000000 /dev/zero | tr '\\0' a); echo $x")
            .limits(memory),
    );
    assert_eq!((result.limit, result.exit_code), (Some(LimitKind::Memory), Some(137)));
    let work = Limits { work_bytes: Some(5 << 20), ..Limits::default() };
    let code = "for i in 1 2 3 4; do head -c 4000000 /dev/zero > f$i; done; sleep 10";
    let result = reduced(Request::new("bash", code).limits(work).ttl(20));
    assert_eq!((result.limit, result.exit_code), (Some(LimitKind::Files), Some(137)), "{result:?}");
    let result = reduced(Request::new("bash", "echo on; sleep 100").ttl(1));
    assert_eq!((result.status, &result.stdout[..]), (Status::Timeout, &b"on\n"[..]));
}

#[test]
fn nothing_is_left_in_the_temporary_folder() {
    // Nobody may read the first, and no path is long enough for the last of the others.
    let code = "mkdir -p a/b; mkdir -m 0 a/b/c; name=$(printf %0200d 0); \
                for i in $(seq 40); do mkdir $name; cd $name; done; cd ~/..; pwd -P";
    let engine = engine_at(IsolationPolicy::Reduced);
    let result = execute_on(&engine, Request::new("bash", code)).unwrap();
    let tree = PathBuf::from(result.stdout_text().trim_end());
    assert!(
        tree.starts_with(std::env::temp_dir()) && tree.parent().unwrap().exists(),
        "{result:?}"
    );
    let gone = |path: &Path| within(Duration::from_secs(10), || !path.exists());
    assert!(gone(&tree), "{} is left", tree.display());
    drop(engine);
    assert!(gone(tree.parent().unwrap()), "the folder of the jailer is left");
}

#[test]
fn semitrusted_and_full_are_refused_with_the_reason() {
    let engine = engine_at(IsolationPolicy::Reduced);
    let request = Request::new("bash", "").network_mode("semitrusted");
    let error = execute_on(&engine, request).unwrap_err();
    assert_eq!(error.code(), ErrorCode::IsolationUnavailable);
}

/// Runs one test of this file in a user namespace that allows no further ones.
fn where_namespaces_are_refused(test: &str) -> std::process::Output {
    let program = readable_copy_of_this_program();
    let script =
        "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" --exact \"$1\" --nocapture";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(&program)
        .arg(test)
        .env("UNSANDBOX_TEST_INSIDE", "1")
        .output()
        .unwrap();
    std::fs::remove_file(&program).unwrap();
    output
}

#[test]
fn auto_falls_back_and_says_so_where_namespaces_are_refused() {
    if std::env::var_os("UNSANDBOX_TEST_INSIDE").is_none() {
        let output = where_namespaces_are_refused(
            "auto_falls_back_and_says_so_where_namespaces_are_refused",
        );
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        return;
    }
    let engine = engine_at(IsolationPolicy::Auto);
    let result = execute_on(&engine, Request::new("bash", "echo ran")).unwrap();
    assert_eq!(
        (&result.stdout[..], result.isolation.unwrap().level.as_str()),
        (&b"ran\n"[..], "reduced")
    );
    let probe = engine.probe().unwrap();
    assert_eq!(probe.level.unwrap().as_str(), "reduced");
    let why = probe.layers.iter().find(|layer| layer.name == "user namespace").unwrap();
    assert!(!why.available && why.fix.contains("max_user_namespaces"), "{why:?}");
    let error =
        execute_on(&engine_at(IsolationPolicy::Full), Request::new("bash", "")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::IsolationUnavailable);
    assert!(error.message().contains("max_user_namespaces"), "{error}");
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
