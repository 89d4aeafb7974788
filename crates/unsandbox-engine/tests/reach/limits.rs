// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory and processor time that a watchdog could overlook: root has a control group here, an ordinary
//! user has none.

use super::*;

fn holds_too_much(isolation: IsolationPolicy, code: &str) {
    let result = run_at(isolation, c_program(code).limits(memory(64 << 20)));
    assert_limit(&result, LimitKind::Memory);
}

#[test]
fn memory_behind_a_name_that_is_no_text_counts() {
    let code = "int main() { prctl(PR_SET_NAME, \"\\xff\\xfe\"); hold(300); return 0; }";
    for isolation in BOTH {
        holds_too_much(isolation, code);
    }
}

#[test]
fn memory_of_a_process_whose_leader_is_gone_counts() {
    let code = "static void *other(void *arg) { usleep(100000); hold(300); return arg; }\n\
        int main() { pthread_t it; pthread_create(&it, 0, other, 0); syscall(SYS_exit, 0); return 0; }";
    for isolation in BOTH {
        holds_too_much(isolation, code);
    }
}

#[test]
fn memfds_of_a_process_whose_leader_is_gone_count() {
    let code = "static void *other(void *arg) { usleep(100000); hold_memfds(300); return arg; }\n\
        int main() { pthread_t it; pthread_create(&it, 0, other, 0); syscall(SYS_exit, 0); return 0; }";
    for isolation in BOTH {
        holds_too_much(isolation, code);
    }
}

#[test]
fn memory_of_a_process_that_would_not_be_dumped_counts() {
    for isolation in BOTH {
        holds_too_much(isolation, "int main() { prctl(PR_SET_DUMPABLE, 0); hold(300); return 0; }");
        let code = "int main() { prctl(PR_SET_DUMPABLE, 0); hold_memfds(300); return 0; }";
        holds_too_much(isolation, code);
    }
}

#[test]
fn threads_have_no_descriptors_of_their_own() {
    let code = "static char stack[65536];\n\
        static int nothing(void *arg) { (void)arg; for (;;) pause(); }\n\
        int main() { SAY(\"unshare\", unshare(CLONE_FILES));\n\
          SAY(\"close_range\", syscall(SYS_close_range, 100, 200, 2));\n\
          SAY(\"clone\", clone(nothing, stack + 65536, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0));\n\
          SAY(\"shared\", clone(nothing, stack + 65536, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES, 0));\n\
          fflush(stdout); _exit(0); }";
    for isolation in BOTH {
        let result = run_at(isolation, c_program(code));
        let refused = ["unshare", "close_range", "clone"]
            .map(|name| format!("{name}: Operation not permitted\n"));
        let expected = refused.concat() + "shared: ok\n";
        assert_eq!(result.stdout_text(), expected, "{}", result.stderr_text());
    }
}

#[test]
fn a_process_that_may_not_be_looked_at_is_ended() {
    let code = "int main(int argc, char **argv) {\n\
          if (argc > 1) { for (int i = 0; i < 30; i++) fallocate(memfd_create(\"held\", 0), 0, 0, 10 * MB);\n\
            usleep(700000); puts(\"held\"); return 0; }\n\
          static char text[4 * MB]; int from = open(\"/proc/self/exe\", O_RDONLY);\n\
          int to = open(\"unreadable\", O_CREAT | O_WRONLY, 0111); ssize_t size = read(from, text, sizeof text);\n\
          if (write(to, text, size) != size) return 1;\n\
          close(to); execl(\"./unreadable\", \"unreadable\", \"x\", (char *)0); perror(\"exec\"); return 1; }";
    let result = reduced(c_program(code).limits(memory(64 << 20)));
    // With a control group the kernel counts what nobody sees.
    assert_eq!((result.exit_code, result.stdout_text()), (Some(137), "".into()), "{result:?}");
}

