#include <omp.h>
#include <stdio.h>

int main(void) {
    int sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < 4; i++) sum += i;
    puts(sum == 6 && omp_get_max_threads() > 0 ? "quirk" : "");
}
