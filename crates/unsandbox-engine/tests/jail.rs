// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program can see and do from inside, checked against what the host knows.

mod common;

use common::*;
use unsandbox_protocol::{Backend, Request};

#[test]
fn nothing_of_the_host_environment_is_inside() {
    // SAFETY: set before any thread of this test reads it.
    unsafe { std::env::set_var("UNSANDBOX_TEST_CANARY", "secret") };
    let result = bash("env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'");
    assert!(!result.stdout_text().contains("CANARY"));
    let names: Vec<_> = result
        .stdout_text()
        .lines()
        .map(|l| l.split('=').next().unwrap_or("").to_string())
        .collect();
    for name in ["PATH", "HOME", "LANG", "TMPDIR", "USER"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing");
    }
}

#[test]
fn files_of_the_host_are_not_there() {
    let code = "for f in /etc/shadow /root /home /var /run /sys /boot /mnt /proc/1/root /proc/1/environ \
                /proc/kcore /dev/sda /dev/mem /dev/kmsg; do cat $f >/dev/null 2>&1 && echo readable $f; \
                ls $f/ >/dev/null 2>&1 && echo listed $f; done; ls /";
    let result = bash(code);
    let text = result.stdout_text();
    assert!(!text.contains("readable") && !text.contains("listed"), "{text}");
    for gone in ["root", "home", "var", "run", "boot", "mnt", "sys"] {
        assert!(!text.lines().any(|line| line == gone), "{gone} is in {text}");
    }
}

#[test]
fn only_its_own_processes_are_there() {
    let result = bash("ls -d /proc/[0-9]* | wc -l; kill -9 -1; kill -9 1; echo alive");
    // bash, ls, wc and the init
    let count: u32 = result.stdout_text().lines().next().unwrap().trim().parse().unwrap();
    assert!(count <= 5, "{result:?}");
}

#[test]
fn there_is_no_way_out_to_the_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let code = format!(
        "import socket\nfor a in ['127.0.0.1','::1','169.254.169.254','8.8.8.8','10.0.0.1']:\n  \
         for p in [{port}, 80, 53]:\n    try:\n      socket.create_connection((a,p),0.3); print('reached',a,p)\n    \
         except OSError: pass\n\
         try:\n  socket.getaddrinfo('example.com',80); print('resolved')\nexcept OSError: pass\nprint('end')"
    );
    let result = execute(Request::new("python", code).ttl(30)).unwrap();
    assert_eq!(result.stdout_text(), "end\n", "{}", result.stderr_text());
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody came through");
}

#[test]
fn its_own_loopback_works() {
    let code = "import socket,threading\ns=socket.create_server(('127.0.0.1',0))\n\
                t=threading.Thread(target=lambda:s.accept()[0].sendall(b'hi'));t.start()\n\
                print(socket.create_connection(s.getsockname()).recv(2))";
    let result = execute(Request::new("python", code)).unwrap();
    assert_eq!(result.stdout_text(), "b'hi'\n", "{}", result.stderr_text());
}

#[test]
fn a_run_does_not_meet_the_connections_of_the_one_before() {
    let engine = engine();
    let code = "import socket\ns=socket.socket();s.bind(('127.0.0.1',8080));s.listen()\n\
                c=socket.create_connection(('127.0.0.1',8080));a,_=s.accept();a.close();c.close();print('ok')";
    for round in 0..6 {
        let result = execute_on(&engine, Request::new("python", code)).unwrap();
        assert_eq!(result.stdout_text(), "ok\n", "round {round}: {}", result.stderr_text());
    }
}