#[test]
fn a_memfd_that_is_mapped_and_has_no_descriptor_counts() {
    let code = "int main() { for (int i = 0; i < 30; i++) { int fd = memfd_create(\"held\", 0);\n\
          if (fd < 0) { puts(strerror(errno)); return 0; }\n\
          fallocate(fd, 0, 0, 10 * MB); mmap(0, 4096, 3, MAP_SHARED, fd, 0); close(fd); } sleep(20); return 0; }";
    let result = reduced(c_program(code).limits(memory(64 << 20)));
    let refused = result.stdout_text() == "Function not implemented\n";
    assert!(refused || result.limit == Some(LimitKind::Memory), "{result:?}");
}

#[test]
fn what_sockets_hold_counts() {
    let code = "static char block[65536];\n\
        int main() { for (int p = 0; p < 3; p++) if (fork() == 0) { int s[2];\n\
          for (int i = 0; i < 480 && !socketpair(AF_UNIX, SOCK_STREAM, 0, s); i++)\n\
            for (int k = 0; k < 2; k++) { fcntl(s[k], F_SETFL, O_NONBLOCK); while (write(s[k], block, sizeof block) > 0); }\n\
          sleep(20); _exit(0); }\n\
        while (wait(0) > 0); return 0; }";
    for isolation in BOTH {
        holds_too_much(isolation, code);
    }
}

#[test]
fn buffers_of_sockets_stay_near_the_limit() {
    let connect = "int big = 8 * MB, l = socket(AF_INET, SOCK_STREAM, 0);\n\
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};\n\
        socklen_t size = sizeof at; setsockopt(l, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);\n\
        bind(l, (void *)&at, size); listen(l, 100); getsockname(l, (void *)&at, &size);\n\
        for (int i = 0; i < 30; i++) { int s = socket(AF_INET, SOCK_STREAM, 0);\n\
          setsockopt(s, SOL_SOCKET, SO_SNDBUF, &big, sizeof big);\n\
          if (connect(s, (void *)&at, size) || accept(l, 0, 0) < 0) return 1; fill(s); }";
    let pairs = "int big = 8 * MB, s[2]; for (int i = 0; i < 60 && !socketpair(AF_UNIX, SOCK_STREAM, 0, s); i++) {\n\
          setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big); fill(s[0]); }";
    for sockets in [connect, pairs] {
        let code = format!(
            "#include <arpa/inet.h>\nstatic char block[65536]; static long held;\n\
             static void fill(int s) {{ fcntl(s, F_SETFL, O_NONBLOCK);\n\
               for (int k = 0; k < 20; k++) {{ for (ssize_t n; (n = write(s, block, sizeof block)) > 0;) held += n; usleep(1000); }} }}\n\
             int main() {{ {sockets}\n printf(\"%ld\\n\", held / MB); return 0; }}"
        );
        let result = run_at(IsolationPolicy::Full, c_program(&code).limits(memory(64 << 20)));
        // Memory in pairs is the run's own where the kernel counts it.
        if result.limit == Some(LimitKind::Memory) {
            continue;
        }
        let held: u64 = result.stdout_text().trim().parse().expect("it says what it held");
        assert!((1..80).contains(&held), "{held} MB, and {:?}", result.usage);
    }
}

#[test]
fn huge_pages_are_refused() {
    let code = "int main() {\n\
        SAY(\"mmap\", mmap(0, 2 * MB, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));\n\
        SAY(\"memfd\", memfd_create(\"h\", MFD_HUGETLB)); return 0; }";
    for isolation in BOTH {
        let result = run_at(isolation, c_program(code));
        let said = result.stdout_text();
        let memfd =
            said.strip_prefix("mmap: Operation not permitted\nmemfd: ").expect("it is refused");
        // Without a control group there are no memfds at all.
        assert!(
            ["Operation not permitted\n", "Function not implemented\n"].contains(&memfd),
            "{said}"
        );
    }
}

#[test]
fn time_of_children_that_nobody_waits_for_counts() {
    let limits = Limits { cpu_time_ms: Some(1_000), ..Limits::default() };
    let code = "int main() { signal(SIGCHLD, SIG_IGN); for (;;) { if (fork() == 0) {\n\
        struct timespec t; do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); while (t.tv_nsec < 100000000);\n\
        _exit(0); } wait(0); } }";
    for isolation in BOTH {
        let request = c_program(code).limits(limits);
        assert_limit(&run_at(isolation, request), LimitKind::Cpu);
    }
}
