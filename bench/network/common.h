/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the contenders in C share: they read a number of calls from each line of standard input, make
 * them, and print the nanoseconds that they took, of the clock and of the processor. */
#ifndef COMMON_H
#define COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY "benchmark-key"
#define BODY "{\"language\":\"python\",\"code\":\"print(1)\",\"network_mode\":\"zerotrust\",\"ttl\":60}"

static inline int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Does what each line asks for, until there are no more. */
static inline void serve_lines(void (*calls)(long count)) {
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        const int64_t wall = nanoseconds(CLOCK_MONOTONIC);
        const int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        calls(atol(line));
        printf("%lld %lld\n", (long long)(nanoseconds(CLOCK_MONOTONIC) - wall),
               (long long)(nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu));
        fflush(stdout);
    }
}

#endif
