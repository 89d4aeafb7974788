#include <complex.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <threads.h>

static int doubled(void *x) { return 2 * *(int *)x; }

int main(void) {
    thrd_t thread;
    int given = 4, got = 0;
    volatile double nine = 9;
    thrd_create(&thread, doubled, &given);
    thrd_join(thread, &got);
    typeof(got) same = ({ got; });
    asm("nop");
    puts(same == 8 && sqrt(nine) == 3 && cabs(3 + 4 * I) == 5 ? "quirk" : "wrong");
    return 0;
}
