// SPDX-License-Identifier: MIT OR Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MB (1 << 20)

/* Says what a call came to: "name: ok" or "name: its error". */
#define SAY(name, call) \
    do { errno = 0; long r_ = (long)(call); \
         printf("%s: %s\n", name, r_ == -1 ? strerror(errno) : "ok"); fflush(stdout); } while (0)

/* Holds a number of megabytes in its own memory, then sleeps. */
static inline void hold(int megabytes) {
    for (int i = 0; i < megabytes; i += 10) {
        memset(malloc(10 * MB), 1, 10 * MB);
        usleep(10000);
    }
    sleep(20);
}

/* Holds a number of megabytes in memfds that it never maps, or in files without a name where there are none, then
   sleeps. */
static inline void hold_memfds(int megabytes) {
    static char block[MB];
    memset(block, 1, sizeof block);
    for (int i = 0; i < megabytes; i += 10) {
        int fd = memfd_create("held", 0);
        if (fd < 0) fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
        // At the reduced level without a control group there is neither.
        if (fd < 0) memset(malloc(10 * MB), 1, 10 * MB);
        for (int k = 0; k < 10; k++)
            if (write(fd, block, sizeof block) < 0) perror("write");
        usleep(10000);
    }
    sleep(20);
}
