// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command on `local:`: real programs in the real sandbox.

mod shell;

use shell::{
    Ended, call, call_with_stdin, get_by_gateway, scratch, signal, start, terminal, unsandbox,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Runs bash on the engine; the line about a reduced isolation, where there is one, is taken out.
fn bash(code: &str, more: &[&str]) -> Ended {
    let mut args = vec!["run", "-l", "bash", "-c", code];
    args.extend(more);
    plain(call(&args))
}

fn plain(mut ended: Ended) -> Ended {
    let ours = |line: &&str| !line.starts_with("unsandbox: isolation level reduced");
    ended.err = ended.err.split_inclusive('\n').filter(ours).collect();
    ended
}

#[test]
fn output_and_exit_code_are_the_programs_own() {
    let ended = bash("echo out; echo err >&2; exit 7", &[]);
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (7, "out\n", "err\n"));
    let ended = bash("kill -9 $$", &[]);
    assert_eq!((ended.code, ended.out.as_str()), (137, ""));
}

#[test]
fn options_reach_the_program() {
    let file = scratch("local-options").join("data.txt");
    std::fs::write(&file, "content").unwrap();
    let renamed = format!("other={}", file.display());
    let code = "echo \"$A|$1|$2|$(cat data.txt)|$(cat other)|${HOME_OF_HOST-unset}\"";
    let ended = unsandbox(&["run", "-l", "bash", "-c", code, "-e", "A=b c"])
        .args(["-f", file.to_str().unwrap(), "-f", &renamed, "--", "-x", "y z"])
        .env("HOME_OF_HOST", "leaks")
        .output()
        .unwrap();
    let ended = plain(Ended::from(ended));
    let expected = (0, "b c|-x|y z|content|content|unset\n", "");
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), expected);
}

#[test]
fn files_run_by_extension_by_shebang_and_from_standard_input() {
    let directory = scratch("local-files");
    let by_extension = directory.join("hello.sh");
    std::fs::write(&by_extension, "echo $BASH_VERSION").unwrap();
    let ended = call(&["run", by_extension.to_str().unwrap()]);
    assert!(ended.code == 0 && ended.out.len() > 3, "{ended:?}");
    let by_shebang = directory.join("hello");
    std::fs::write(&by_shebang, "#!/usr/bin/env bash\necho shebang\n").unwrap();
    let ended = call(&["run", by_shebang.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "shebang\n"), "{}", ended.err);
    let ended = call_with_stdin(&["run", "-l", "bash", "-"], b"echo source; cat");
    assert_eq!((ended.code, ended.out.as_str()), (0, "source\n"), "{}", ended.err);
}

#[test]
fn standard_input_and_output_stream() {
    let mut child =
        unsandbox(&["run", "-l", "bash", "-c", "while read l; do echo \"got $l\"; done"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for word in ["one", "two"] {
        // Each answer is read before the next line is written.
        stdin.write_all(format!("{word}\n").as_bytes()).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, format!("got {word}\n"));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_terminal_is_read_only_when_asked_for() {
    let (mut person, program) = terminal();
    person.write_all(b"typed\n\x04").unwrap();
    // Were it read, the program would have the word.
    let ended = unsandbox(&["run", "-l", "bash", "-c", "cat"])
        .stdin(program.try_clone().unwrap())
        .output()
        .unwrap();
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(0), &b""[..]));
    let ended = unsandbox(&["run", "-l", "bash", "-c", "cat", "--stdin", "-"])
        .stdin(program)
        .output()
        .unwrap();
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(0), &b"typed\n"[..]));
}

#[test]
fn on_a_terminal_the_limit_that_ended_a_program_is_named() {
    let (mut person, program) = terminal();
    let mut child = unsandbox(&["run", "-l", "bash", "-c", "while :; do :; done", "--ttl", "1"])
        .stdout(Stdio::null())
        .stderr(program)
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    let mut line = [0; 200];
    let count = person.read(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line[..count]);
    assert!(line.contains("unsandbox: ") && line.contains('1'), "{line}");
}

