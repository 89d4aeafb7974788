#include <stdio.h>

int main(void) {
    volatile int going = 1;
    puts("started");
    fflush(stdout);
    while (going) {
    }
    return 0;
}
