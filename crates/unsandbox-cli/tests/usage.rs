// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the command says before anything runs: help, usage errors, and what `local:` cannot do.

mod shell;

use shell::{call, call_with_stdin, scratch, unsandbox};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

#[test]
fn help_and_version_go_to_standard_output() {
    for args in
        [&["--help"][..], &["--version"], &["run", "--help"], &["serve", "--help"], &["wait", "-h"]]
    {
        let ended = call(args);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
        assert!(!ended.out.is_empty(), "{args:?}");
    }
    let help = call(&["--help"]).out;
    for command in ["run", "jobs", "job", "wait", "cancel", "languages", "doctor", "serve"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    for code in ["124", "125", "130"] {
        assert!(help.contains(code), "exit code {code}");
    }
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let mut child = unsandbox(&["run", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn wrong_usage_is_2_and_names_the_thing() {
    let long = "x".repeat(300);
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["fly"], "fly"),
        (&["run"], "FILE"),
        (&["run", "-vq", "-c", "1"], "cannot be used with"),
        (&["run", "-c", "1", "-l", "bash", "--egress-allow", "a.example"], "-n semitrusted"),
        (&["run", "-c", "1", "-l", "bash", "--stdin", "/"], "--stdin /: it is a directory"),
        (&["health", "--url", "ftp://example"], "unknown scheme"),
        (
            &["jobs", "--url", "https://example.invalid", "--ca-file", "/does/not/exist"],
            "/does/not/exist",
        ),
        (&["jobs", "--url", "https://example.invalid", "--account", "7"], "accounts.csv"),
        (&["completion"], "SHELL"),
        (&["completion", "tcsh"], "zsh"),
        (&["run", "/does/not/exist.py"], "/does/not/exist.py"),
        (&["run", "-l", "bash", "-c", "1", "--ttl", "1.5"], "1.5"),
        (&["run", "-l", "bash", "-c", "1", "--ttl", "0"], "ttl"),
        (&["run", "-l", "bash", "-c", "1", "--ttl", "-1"], "-1"),
        (&["run", "-l", "bash", "-c", "1", "--ttl", "901"], "901"),
        (&["run", "-l", "bash", "-c", "1", "-n", "open"], "open"),
        (&["run", "-l", "pyhton", "-c", "1"], "did you mean python"),
        (&["run", "-l", "bash", "-c", "1", "-e", "NAME"], "NAME=VALUE"),
        (&["run", "-l", "bash", "-c", "1", "-e", "=V"], "env"),
        (&["run", "-l", "bash", "-c", "1", "-f", "/does/not/exist"], "/does/not/exist"),
        (&["run", "-l", "bash", "-c", "1", "-f", "..=/dev/null"], ".."),
        (&["run", "-l", "bash", "-c", "1", "-f", "big=/dev/zero"], "5242880"),
        (&["run", "-l", "bash", "-c", "1", "--limit", "memory=1"], "memory_bytes"),
        (&["run", "-l", "bash", "-c", "1", "--limit", "memory_bytes=1"], "memory_bytes"),
        (&["run", "-l", "bash", "-c", "1", "--isolation", "none"], "full"),
        (&["run", "-l", "bash", "-c", "1", "--wasm"], "--artifacts"),
        (&["run", "--stdin", "-", "-"], "standard input"),
        (&["run", "-l", "bash", "-c", "1", "--public-key", "p"], "--secret-key"),
        (&["run", "-l", &long, "-c", "1"], "language"),
        (&["wait"], "ID"),
        (&["serve", "--listen", "8080"], "unix:PATH"),
        (&["serve", "--concurrency", "0"], "--concurrency"),
        (&["serve", "--max-ttl", "901"], "901"),
    ];
    for (args, names) in cases {
        let ended = call(args);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(names), "{args:?}: {}", ended.err);
    }
}

#[test]
fn eleven_files_are_one_too_many() {
    let mut args = vec!["run", "-l", "bash", "-c", "1"];
    let names: Vec<String> = (0..11).map(|index| format!("f{index}=/dev/null")).collect();
    for name in &names {
        args.extend(["-f", name]);
    }
    let ended = call(&args);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("11") && ended.err.contains("10"), "{}", ended.err);
}

#[test]
fn a_program_that_is_not_text_is_refused() {
    let ended = call_with_stdin(&["run", "-l", "bash", "-"], b"\xff\xfe");
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("UTF-8"), "{}", ended.err);
}

