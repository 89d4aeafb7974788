// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that hide, that outlive their run, or that reach others.

use super::*;
use std::process::Command;
use std::time::{Duration, Instant};

/// Processes of this machine with a name that begins so.
fn named(start: &[u8]) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let names = entries.filter_map(|entry| std::fs::read(entry.path().join("comm")).ok());
    names.filter(|name| name.starts_with(start)).count()
}

#[test]
fn a_name_that_is_no_text_hides_no_process() {
    let begin = Instant::now();
    // Its name is the first of its argument's bytes, and differs from that of the other user's run.
    let name = format!("r{}", std::process::id());
    let code = format!(
        "int main() {{ prctl(PR_SET_NAME, \"\\xff\\xfe{name}\");\n\
           if (fork() == 0) {{ setsid(); close(0); close(1); close(2); sleep(100); _exit(0); }}\n\
           puts(\"left\"); return 0; }}"
    );
    let result = reduced_c(&code);
    assert_eq!((result.exit_code, &result.stdout[..]), (Some(0), &b"left\n"[..]), "{result:?}");
    let name = [b"\xff\xfe", name.as_bytes()].concat();
    assert_eq!(named(&name), 0, "it outlived its run");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_run_whose_init_is_killed_leaves_no_process() {
    let engine = engine_at(IsolationPolicy::Reduced);
    let (sink, events) = recorder();
    let code = "setsid sleep 1007 & sleep 1007 & echo $$; wait";
    let submission = unsandbox_protocol::Submission::validated(Request::new("bash", code)).unwrap();
    unsandbox_protocol::Backend::submit_job(&engine, submission, sink).unwrap();
    let shell: u32 = String::from_utf8(await_output(&events)).unwrap().trim().parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{shell}/stat")).unwrap();
    let init = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_string();
    let below = || descendants(init.parse().unwrap());
    assert!(within(Duration::from_secs(5), || below().len() == 3), "{:?}", below());
    let run = below();
    assert!(Command::new("kill").args(["-KILL", &init]).status().unwrap().success());
    let left = || {
        run.iter().any(|(pid, _)| {
            // A number may be another's by now.
            let state = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            state.contains("1007")
        })
    };
    assert!(within(Duration::from_secs(5), || !left()), "{run:?}");
    let next = execute_on(&engine, Request::new("bash", "echo next")).unwrap();
    assert_eq!(next.stdout, b"next\n");
}

#[test]
fn a_pair_of_sockets_reaches_nobody_else() {
    let dir = std::env::temp_dir().join(format!("unsandbox-log-{}.sock", std::process::id()));
    let log = std::os::unix::net::UnixDatagram::bind(&dir).unwrap();
    log.set_nonblocking(true).unwrap();
    let code = format!(
        "int main() {{ int s[2];\n\
           SAY(\"datagram\", socketpair(AF_UNIX, SOCK_DGRAM, 0, s));\n\
           struct sockaddr_un to = {{AF_UNIX, \"{}\"}};\n\
           SAY(\"packet\", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s));\n\
           SAY(\"stream\", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));\n\
           SAY(\"send to\", sendto(s[0], \"forged\", 6, 0, (void *)&to, sizeof to));\n\
           SAY(\"connect\", connect(s[0], (void *)&to, sizeof to));\n\
           struct sockaddr_un abstract = {{AF_UNIX, \"\\0squat\"}};\n\
           SAY(\"bind\", bind(s[1], (void *)&abstract, 8));\n\
           SAY(\"listen\", listen(s[1], 1));\n\
           SAY(\"accept\", accept(s[1], 0, 0));\n\
           SAY(\"write\", write(s[0], \"x\", 1)); return 0; }}",
        dir.display()
    );
    let result = reduced_c(&code);
    let denied = "Operation not permitted";
    let expected = format!(
        "datagram: {denied}\npacket: {denied}\nstream: ok\nsend to: {denied}\nconnect: {denied}\n\
         bind: {denied}\nlisten: {denied}\naccept: {denied}\nwrite: ok\n"
    );
    assert_eq!(result.stdout_text(), expected, "{}", result.stderr_text());
    assert!(log.recv(&mut [0; 10]).is_err(), "the host's socket has heard from it");
    std::fs::remove_file(&dir).unwrap();
}
