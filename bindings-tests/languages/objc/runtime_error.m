#import <Foundation/Foundation.h>

int main(void) {
    [NSException raise:@"Broken" format:@"no way on"];
    return 0;
}
