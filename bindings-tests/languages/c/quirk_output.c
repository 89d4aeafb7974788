#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void lines(const char *name, int count) {
    for (int number = 0; number < count; number++) {
        printf("%s %d %.1f %d %d %d %d\n", name, number, number / 2.0, 4, 5, 6, 7);
        fputs(name, stdout);
        putchar('\n');
        fprintf(stdout, "%s\n", "x");
    }
}

static void without_a_lock(void) {
    for (int number = 0; number < 20000; number++) {
        for (const char *at = "plain\n"; *at; at++) putchar_unlocked(*at);
        if (number % 7 == 0) printf("plain\n");
    }
}

/* What is printed must not depend on a thread beside the program's own. */
static int threads(void) {
    char line[200];
    int count = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status)) sscanf(line, "Threads: %d", &count);
    fclose(status);
    return count;
}

static void *in_a_thread(void *name) {
    lines(name, 3000);
    return NULL;
}

static void in_a_child(void) {
    pid_t pid = fork();
    if (pid == 0) {
        lines("child", 3000);
        exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert(status == 0);
}

static int program(void) {
    errno = 77;
    lines("first", 3000);
    assert(errno == 77);
    without_a_lock();
    assert(threads() == 1);
    in_a_child();
    pthread_t started[3];
    for (int i = 0; i < 3; i++) assert(pthread_create(&started[i], NULL, in_a_thread, "thread") == 0);
    for (int i = 0; i < 3; i++) pthread_join(started[i], NULL);
    in_a_child();
    /* Long enough for lines to be shown one by one again. */
    nanosleep(&(struct timespec){0, 400000000}, NULL);
    lines("last", 3000);
    in_a_child();
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("end");
    _exit(0);
}

int main(void) {
    assert(getenv("LD_PRELOAD") == NULL);
    int ends[2];
    assert(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        return program();
    }
    close(ends[1]);
    FILE *file = fdopen(ends[0], "r");
    char line[200] = "";
    int first = 0, child = 0, thread = 0, last = 0, plain = 0, other = 0;
    while (fgets(line, sizeof line, file)) {
        first += !strncmp(line, "first", 5);
        child += !strncmp(line, "child", 5);
        thread += !strncmp(line, "thread", 6);
        last += !strncmp(line, "last", 4);
        plain += !strcmp(line, "plain\n");
        other += !strcmp(line, "x\n");
    }
    int status;
    waitpid(pid, &status, 0);
    assert(status == 0 && !strcmp(line, "end"));
    assert(first == 6000 && child == 18000 && thread >= 15000 && last == 6000 && plain == 22858 && other >= 20000);
    puts("quirk");
}
