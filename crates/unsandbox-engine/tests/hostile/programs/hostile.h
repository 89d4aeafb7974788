// SPDX-License-Identifier: MIT OR Apache-2.0
// What every hostile program in C begins with. `say` tells what the kernel answered.
#ifndef HOSTILE_H
#define HOSTILE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void say(const char *what, long got) {
    printf("%s %s\n", what, got < 0 ? strerrorname_np(errno) : "DONE");
    fflush(stdout);
}

// A number of the environment; the suite says there where its canaries are.
static inline int number(const char *name) {
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

static inline const char *canary(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("CANARY_DIR"), name);
    return path;
}
#endif
