/* SPDX-License-Identifier: MIT OR Apache-2.0
 * A host of the local engine that looks at itself: what it had before it loaded the library, it has
 * while and after programs run, and what it does itself (waiting for children, forking, unloading) goes
 * on as if there were no engine. The library is loaded by path, so that it can be unloaded. */
#include "unsandbox.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, strerror(errno));          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* The functions that this program uses, as the library has them. */
static struct {
    void *handle;
    __typeof__(&unsandbox_config_new) config_new;
    __typeof__(&unsandbox_config_set_base_url) config_set_base_url;
    __typeof__(&unsandbox_config_free) config_free;
    __typeof__(&unsandbox_client_new) client_new;
    __typeof__(&unsandbox_client_free) client_free;
    __typeof__(&unsandbox_request_new) request_new;
    __typeof__(&unsandbox_request_free) request_free;
    __typeof__(&unsandbox_client_execute) execute;
    __typeof__(&unsandbox_result_free) result_free;
    __typeof__(&unsandbox_error_message) error_message;
} lib;

static const char *path;

static void *symbol(const char *name) {
    void *found = dlsym(lib.handle, name);
    CHECK(found != NULL);
    return found;
}

/* POSIX gives a function's address as a pointer to data. */
#define LOAD(field, name) (*(void **)&lib.field = symbol(name))

static void load(void) {
    lib.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (lib.handle == NULL) fprintf(stderr, "%s\n", dlerror());
    CHECK(lib.handle != NULL);
    LOAD(config_new, "unsandbox_config_new");
    LOAD(config_set_base_url, "unsandbox_config_set_base_url");
    LOAD(config_free, "unsandbox_config_free");
    LOAD(client_new, "unsandbox_client_new");
    LOAD(client_free, "unsandbox_client_free");
    LOAD(request_new, "unsandbox_request_new");
    LOAD(request_free, "unsandbox_request_free");
    LOAD(execute, "unsandbox_client_execute");
    LOAD(result_free, "unsandbox_result_free");
    LOAD(error_message, "unsandbox_error_message");
}

static unsandbox_client *client(void) {
    unsandbox_config *config = NULL;
    unsandbox_client *made = NULL;
    CHECK(lib.config_new(&config, NULL) == UNSANDBOX_OK);
    CHECK(lib.config_set_base_url(config, UNSANDBOX_TEXT("local:"), NULL) == UNSANDBOX_OK);
    CHECK(lib.client_new(config, &made, NULL) == UNSANDBOX_OK);
    lib.config_free(config);
    return made;
}

/* Runs a shell's words and compares what they write. */
static void run(unsandbox_client *with, const char *code, const char *expected) {
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    unsandbox_error *err = NULL;
    CHECK(lib.request_new(UNSANDBOX_TEXT("bash"), UNSANDBOX_TEXT(code), &request, NULL) == UNSANDBOX_OK);
    if (lib.execute(with, request, NULL, &result, &err) != UNSANDBOX_OK) {
        fprintf(stderr, "%s\n", lib.error_message(err, NULL));
        exit(1);
    }
    if (strcmp((const char *)result->stdout_data, expected) != 0)
        fprintf(stderr, "%s wrote: %s", code, (const char *)result->stdout_data);
    CHECK(strcmp((const char *)result->stdout_data, expected) == 0);
    lib.result_free(result);
    lib.request_free(request);
}

static int entries(const char *directory) {
    int count = 0;
    DIR *listing = opendir(directory);
    CHECK(listing != NULL);
    while (readdir(listing) != NULL) count++;
    closedir(listing);
    return count;
}

/* Waits, up to five seconds, until a directory of /proc/self has so many entries again. */
static void settles(const char *directory, int expected) {
    struct timespec tick = {0, 5 * 1000 * 1000};
    for (int i = 0; i < 1000 && entries(directory) != expected; i++) nanosleep(&tick, NULL);
    if (entries(directory) != expected)
        fprintf(stderr, "%s: %d became %d\n", directory, expected, entries(directory));
    CHECK(entries(directory) == expected);
}

/* What is blocked, ignored and caught, as the kernel has it; 32 and 33 are the C library's own, which it
 * catches with the first thread. */
static void signals_of(unsigned long long into[3]) {
    static const char *const names[] = {"SigBlk:", "SigIgn:", "SigCgt:"};
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL)
        for (int index = 0; index < 3; index++)
            if (strncmp(line, names[index], 7) == 0)
                into[index] = strtoull(line + 7, NULL, 16) & ~(3ULL << 31);
    fclose(status);
}

static void caught(int number) { (void)number; }

