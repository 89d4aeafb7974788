// SPDX-License-Identifier: MIT OR Apache-2.0
//! The level without namespaces: what it says of itself, and when it is taken. What it keeps of hostile
//! programs is in `hostile/`.

mod common;

use common::*;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use unsandbox_engine::{Engine, EngineOptions};
use unsandbox_protocol::Backend as _;
use unsandbox_protocol::{ErrorCode, ExecutionResult, IsolationPolicy, Request};

fn engine_at(isolation: IsolationPolicy) -> Engine {
    Engine::new(EngineOptions { isolation, ..EngineOptions::default() }).unwrap()
}

fn reduced(request: Request) -> ExecutionResult {
    execute_on(&engine_at(IsolationPolicy::Reduced), request).expect("the reduced level is here")
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
    after("echo 0 > /proc/sys/user/max_user_namespaces", test)
}

/// Runs one test of this file in user and mount namespaces of its own, in which a shell has done `first`.
fn after(first: &str, test: &str) -> std::process::Output {
    let program = readable_copy_of_this_program();
    let script = format!("{first} && exec \"$0\" --exact \"$1\" --nocapture");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
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
    // A root who has no other id to give: what it may do has to be taken from the program by itself.
    let code = "import ctypes; sets = {line for line in open('/proc/self/status') if line[:3] == 'Cap'}\n\
                print({line.split()[1] for line in sets}, hex(ctypes.CDLL(None).prctl(27)))";
    let rights = execute_on(&engine, Request::new("python", code)).unwrap();
    assert_eq!(rights.stdout_text(), "{'0000000000000000'} 0xef\n", "{}", rights.stderr_text());
    let result = execute_on(&engine, Request::new("bash", "echo ran")).unwrap();
    assert_eq!(
        (&result.stdout[..], result.isolation.unwrap().level.as_str()),
        (&b"ran\n"[..], "reduced")
    );
    let probe = engine.probe(&unsandbox_protocol::CallContext::default()).unwrap();
    assert_eq!(probe.level.unwrap().as_str(), "reduced");
    let why = probe.layers.iter().find(|layer| layer.name == "user namespace").unwrap();
    assert!(!why.available && why.fix.contains("max_user_namespaces"), "{why:?}");
    let error =
        execute_on(&engine_at(IsolationPolicy::Full), Request::new("bash", "")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::IsolationUnavailable);
    assert!(error.message().contains("max_user_namespaces"), "{error}");
}

#[test]
fn a_noexec_temporary_directory_is_named_where_a_program_cannot_start() {
    const THIS: &str = "a_noexec_temporary_directory_is_named_where_a_program_cannot_start";
    if std::env::var_os("UNSANDBOX_TEST_INSIDE").is_none() {
        let first = "mount -t tmpfs -o noexec,mode=1777 none /mnt && export TMPDIR=/mnt";
        let output = after(first, THIS);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        return;
    }
    let engine = engine_at(IsolationPolicy::Reduced);
    let is_told = |text: &str| ["/mnt", "noexec", "TMPDIR"].iter().all(|word| text.contains(word));
    let compiled = execute_on(&engine, Request::new("c", "int main(void) { return 0; }"));
    let error = compiled.unwrap_err();
    assert_eq!(error.code(), ErrorCode::LanguageUnavailable);
    assert!(is_told(error.message()), "{error}");
    // What needs no program of its own runs, and one that makes one hears why it does not start.
    let plain = execute_on(&engine, Request::new("bash", "echo ran; exit 7")).unwrap();
    assert_eq!((&plain.stdout[..], plain.exit_code), (&b"ran\n"[..], Some(7)));
    assert_eq!(plain.error.as_deref(), Some("the program exited with code 7"));
    // What they print is there before they end, without an object that could be loaded.
    for (language, code) in [
        ("perl", "print \"ran\\n\"; sleep 60"),
        ("python", "import time\nprint('ran')\ntime.sleep(60)"),
        ("ruby", "puts 'ran'; sleep 60"),
    ] {
        let request = Request::new(language, code).ttl(2);
        let Some(result) = if_installed(execute_on(&engine, request)) else { continue };
        assert_eq!(
            (&result.stdout[..], &result.stderr[..]),
            (&b"ran\n"[..], &b""[..]),
            "{language}"
        );
    }
    let made = Request::new("bash", "cp /bin/true own; ./own");
    let result = execute_on(&engine, made).unwrap();
    assert_eq!(result.exit_code, Some(126));
    assert!(is_told(result.error.as_deref().unwrap()), "{:?}", result.error);
    let probe = engine.probe(&unsandbox_protocol::CallContext::default()).unwrap();
    let layer = probe.layers.iter().find(|layer| layer.name == "temporary directory").unwrap();
    assert!(!layer.available && is_told(&format!("{}; {}", layer.detail, layer.fix)), "{layer:?}");
}

#[test]
fn a_noexec_tmp_gives_way_where_nobody_has_named_it() {
    const THIS: &str = "a_noexec_tmp_gives_way_where_nobody_has_named_it";
    if std::env::var_os("UNSANDBOX_TEST_INSIDE").is_none() {
        // The program itself may lie in /tmp: it is started from elsewhere.
        let first = "mount --bind \"${0%/*}\" /mnt && mount --bind /tmp /tmp && \
                     mount -o remount,bind,noexec /tmp && unset TMPDIR && \
                     exec \"/mnt/${0##*/}\" --exact \"$1\" --nocapture";
        let output = after(first, THIS);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        return;
    }
    let engine = engine_at(IsolationPolicy::Reduced);
    let code = "#include <stdio.h>\nint main(void) { char p[999]; puts(realpath(\".\", p)); }";
    let result =
        execute_on(&engine, Request::new("c", format!("#include <stdlib.h>\n{code}"))).unwrap();
    assert!(result.stdout_text().starts_with("/var/tmp/"), "{result:?}");
}

#[test]
fn a_temporary_directory_that_runs_may_not_enter_is_named() {
    const THIS: &str = "a_temporary_directory_that_runs_may_not_enter_is_named";
    let folder = std::env::temp_dir().join(format!("unsandbox-private-{}", std::process::id()));
    // Only root's runs have an id that does not own it.
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        return;
    }
    if std::env::var_os("UNSANDBOX_TEST_INSIDE").is_none() {
        std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS, "--nocapture"])
            .env("UNSANDBOX_TEST_INSIDE", "1")
            .env("TMPDIR", &folder)
            .output();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(output.unwrap().status.success());
        return;
    }
    let engine = engine_at(IsolationPolicy::Reduced);
    let error = execute_on(&engine, Request::new("bash", "echo ran")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::IsolationUnavailable);
    let folder = std::env::temp_dir().display().to_string();
    assert!([&folder, "TMPDIR"].iter().all(|word| error.message().contains(*word)), "{error}");
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
