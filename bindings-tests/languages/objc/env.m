#import <Foundation/Foundation.h>

int main(void) {
    @autoreleasepool {
        NSDictionary *env = [[NSProcessInfo processInfo] environment];
        puts([[env objectForKey:@"GREETING"] UTF8String]);
    }
    return 0;
}
