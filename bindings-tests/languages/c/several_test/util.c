#include <stdio.h>
int say(void) { return puts("several") < 0; }
#ifdef TEST
int main(void) { return say(); }
#endif
