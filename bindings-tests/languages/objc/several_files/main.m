#import "Word.h"
int main(void) { return say(); }
