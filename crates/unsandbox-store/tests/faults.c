/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Preloaded into a process that uses the store: a disk that fails. It acts on files below FAULTS_DIR whose name has ".db".
 *
 * FAULTS_UNDO: a directory. What a write replaces is kept there until the file is synced, so that the test can take back
 * what was not synced, as a loss of power does.
 * FAULTS_FULL: of 1000 writes so many fail with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned seed;

static const char *target(int fd, char *path) {
    const char *dir = getenv("FAULTS_DIR");
    char link[64];
    if (!dir) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    if (len <= 0) return NULL;
    path[len] = 0;
    const char *name = strrchr(path, '/');
    if (strncmp(path, dir, strlen(dir)) != 0 || !name) return NULL;
    size_t end = strlen(name);
    int is_db = end > 3 && strcmp(name + end - 3, ".db") == 0;
    int is_wal = end > 7 && strcmp(name + end - 7, ".db-wal") == 0;
    return is_db || is_wal ? name + 1 : NULL;
}

static int is_full(void) {
    const char *rate = getenv("FAULTS_FULL");
    if (!rate) return 0;
    if (!seed) seed = (unsigned)getpid() * 2654435761u + (unsigned)time(NULL);
    return (int)(rand_r(&seed) % 1000u) < atoi(rate);
}

static int undo_file(const char *name, int flags) {
    const char *dir = getenv("FAULTS_UNDO");
    char path[PATH_MAX];
    if (!dir) return -1;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CREAT, 0600);
}

/* Keeps what a change at `offset` of `len` bytes replaces. */
static void remember(int fd, const char *name, uint64_t offset, uint64_t len) {
    int undo = undo_file(name, O_WRONLY | O_APPEND);
    struct stat now;
    if (undo < 0) return;
    if (fstat(fd, &now) != 0) abort();
    uint64_t size = (uint64_t)now.st_size;
    uint64_t old = offset >= size ? 0 : (offset + len < size ? len : size - offset);
    uint64_t *record = malloc(24 + old);
    char path[64];
    if (!record) abort();
    record[0] = offset, record[1] = size, record[2] = old;
    /* The file may be open for writing alone. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
    if (old && (reader < 0 || syscall(SYS_pread64, reader, record + 3, old, offset) != (long)old)) abort();
    if (syscall(SYS_write, undo, record, 24 + old) != (long)(24 + old)) abort();
    free(record);
    syscall(SYS_close, reader);
    syscall(SYS_close, undo);
}

static ssize_t change(int fd, const void *bytes, size_t len, off_t offset, int at) {
    char path[PATH_MAX];
    const char *name = target(fd, path);
    ssize_t done;
    if (!name) return at ? syscall(SYS_pwrite64, fd, bytes, len, offset) : syscall(SYS_write, fd, bytes, len);
    pthread_mutex_lock(&lock);
    if (is_full()) {
        pthread_mutex_unlock(&lock);
        errno = ENOSPC;
        return -1;
    }
    if (!at) offset = lseek(fd, 0, SEEK_CUR);
    remember(fd, name, (uint64_t)offset, len);
    done = at ? syscall(SYS_pwrite64, fd, bytes, len, offset) : syscall(SYS_write, fd, bytes, len);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t len) { return change(fd, bytes, len, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) { return change(fd, bytes, len, offset, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) { return change(fd, bytes, len, offset, 1); }

static int cut(int fd, off_t size) {
    char path[PATH_MAX];
    const char *name = target(fd, path);
    pthread_mutex_lock(&lock);
    if (name) remember(fd, name, (uint64_t)size, UINT64_MAX / 4);
    int done = (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int synced(int fd) {
    char path[PATH_MAX];
    const char *name = target(fd, path);
    if (!name || !getenv("FAULTS_UNDO")) return 0;
    pthread_mutex_lock(&lock);
    int undo = undo_file(name, O_WRONLY | O_TRUNC);
    if (undo < 0) abort();
    syscall(SYS_close, undo);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }
