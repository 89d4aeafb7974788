#include "../src/part.c"
const char *word(void);