#[test]
fn local_keeps_no_jobs_and_names_the_way() {
    for args in [
        &["run", "--async", "-l", "bash", "-c", "1"][..],
        &["jobs"],
        &["job", "x"],
        &["wait", "x"],
        &["cancel", "x"],
        &["jobs", "--url", "local:"],
    ] {
        let ended = call(args);
        assert_eq!((ended.code, ended.out.as_str()), (125, ""), "{args:?}");
        assert!(ended.err.contains("unsandbox serve --listen unix:"), "{}", ended.err);
    }
}

#[test]
fn a_server_is_not_opened_to_others_without_keys() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ended = call(&["serve", "--listen", listen]);
        assert_eq!(ended.code, 125, "{}", ended.err);
        assert!(ended.err.contains("--keys") && ended.err.contains("127.0.0.1"), "{}", ended.err);
    }
    let ended = call(&["serve", "--listen", "127.0.0.1:0", "--keys", "/does/not/exist"]);
    assert_eq!(ended.code, 125, "{}", ended.err);
    assert!(ended.err.contains("/does/not/exist"), "{}", ended.err);
    let empty = scratch("keys").join("keys.csv");
    std::fs::write(&empty, "# none yet\n").unwrap();
    std::fs::set_permissions(&empty, PermissionsExt::from_mode(0o600)).unwrap();
    let ended = call(&["serve", "--listen", "127.0.0.1:0", "--keys", empty.to_str().unwrap()]);
    assert_eq!(ended.code, 125);
    assert!(ended.err.contains("public_key,secret_key"), "{}", ended.err);
    let ended = unsandbox(&["serve", "--listen", "127.0.0.1:0"])
        .env("UNSANDBOX_SERVE_KEYS", "")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(125), "an empty list of keys does not let everyone in");
}

#[test]
fn connections_are_enough_to_share() {
    for few in ["0", "15", "-1", "many", "1000001"] {
        let ended = call(&["serve", &format!("--connections={few}")]);
        assert_eq!(ended.code, 2, "{few}: {}", ended.err);
        assert!(ended.err.contains("16 to 1000000"), "{}", ended.err);
    }
}

#[test]
fn an_accounts_file_that_others_may_read_is_warned_of() {
    let home = scratch("accounts");
    std::fs::create_dir(home.join(".unsandbox")).unwrap();
    let file = home.join(".unsandbox/accounts.csv");
    std::fs::write(&file, "pub,sec\n").unwrap();
    // Nobody listens there: the warning comes before.
    let url = format!("unix:{}/none", home.display());
    let health = ["health", "--url", &url, "--account", "0"];
    // The directory that cannot be made ends it before it calls anyone.
    let run = ["run", "--url", &url, "--account", "0", "--artifacts", "/dev/null/x", "x.py"];
    for (mode, warned) in [(0o644, true), (0o640, true), (0o600, false)] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        for args in [&health[..], &run[..]].into_iter().skip(usize::from(mode != 0o644)) {
            let ended = unsandbox(args).env("HOME", &home).output().unwrap();
            let err = String::from_utf8(ended.stderr).unwrap();
            let lines: Vec<&str> = err.lines().filter(|line| line.contains("warning")).collect();
            assert_eq!(lines.len(), usize::from(warned), "{mode:o} {err}");
            let start = format!("unsandbox: warning: the accounts file {}", file.display());
            assert!(lines.iter().all(|line| line.starts_with(&start)), "{err}");
            assert!(lines.iter().all(|line| line.contains(&format!("mode {mode:04o}"))), "{err}");
        }
    }
}

#[test]
fn what_is_wrong_in_the_environment_is_named_with_its_variable() {
    for url in ["nonsense", "ftp://example", "unix:relative"] {
        let ended =
            shell::Ended::from(unsandbox(&["health"]).env("UNSANDBOX_URL", url).output().unwrap());
        assert_eq!(ended.code, 125, "{}", ended.err);
        assert!(ended.err.starts_with("unsandbox: UNSANDBOX_URL: endpoint"), "{}", ended.err);
    }
}

#[test]
fn what_is_wrong_with_a_socket_is_said() {
    let directory = scratch("usage-socket");
    let dead = directory.join("dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    for (path, told) in
        [(dead, "its server has ended"), (directory.join("none"), "there is no such socket")]
    {
        let url = format!("unix:{}", path.display());
        let ended = call(&["health", "--url", &url]);
        let hint = ended.err.lines().last().unwrap();
        assert!(ended.code == 125 && hint.contains(told), "{}", ended.err);
        assert!(hint.contains(&format!("unsandbox serve --listen {url}")), "{}", ended.err);
    }
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for args in
        [&["--help"][..], &["run", "--help"], &["completion", "bash"], &["languages", "--json"]]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = shell::Ended::from(unsandbox(args).stdout(full).output().unwrap());
        assert_eq!(ended.code, 125, "{args:?}: {}", ended.err);
        assert!(ended.err.contains("cannot write the output"), "{args:?}: {}", ended.err);
    }
}

