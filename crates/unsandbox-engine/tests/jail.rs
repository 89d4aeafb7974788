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
    let probe = engine().probe(&unsandbox_protocol::CallContext::default()).unwrap();
    assert_eq!(probe.level.map(|level| level.as_str()), Some("full"));
    let _ = engine().languages(&unsandbox_protocol::CallContext::default()).unwrap();
    for layer in ["user namespace", "seccomp", "landlock", "rights", "rlimits", "cgroup"] {
        assert!(probe.layers.iter().any(|found| found.name == layer), "{layer}");
    }
}

#[test]
fn the_network_counters_tell_nothing_of_the_run_before() {
    let engine = engine();
    let code = "import socket\nprint(open('/proc/net/snmp').read())\nprint(open('/proc/net/netstat').read())\n\
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor _ in range(31337):\n    \
                try: s.sendto(b'x', ('8.8.8.8', 53))\n    except OSError: pass";
    let run = || execute_on(&engine, Request::new("python", code)).unwrap();
    let first = run();
    assert!(first.success && !first.stdout.is_empty(), "{}", first.stderr_text());
    for round in 0..6 {
        let later = run();
        assert_eq!(later.stdout_text(), first.stdout_text(), "round {round}");
    }
}

#[test]
fn an_unused_network_is_used_again() {
    // Its making is the dearest part of a jail: what is compared must not always differ.
    let engine = engine();
    let places: std::collections::HashSet<String> = (0..20)
        .map(|_| execute_on(&engine, Request::new("bash", "readlink /proc/self/ns/net")).unwrap())
        .map(|result| result.stdout_text().into_owned())
        .collect();
    assert!(places.len() < 15, "{places:?}");
}

#[test]
fn what_a_run_has_used_is_not_the_next_ones() {
    let engine = engine();
    let much = "x = bytearray(200 << 20)\nfor _ in range(10_000_000): pass";
    for round in 0..4 {
        let run = |code| execute_on(&engine, Request::new("python", code)).unwrap().usage.unwrap();
        let (first, next) = (run(much), run("pass"));
        assert!(first.peak_memory_bytes > 200 << 20, "round {round}: {first:?}");
        assert!(next.peak_memory_bytes < 100 << 20, "round {round}: {next:?}");
        assert!(next.cpu_time_ms < first.cpu_time_ms, "round {round}: {first:?}, then {next:?}");
    }
}

/// Programs that start another one at a pseudo-terminal, and print what it says of its output.
const AT_TERMINALS: [(&str, &str); 5] = [
    ("bash", "script -qc '[ -t 1 ] && tty' /dev/null"),
    ("python", "import pty\npty.spawn(['sh', '-c', '[ -t 1 ] && tty'])"),
    ("ruby", "require 'pty'\nPTY.spawn('[ -t 1 ] && tty') { |r, w, pid| print r.gets }"),
    (
        "c",
        "#include <pty.h>\n#include <stdio.h>\n#include <unistd.h>\n#include <sys/wait.h>\n\
         int main(void) { int end, n; char text[99]; struct winsize size = {24, 80, 0, 0};\n\
         if (!forkpty(&end, 0, 0, &size)) { execl(\"/bin/sh\", \"sh\", \"-c\", \"[ -t 1 ] && tty\", (char *)0); _exit(9); }\n\
         while ((n = read(end, text, sizeof text)) > 0) fwrite(text, 1, n, stdout); wait(0); return 0; }",
    ),
    (
        "python",
        "import os, pty, select, termios, fcntl, struct\nmaster, slave = pty.openpty()\n\
         fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 7, 9, 0, 0))\n\
         termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(slave))\n\
         assert os.get_terminal_size(slave) == (9, 7)\nos.write(slave, os.ttyname(slave).encode() + b'\\n')\n\
         select.select([master], [], [], 20)\nprint(os.read(master, 99).decode(), end='')",
    ),
];

#[test]
fn a_program_makes_pseudo_terminals_of_its_own() {
    let engine = engine();
    for (language, code) in AT_TERMINALS {
        let result = execute_on(&engine, Request::new(language, code).ttl(20)).unwrap();
        // The first of each run: there is none of others.
        assert_eq!(result.stdout_text(), "/dev/pts/0\r\n", "{language}: {result:?}");
    }
}

#[test]
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
