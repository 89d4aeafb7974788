// SPDX-License-Identifier: MIT OR Apache-2.0
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void *lines(void *name) {
    for (int at = 0; at < 6000; at++) printf("%s %d\n", (char *)name, at);
    return NULL;
}

int main(void) {
    lines("first");
    if (fork() == 0) {
        lines("child");
        exit(0);
    }
    wait(NULL);
    system("echo shell");
    pthread_t thread;
    pthread_create(&thread, NULL, lines, "thread");
    pthread_join(thread, NULL);
    write(1, "raw\n", 4);
    lines("last");
}
