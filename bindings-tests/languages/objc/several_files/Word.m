#import "Word.h"
#include <stdio.h>
int say(void) { return puts("several") < 0; }
