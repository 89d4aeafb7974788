#include "util.h"
#include "part.c"
int main(void) { return say(PART); }
