#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void number(int value) {
    char digits[12];
    int count = 0;
    do digits[count++] = '0' + value % 10;
    while (value /= 10);
    while (count--) putchar_unlocked(digits[count]);
    putchar_unlocked('\n');
}

/* Streams without their locks, after many lines in a moment. */
int main(void) {
    int ends[2];
    assert(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        for (int i = 0; i < 3000; i++) printf("%d\n", i);
        for (int i = 3000; i < 1000000; i++) number(i);
        return 0;
    }
    close(ends[1]);
    FILE *file = fdopen(ends[0], "r");
    int expected = 0;
    for (char line[100]; fgets(line, sizeof line, file); expected++) assert(atoi(line) == expected);
    assert(expected == 1000000);
    waitpid(pid, NULL, 0);
    puts("quirk");
}
