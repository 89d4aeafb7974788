#include <stdio.h>
#include "include/sum.h"
#include "include/word.h"

int main(void) {
    puts(sum(4) == 10 ? word() : "no OpenMP");
    return 0;
}