#[test]
fn no_rights_are_left() {
    let result = bash(
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/uid_map; ls -l /proc/self/fd | wc -l",
    );
    let text = result.stdout_text();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(text.contains(&format!("{set}:\t0000000000000000")), "{text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"), "{text}");
    let map: Vec<&str> = text
        .lines()
        .find(|line| line.trim().starts_with("1000"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!((map[0], map[2]), ("1000", "1"));
}

#[test]
fn the_system_is_read_only() {
    let code = "for d in / /usr /usr/bin /etc /dev /lib /proc/sys/kernel; do \
                touch $d/canary 2>/dev/null && echo wrote $d; done; \
                echo 1 > /etc/passwd; echo x > /proc/sys/kernel/core_pattern; rm -rf /usr/bin/true; echo end";
    let result = bash(code);
    assert_eq!(result.stdout_text(), "end\n");
    assert!(std::path::Path::new("/usr/bin/true").exists());
}

#[test]
fn nothing_persists_from_one_run_to_the_next() {
    let engine = engine();
    let leave = "for d in / /tmp /tmp/input /tmp/home /dev /dev/shm; do echo here > $d/canary; done; \
                 ipcmk -M 100 >/dev/null; true";
    execute_on(&engine, Request::new("bash", leave)).unwrap();
    let look = "find / -name canary 2>/dev/null; ipcs -m | grep -c 0x";
    for _ in 0..4 {
        let result = execute_on(&engine, Request::new("bash", look)).unwrap();
        assert_eq!(result.stdout_text(), "0\n");
    }
}

#[test]
fn forbidden_system_calls_are_refused() {
    let code = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static void say(const char *name, long got) {
    printf("%s %s\n", name, got < 0 ? strerrorname_np(errno) : "DONE");
}
int main(void) {
    say("mount", mount("none", "/tmp", "tmpfs", 0, ""));
    say("umount", umount2("/proc", MNT_DETACH));
    say("unshare_user", unshare(CLONE_NEWUSER));
    say("unshare_pid", unshare(CLONE_NEWPID));
    say("clone_user", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
    say("clone3", syscall(SYS_clone3, 0, 0));
    say("setns", syscall(SYS_setns, 0, 0));
    say("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
    say("vm_readv", syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0));
    say("bpf", syscall(SYS_bpf, 0, 0, 0));
    say("perf", syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
    say("io_uring", syscall(SYS_io_uring_setup, 1, 0));
    say("userfaultfd", syscall(SYS_userfaultfd, 0));
    say("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    say("handle", syscall(SYS_open_by_handle_at, 0, 0, 0));
    say("netlink", socket(AF_NETLINK, SOCK_DGRAM, 0));
    say("packet", socket(AF_PACKET, SOCK_DGRAM, 0));
    say("vsock", socket(40, SOCK_STREAM, 0));
    say("alg", socket(38, SOCK_SEQPACKET, 0));
    say("raw", socket(AF_INET, SOCK_RAW, 1));
    say("mknod", mknod("/tmp/dev", S_IFCHR | 0600, 0x103));
    say("tiocsti", syscall(SYS_ioctl, 0, 0x5412, "x"));
    say("tiocsti_high", syscall(SYS_ioctl, 0, 0x100005412ul, "x"));
    say("settime", syscall(SYS_clock_settime, 0, 0));
    say("chroot", chroot("/tmp"));
    struct rlimit none = {0, 0};
    say("core", setrlimit(RLIMIT_CORE, &none));
    say("getcore", getrlimit(RLIMIT_CORE, &none));
    say("x32", syscall(0x40000000 | 39));
    say("tcp", socket(AF_INET, SOCK_STREAM, 0));
    return 0;
}
"#;
    let result = c(code);
    let text = result.stdout_text();
    let expected = [
        "mount EPERM",
        "umount EPERM",
        "unshare_user EPERM",
        "unshare_pid EPERM",
        "clone_user EPERM",
        "clone3 ENOSYS",
        "setns EPERM",
        "ptrace EPERM",
        "vm_readv EPERM",
        "bpf EPERM",
        "perf EPERM",
        "io_uring ENOSYS",
        "userfaultfd ENOSYS",
        "keyctl ENOSYS",
        "handle EPERM",
        "netlink EPERM",
        "packet EPERM",
        "vsock EPERM",
        "alg EPERM",
        "raw EPERM",
        "mknod EPERM",
        "tiocsti EPERM",
        "tiocsti_high EPERM",
        "settime EPERM",
        "chroot EPERM",
        "core EPERM",
        "getcore DONE",
        "x32 ENOSYS",
        "tcp DONE",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{}", result.stderr_text());
}

#[test]
fn a_call_of_the_32_bit_table_kills() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let result = c(
        "int main(void){ long r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(20)); return 3; }",
    );
    assert_eq!(result.signal, Some(31), "{result:?}");
}

#[test]
fn the_machine_has_a_neutral_face() {
    let result = bash("hostname; id -un; date +%Z; cat /etc/machine-id; ulimit -c");
    assert_eq!(
        result.stdout_text(),
        "sandbox\nsandbox\nUTC\n00000000000000000000000000000000\n0\n"
    );
}

#[test]
fn the_streams_can_be_opened_again() {
    let result = execute(
        Request::new("bash", "cat /dev/stdin > /dev/stdout; echo err > /dev/stderr").stdin("x\n"),
    )
    .unwrap();
    assert_eq!((&result.stdout[..], &result.stderr[..]), (&b"x\n"[..], &b"err\n"[..]));
}

#[test]
fn a_fork_bomb_ends() {
    let result = execute(Request::new("bash", ":(){ :|:& };:; sleep 1; echo over").ttl(5)).unwrap();
    assert!(result.status.is_terminal());
    assert_eq!(bash("echo next").stdout, b"next\n");
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
fn again_unprivileged() {
    again_as_an_ordinary_user("again_unprivileged");
}
