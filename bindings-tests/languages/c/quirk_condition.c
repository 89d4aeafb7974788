#include <stdio.h>
#ifndef NOT_HERE
int main(void) {
    puts("quirk");
}
#endif