/* Handlers, masks, directory and umask stay as they are, and are not a run's. */
static void untouched(void) {
    unsigned long long before[3], during[3];
    char here[4096], now[4096];
    signal(SIGUSR1, caught);
    signal(SIGCHLD, caught);
    signal(SIGHUP, SIG_IGN);
    /* As `make` leaves it in what it starts: one that glibc keeps for itself, and lets nobody set. */
    const struct { void (*handler)(int); unsigned long rest[3]; } ignored = {SIG_IGN, {0}};
    CHECK(syscall(SYS_rt_sigaction, 32, &ignored, NULL, 8) == 0);
    umask(027);
    CHECK(getcwd(here, sizeof here) != NULL);
    signals_of(before);
    load();
    unsandbox_client *made = client();
    /* head catches nothing itself. */
    run(made, "head -n 60 /proc/self/status | sed -n 's/^Sig[BIC].*:.//p' | sort -u; umask", "0000000000000000\n0022\n");
    signals_of(during);
    CHECK(memcmp(before, during, sizeof before) == 0);
    lib.client_free(made);
    signals_of(during);
    CHECK(memcmp(before, during, sizeof before) == 0);
    CHECK(getcwd(now, sizeof now) != NULL && strcmp(here, now) == 0 && umask(0) == 027);
}

/* No descriptor of the host reaches a program, whether or not it asked for close-on-exec. */
static void descriptors(void) {
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    for (int number = 20; number < 40; number++) CHECK(dup2(pipes[0], number) == number);
    CHECK(dup2(pipes[1], 900) == 900);
    load();
    unsandbox_client *made = client();
    for (int round = 0; round < 3; round++)
        /* 255 is the shell's own: the file that it reads its words from. */
        run(made, "for fd in {3..254} {256..1023}; do [ -e /proc/$$/fd/$fd ] && echo \"descriptor $fd\"; done; true", "");
    lib.client_free(made);
    /* Nor the helper: once the host has let go, nobody holds the pipe. */
    made = client();
    run(made, "true", "");
    for (int number = 20; number < 40; number++) close(number);
    close(900);
    close(pipes[1]);
    char byte;
    CHECK(fcntl(pipes[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK(read(pipes[0], &byte, 1) == 0);
    lib.client_free(made);
}

/* A host that reaps whatever there is finds its own children, and no others. */
static void waits(void) {
    load();
    unsandbox_client *made = client();
    run(made, "echo one", "one\n");
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) _exit(7);
    run(made, "echo two", "two\n");
    int status = 0;
    CHECK(waitpid(-1, &status, 0) == child && WEXITSTATUS(status) == 7);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    /* Nor does one that waits for every kind of child wait for the helper. */
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
    lib.client_free(made);
    CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_IGN);
    made = client();
    run(made, "echo three", "three\n");
    lib.client_free(made);
}

/* Two engines at once, and one in each of two forked children, none of which disturbs another. */
static void forks(void) {
    load();
    unsandbox_client *one = client(), *two = client();
    run(one, "echo one", "one\n");
    run(two, "echo two", "two\n");
    pid_t children[2];
    for (int index = 0; index < 2; index++) {
        children[index] = fork();
        CHECK(children[index] >= 0);
        if (children[index] == 0) {
            unsandbox_client *own = client();
            run(own, "echo child", "child\n");
            lib.client_free(own);
            _exit(0);
        }
    }
    lib.client_free(two);
    run(one, "echo still", "still\n");
    for (int index = 0; index < 2; index++) {
        int status = -1;
        CHECK(waitpid(children[index], &status, 0) == children[index] && status == 0);
    }
    run(one, "echo after", "after\n");
    lib.client_free(one);
}

/* Loaded, used and unloaded, again and again: descriptors, threads and children are where they were. */
static void unloads(void) {
    load();
    lib.client_free(client());
    dlclose(lib.handle);
    int files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    for (int round = 0; round < 3; round++) {
        load();
        unsandbox_client *made = client();
        run(made, "echo $((6 * 7))", "42\n");
        lib.client_free(made);
        CHECK(dlclose(lib.handle) == 0);
        settles("/proc/self/fd", files);
        settles("/proc/self/task", threads);
        CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
    }
}

int main(int count, char **words) {
    static const struct {
        const char *name;
        void (*play)(void);
    } plays[] = {{"untouched", untouched}, {"descriptors", descriptors}, {"waits", waits},
                 {"forks", forks},         {"unloads", unloads}};
    CHECK(count == 3);
    path = words[1];
    for (size_t index = 0; index < sizeof plays / sizeof plays[0]; index++) {
        if (strcmp(words[2], plays[index].name) == 0) {
            plays[index].play();
            puts("good");
            return 0;
        }
    }
    return 2;
}
