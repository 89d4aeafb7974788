#import <Foundation/Foundation.h>

int main(void) {
    @autoreleasepool {
        NSString *text = @"hello from objc";
        printf("%s\n", [text UTF8String]);
    }
    return 0;
}
