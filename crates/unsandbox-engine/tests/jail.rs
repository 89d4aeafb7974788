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

/// Each reads its standard input by the name of its file.
const BY_NAME: [(&str, &str); 7] = [
    ("bash", "cat /dev/stdin | wc -c"),
    ("python", "print(len(open('/dev/stdin').read()))"),
    ("javascript", "console.log(require('fs').readFileSync('/dev/stdin').length)"),
    ("ruby", "puts File.read('/dev/stdin').size"),
    (
        "perl",
        "open my $f, '<', '/dev/stdin' or die $!; local $/; print length(<$f> // ''), qq(\\n);",
    ),
    ("lua", "print(#io.open('/dev/stdin'):read('*a'))"),
    (
        "c",
        "#include <stdio.h>\nint main(void) { FILE *f = fopen(\"/dev/stdin\", \"r\"); int n = 0;\n\
         if (!f) { perror(\"fopen\"); return 1; } while (getc(f) != EOF) n++; printf(\"%d\\n\", n); return 0; }",
    ),
];

#[test]
fn standard_input_has_a_name_even_where_there_is_none() {
    let engine = engine();
    for (language, code) in BY_NAME {
        for (given, printed) in [(None, "0\n"), (Some(""), "0\n"), (Some("abc\n"), "4\n")] {
            let mut request = Request::new(language, code).ttl(20);
            request.stdin = given.map(|text| text.as_bytes().to_vec());
            let Some(result) = if_installed(execute_on(&engine, request)) else { continue };
            assert_eq!(result.stdout_text(), printed, "{language}, {given:?}: {result:?}");
        }
    }
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

/// Programs that look `localhost` up, print what they got for it, and fail at a name that nobody can look up.
const LOOKUPS: [(&str, &str, &str); 5] = [
    (
        "python",
        "import socket\nprint(socket.gethostbyname('localhost'))\nsocket.getaddrinfo('example.com', 443)",
        "Name or service not known",
    ),
    (
        "javascript",
        "require('dns').lookup('localhost', 4, (e, a) => { console.log(a); \
         fetch('http://example.com').catch(e => { console.error(e); process.exitCode = 1 }) })",
        "ENOTFOUND",
    ),
    (
        "ruby",
        "require 'socket'\nputs Addrinfo.ip('localhost').ip_address.sub('::1', '127.0.0.1')\n\
         TCPSocket.new('example.com', 80)",
        "Name or service not known",
    ),
    (
        "c",
        "#include <arpa/inet.h>\n#include <netdb.h>\n#include <stdio.h>\nint main(void) { struct addrinfo *it;\n\
         struct addrinfo four = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}; int got;\n\
         if (!getaddrinfo(\"localhost\", 0, &four, &it)) puts(inet_ntoa(((struct sockaddr_in *)it->ai_addr)->sin_addr));\n\
         got = getaddrinfo(\"example.com\", \"80\", 0, &it); fprintf(stderr, \"%s\\n\", gai_strerror(got));\n\
         return got == EAI_NONAME; }",
        "Name or service not known",
    ),
    (
        "perl",
        "use Socket; $| = 1; print inet_ntoa(inet_aton('localhost')), \"\\n\"; use IO::Socket::INET;\n\
         IO::Socket::INET->new(PeerAddr => '192.0.2.1:80', Timeout => 9) or die \"$@\\n\";",
        "Network is unreachable",
    ),
];

#[test]
fn a_program_without_a_network_hears_so_at_once_and_its_result_says_why() {
    const WHY: &str = "network_mode is zerotrust";
    let engine = engine();
    for (language, code, words) in LOOKUPS {
        let result = execute_on(&engine, Request::new(language, code).ttl(20)).unwrap();
        assert!(!result.success && result.stdout_text() == "127.0.0.1\n", "{language}: {result:?}");
        assert!(result.stderr_text().contains(words), "{language}: {}", result.stderr_text());
        assert!(result.error.unwrap().contains(WHY), "{language}");
    }
    let other = execute_on(&engine, Request::new("bash", "echo no host >&2; exit 1")).unwrap();
    assert!(!other.error.unwrap().contains(WHY));
    let handled = execute_on(&engine, Request::new("bash", "echo ENOTFOUND >&2")).unwrap();
    assert_eq!(handled.error, None);
}

/// Programs that start another one at a pseudo-terminal, and print what it says of its output.
const AT_TERMINALS: [(&str, &str); 7] = [
    ("bash", "script -qc '[ -t 1 ] && tty' /dev/null"),
    ("python", "import pty\npty.spawn(['sh', '-c', '[ -t 1 ] && tty'])"),
    ("ruby", "require 'pty'\nPTY.spawn('[ -t 1 ] && tty') { |r, w, pid| print r.gets }"),
    ("ruby", "require 'pty'\nm, s = PTY.open\nputs s.path + \"\\r\" if s.tty?"),
    (
        "javascript",
        "process.stdout.write(require('child_process').execFileSync('script', ['-qec', 'tty', '/dev/null']))",
    ),
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