#[test]
fn bytes_that_are_no_text_pass() {
    let output =
        unsandbox(&["run", "-l", "bash", "-c", "printf '\\xff\\x00\\xfe'"]).output().unwrap();
    assert_eq!(output.stdout, b"\xff\x00\xfe");
    let output = unsandbox(&["run", "-l", "bash", "-c", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            child.stdin.take().unwrap().write_all(b"\x80\x00")?;
            child.wait_with_output()
        })
        .unwrap();
    assert_eq!(output.stdout, b"\x80\x00");
}

#[test]
fn the_ttl_ends_a_program_with_124_and_its_output() {
    let began = Instant::now();
    let ended = bash("echo before; while :; do :; done", &["--ttl", "1"]);
    assert_eq!((ended.code, ended.out.as_str()), (124, "before\n"));
    assert!(
        ended.err.starts_with("unsandbox: ") && ended.err.lines().count() == 1,
        "{}",
        ended.err
    );
    let ended = bash("while :; do :; done", &["--ttl", "1", "-q"]);
    assert_eq!((ended.code, ended.err.as_str()), (124, ""));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let ended = bash("while :; do :; done", &["--ttl", "1", "-v"]);
    assert!(ended.err.contains("local:") && ended.err.lines().count() == 2, "{}", ended.err);
}

#[test]
fn a_signal_or_a_limit_is_said_in_one_line_and_an_exit_code_is_not() {
    for (code, exit_code, told) in [
        ("kill -9 $$", 137, "SIGKILL"),
        ("kill -SEGV $$", 139, "SIGSEGV"),
        ("x=$(head -c 100M /dev/zero | tr '\\0' x); echo ${#x}", 137, "memory"),
    ] {
        let ended = bash(code, &["--limit", "memory_bytes=32M"]);
        assert_eq!((ended.code, ended.err.lines().count()), (exit_code, 1), "{}", ended.err);
        assert!(ended.err.starts_with("unsandbox: ") && ended.err.contains(told), "{}", ended.err);
        let quiet = bash(code, &["--limit", "memory_bytes=32M", "-q"]);
        assert_eq!((quiet.code, quiet.err.as_str()), (exit_code, ""));
    }
    for code in ["true", "exit 7", "exit 124", "exit 137"] {
        let own = bash(code, &[]);
        assert_eq!(own.err, "", "{code}");
    }
    let own = bash("exit 7", &["-v"]);
    assert!(own.code == 7 && own.err.lines().count() == 1, "{}", own.err);
}

#[test]
fn artifacts_that_nobody_saves_are_named() {
    let code = "mkdir -p artifacts/d; touch artifacts/a artifacts/b artifacts/c artifacts/d/e";
    let ended = bash(code, &[]);
    let line = "unsandbox: artifacts are not saved: a, b, c and 1 more; give --artifacts DIR to keep them\n";
    assert_eq!((ended.code, ended.err.as_str()), (0, line));
    let directory = scratch("local-artifacts");
    let saved = ["--artifacts", directory.to_str().unwrap()];
    for more in [&["-q"][..], &["--json"], &saved] {
        assert_eq!(bash(code, more).err, "", "{more:?}");
    }
    for (exit_code, end) in [(0, ""), (7, "; exit 7")] {
        let ended =
            bash(&format!("mkdir -p artifacts; ln -s /etc/passwd artifacts/link{end}"), &[]);
        assert_eq!(ended.code, exit_code);
        let line = "unsandbox: artifact \"link\" was skipped: it is a link\n";
        assert_eq!(ended.err, line);
    }
}