#[test]
fn completion_is_a_script_that_its_shell_takes() {
    for shell in ["bash", "zsh", "fish"] {
        let script = call(&["completion", shell]);
        assert_eq!((script.code, script.err.as_str()), (0, ""), "{shell}");
        assert!(
            script.out.contains("egress-allow") && script.out.contains("memory_bytes="),
            "{shell}"
        );
        let checked = std::process::Command::new(shell)
            .args(["-n", "/dev/stdin"])
            .stdin(Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.out.as_bytes())?;
                child.wait()
            });
        // Where the shell is not installed, its script is not read.
        assert!(checked.is_err() || checked.is_ok_and(|status| status.success()), "{shell}");
    }
    let script = call(&["completion", "bash"]).out;
    for (words, wanted) in [
        (&["unsandbox", "ru"][..], "run"),
        (&["unsandbox", "run", "--netw"], "--network-mode"),
        (&["unsandbox", "run", "-n", "semi"], "semitrusted"),
        (&["unsandbox", "run", "-l", "pytho"], "python"),
        (&["unsandbox", "run", "--limit", "stack"], ""),
        (&["unsandbox", "serve", "--isolation", "fu"], "full"),
        (&["unsandbox", "completion", "z"], "zsh"),
    ] {
        let line = words.join(" ");
        let last = words.len() - 1;
        let test = format!(
            "{script}\nCOMP_WORDS=({line}) COMP_CWORD={last}\n_unsandbox\necho \"${{COMPREPLY[*]}}\""
        );
        let done = std::process::Command::new("bash").args(["-c", &test]).output().unwrap();
        let told = String::from_utf8(done.stdout).unwrap();
        assert!(told.trim_end().starts_with(wanted), "{line}: {told}");
    }
}

#[test]
fn a_program_in_place_of_a_command_is_a_hint() {
    let ended = call(&["hello.py"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("did you mean `unsandbox run hello.py`?"), "{}", ended.err);
    assert!(!call(&["hello"]).err.contains("unsandbox run hello"));
}

#[test]
fn a_language_that_is_not_told_is_named_with_l() {
    let file = scratch("usage-language").join("a program");
    std::fs::write(&file, "typedef struct point point;\n").unwrap();
    let ended = call(&["run", file.to_str().unwrap()]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    let about = format!("unsandbox: {}: the language could not be detected", file.display());
    assert!(ended.err.starts_with(&about), "{}", ended.err);
    assert!(ended.err.contains("it may be c, cpp"), "{}", ended.err);
    let command = format!("`unsandbox run -l python '{}'`", file.display());
    assert!(ended.err.contains(&command), "{}", ended.err);
    for (args, way) in
        [(&["run", "-c", "lorem ipsum"][..], "-l python -c CODE"), (&["run", "-"], "-l python -")]
    {
        let ended = call_with_stdin(args, b"lorem ipsum");
        assert!(ended.err.contains(way), "{args:?}: {}", ended.err);
    }
}

#[test]
fn what_has_no_end_is_not_read_to_its_end() {
    for args in [&["run", "-l", "bash", "/dev/zero"][..], &["run", "-l", "bash", "-"]] {
        let zero = std::fs::File::open("/dev/zero").unwrap();
        let ended = shell::Ended::from(unsandbox(args).stdin(zero).output().unwrap());
        assert_eq!(ended.code, 2, "{}", ended.err);
        assert!(ended.err.contains("100663296"), "{}", ended.err);
    }
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let args = ["run", "--url", "unix:/does/not/exist", "-l", "bash", "-c", "1"];
    let ended = shell::Ended::from(unsandbox(&args).stdin(zero).output().unwrap());
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(
        ended.err.contains("standard input") && ended.err.contains("100663296"),
        "{}",
        ended.err
    );
}

#[test]
fn a_key_over_plain_http_needs_its_own_word() {
    let args = ["jobs", "--url", "http://unsandbox.invalid:9", "--key", "k"];
    let refused = call(&args);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--allow-plain-http-key"), "{}", refused.err);
    let allowed = call(&[&args[..], &["--allow-plain-http-key"]].concat());
    assert_eq!(allowed.code, 125);
    assert!(!allowed.err.contains("can be read on the way"), "{}", allowed.err);
}

#[test]
fn an_environment_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = std::ffi::OsStr::from_bytes(b"unix:/\xff");
    let output = unsandbox(&["health"]).env("UNSANDBOX_URL", bytes).output().unwrap();
    let ended = shell::Ended::from(output);
    assert_eq!(ended.code, 125);
    assert!(ended.err.contains("UNSANDBOX_URL"), "{}", ended.err);
}
