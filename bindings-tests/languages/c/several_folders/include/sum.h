#pragma once
static int sum(int end) {
    int total = 0;
#pragma omp parallel for reduction(+ : total)
    for (int i = 1; i <= end; i++) total += i;
#ifndef _OPENMP
    total = 0;
#endif
    return total;
}