#[test]
fn files_that_the_program_leaves_are_named_and_saved_where_asked() {
    let code = "mkdir out; touch a.png out/b.png c d";
    let ended = bash(code, &[]);
    let line = "unsandbox: files of the working directory are not kept: a.png, c, d and 1 more; --output PATTERN brings \
                those back that it names\n";
    assert_eq!((ended.code, ended.err.as_str()), (0, line));
    let directory = scratch("local-outputs");
    let asked = ["--output", "**/*.png", "--artifacts", directory.to_str().unwrap()];
    for quiet in [&["-q"][..], &["--json"], &asked] {
        assert_eq!(bash(code, quiet).err, "", "{quiet:?}");
    }
    assert!(directory.join("a.png").is_file() && directory.join("out/b.png").is_file());
    assert!(!directory.join("c").exists());
    let ended = bash(code, &["--output", "/tmp/x"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("outputs[0] \"/tmp/x\" is absolute"), "{}", ended.err);
}

#[test]
fn all_words_behind_the_program_are_its_own() {
    let file = scratch("local-words").join("words.sh");
    std::fs::write(&file, "printf '<%s>' \"$@\"").unwrap();
    let file = file.to_str().unwrap();
    for (words, printed) in [
        (&["a", "b c"][..], "<a><b c>"),
        (&["--", "a"], "<a>"),
        (&["--help", "--ttl", "5", "-q"], "<--help><--ttl><5><-q>"),
        (&["a", "--", "b"], "<a><--><b>"),
    ] {
        let ended = call(&[&["run", "--ttl", "9", file], words].concat());
        assert_eq!((ended.code, ended.out.as_str()), (0, printed), "{words:?}: {}", ended.err);
    }
    let ended = call(&["run", "-l", "bash", "-c", "printf '<%s>' \"$@\"", "a", "--json"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "<a><--json>"), "{}", ended.err);
    let ended = call_with_stdin(&["run", "-l", "bash", "-", "x", "-v"], b"printf '<%s>' \"$@\"");
    assert_eq!((ended.code, ended.out.as_str()), (0, "<x><-v>"), "{}", ended.err);
}

#[test]
fn an_interrupt_ends_the_program_and_keeps_its_output() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = start(&["run", "-l", "bash", "-c", "echo before; sleep 600"]);
        let mut first = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert_eq!(&first, b"before\n");
        let began = Instant::now();
        signal(&child, name);
        let ended = plain(Ended::from(child.wait_with_output().unwrap()));
        assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (code, "", ""));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn an_interrupted_run_gives_its_partial_result_as_json() {
    // The program cannot reach the host: what tells that it runs is its reading of standard input.
    let mut child =
        unsandbox(&["run", "--json", "-l", "bash", "-c", "echo before; cat; sleep 600"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than all pipes on the way hold together: the last byte is taken by the running program.
    stdin.write_all(&vec![b'x'; 1 << 20]).unwrap();
    signal(&child, "INT");
    let ended = Ended::from(child.wait_with_output().unwrap());
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &json["status"]), (130, &"cancelled".into()));
    assert!(json["stdout"].as_str().unwrap().starts_with("before\nx"));
    drop(stdin);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut child = start(&["run", "-l", "bash", "-c", "while :; do echo y; done"]);
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 2]).unwrap();
    drop(child.stdout.take());
    let ended = plain(Ended::from(child.wait_with_output().unwrap()));
    assert_eq!((ended.code, ended.err.as_str()), (141, ""));
}

