#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

static int depth(volatile int n) { return n == 0 ? 0 : 1 + depth(n - 1); }

static void *deep(void *x) {
    puts(depth(500000) == 500000 ? "quirk" : "wrong");
    return x;
}

int main(void) {
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    pthread_attr_t large;
    pthread_t thread;
    if (setrlimit(RLIMIT_STACK, &all)) perror("setrlimit");
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, 256 << 20);
    if (pthread_create(&thread, &large, deep, 0)) return 1;
    return pthread_join(thread, 0);
}
