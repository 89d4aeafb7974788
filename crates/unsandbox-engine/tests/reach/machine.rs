// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all users of a machine share, and a run could take from them without touching their files.

use super::*;

#[test]
fn a_descriptor_that_reads_a_shown_file_keeps_nobody_from_it() {
    // A lease makes others wait when they open the file; without its page cache they wait for the disk.
    let code = "int main() { int fd = open(\"/usr/bin/env\", O_RDONLY);\n\
        SAY(\"write lease\", fcntl(fd, F_SETLEASE, F_WRLCK)); SAY(\"read lease\", fcntl(fd, F_SETLEASE, F_RDLCK));\n\
        SAY(\"delegation\", fcntl(fd, 1040, 0));\n\
        SAY(\"pages\", syscall(SYS_fadvise64, fd, 0, 0, POSIX_FADV_DONTNEED));\n\
        SAY(\"syncfs\", syscall(SYS_syncfs, fd)); SAY(\"sync\", syscall(SYS_sync)); return 0; }";
    let names = ["write lease", "read lease", "delegation", "pages", "syncfs", "sync"];
    let expected = names.map(|name| format!("{name}: Operation not permitted\n")).concat();
    for isolation in BOTH {
        assert_eq!(run_at(isolation, c_program(code)).stdout_text(), expected);
    }
}

#[test]
fn places_for_asynchronous_io_are_left_to_others() {
    let code = "int main() { unsigned long it = 0; SAY(\"aio\", syscall(SYS_io_setup, 1, &it)); return 0; }";
    for isolation in BOTH {
        assert_eq!(
            run_at(isolation, c_program(code)).stdout_text(),
            "aio: Function not implemented\n"
        );
    }
}

#[test]
fn a_run_has_a_few_of_what_inotify_gives_its_user() {
    let code = "#include <sys/inotify.h>\n\
        int main() { int made = 0; while (inotify_init() >= 0) made++; printf(\"%d\\n\", made); return 0; }";
    let result = run_at(IsolationPolicy::Full, c_program(code));
    assert_eq!(result.stdout_text(), "4\n");
    let code = "#include <sys/inotify.h>\n\
        int main() { int fd = inotify_init(), made = 0; char name[9]; do { sprintf(name, \"f%d\", made);\n\
          close(open(name, O_CREAT | O_WRONLY, 0600)); made++;\n\
        } while (made < 9999 && inotify_add_watch(fd, name, IN_OPEN) >= 0); printf(\"%d\\n\", made); return 0; }";
    let result = run_at(IsolationPolicy::Full, c_program(code));
    assert_eq!(result.stdout_text(), "4097\n", "{}", result.stderr_text());
}

#[test]
fn the_buffers_of_tcp_grow_no_further_than_is_counted() {
    let code = "cut -f 3 /proc/sys/net/ipv4/tcp_rmem /proc/sys/net/ipv4/tcp_wmem";
    let result = run_at(IsolationPolicy::Full, Request::new("bash", code));
    assert_eq!(result.stdout_text(), "212992\n212992\n", "{}", result.stderr_text());
}