#[test]
fn what_was_compiled_is_saved_and_runs() {
    let directory = scratch("local-artifact");
    let source = directory.join("hello.c");
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { puts(\"from c\"); return 3; }\n")
        .unwrap();
    let out = directory.join("out");
    let ended = call(&["run", "--artifacts", out.to_str().unwrap(), source.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (3, "from c\n"), "{}", ended.err);
    let saved: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(saved.len(), 1, "{saved:?}");
    let output = std::process::Command::new(&saved[0]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"from c\n"[..]));
}

#[test]
fn a_missing_runtime_names_its_package() {
    let ended = call(&["run", "-l", "bash", "--runtime", "/does/not/exist", "-c", "1"]);
    assert_ne!(ended.code, 0);
    assert!(ended.err.contains("/does/not/exist"), "{}", ended.err);
}

#[test]
fn doctor_and_languages_tell_of_this_machine() {
    let doctor = call(&["doctor"]);
    let json = call(&["doctor", "--json"]);
    let probe: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let level = probe["level"].as_str().unwrap_or("none");
    let expected = match level {
        "full" => 0,
        "reduced" => 1,
        _ => 125,
    };
    assert_eq!((doctor.code, json.code), (expected, expected), "{}", doctor.out);
    assert!(doctor.out.contains(&format!("isolation: {level}")), "{}", doctor.out);
    for layer in probe["layers"].as_array().unwrap() {
        let name = layer["name"].as_str().unwrap();
        assert!(doctor.out.contains(name), "{name}");
        let missing = layer["available"] == false;
        assert!(!missing || doctor.out.contains(layer["fix"].as_str().unwrap()), "{name}");
    }
    let languages = call(&["languages"]);
    let bash = languages.out.lines().find(|line| line.starts_with("bash ")).unwrap();
    assert!(bash.contains("/bash"), "{bash}");
}

#[test]
fn a_semitrusted_program_reaches_the_hosts_that_are_allowed() {
    let code = &get_by_gateway("http://other.test/");
    let args = ["-n", "semitrusted", "--egress-allow", "*.example", "--egress-allow", "a.test"];
    let ended = bash(code, &args);
    let refused = "egress refused: other.test:80 (not on the allow-list)\n";
    assert_eq!((ended.code, ended.out.as_str()), (0, refused), "{ended:?}");

    let elsewhere =
        ["-n", "semitrusted", "--egress-allow", "a.test", "--url", "http://127.0.0.1:9"];
    let ended = bash("true", &elsewhere);
    assert_ne!(ended.code, 0);
    assert!(ended.err.contains("egress_allow") && ended.err.contains("127.0.0.1:9"), "{ended:?}");
}

#[test]
fn an_isolation_that_a_server_would_not_keep_to_is_refused() {
    for level in ["full", "reduced"] {
        let ended = bash("true", &["--isolation", level, "--url", "http://127.0.0.1:9"]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(level) && ended.err.contains("serve --isolation"), "{ended:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_told_before_the_run_or_names_what_is_not_saved() {
    let folder = std::env::temp_dir().join(format!("unsandbox-saved-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("file");
    std::fs::write(&file, "").unwrap();
    let ended = bash("echo ran", &["--artifacts", file.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
    // A folder stands where the artifact should go: the program has run, and its end is not lost for that.
    let target = folder.join("out");
    std::fs::create_dir_all(target.join("a")).unwrap();
    let code = "echo ran; echo 1 > artifacts/a; echo 2 > artifacts/b; exit 7";
    let ended = bash(code, &["--artifacts", target.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (7, "ran\n"), "{ended:?}");
    assert!(ended.err.contains("artifact \"a\" is not saved"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(target.join("b")).unwrap(), "2\n");
    // Nobody can make a file there, not even root.
    let ended = bash(code, &["--artifacts", "/proc"]);
    assert_eq!((ended.code, ended.out.as_str()), (7, "ran\n"), "{ended:?}");
    assert!(ended.err.contains("\"a\"") && ended.err.contains("\"b\""), "{ended:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_artifact_does_not_get_into_the_hidden_files_of_a_directory() {
    let target = scratch("hidden");
    std::fs::create_dir_all(target.join(".git")).unwrap();
    std::fs::write(target.join(".git/config"), "old").unwrap();
    let code =
        "cd artifacts; mkdir .git; echo new > .git/config; echo new > .envrc; echo new > -rf";
    let ended = bash(code, &["--artifacts", target.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(std::fs::read_to_string(target.join(".git/config")).unwrap(), "old");
    for name in ["_git/config", "_envrc", "_rf"] {
        assert_eq!(std::fs::read_to_string(target.join(name)).unwrap(), "new\n", "{name}");
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 4);
    std::fs::remove_dir_all(&target).unwrap();
}

#[test]
fn artifacts_whose_names_become_one_are_all_saved() {
    let target = scratch("one-name");
    let code = "cd artifacts; echo 1 > $'a\\x01'; mkdir a_; echo 2 > a_/b; echo 3 > A; echo 4 > $'x\\xff'; \
                echo 5 > $'x\\xfe'";
    let ended = bash(code, &["--artifacts", target.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for (place, content) in [
        ("a_", "1\n"),
        ("a_-2/b", "2\n"),
        ("A", "3\n"),
        ("x\u{fffd}", "5\n"),
        ("x\u{fffd}-2", "4\n"),
    ] {
        assert_eq!(std::fs::read_to_string(target.join(place)).unwrap(), content, "{place}");
    }
}
