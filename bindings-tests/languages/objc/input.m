#import <Foundation/Foundation.h>

int main(void) {
    @autoreleasepool {
        NSString *text = [NSString stringWithContentsOfFile:@"data.txt"
                                                   encoding:NSUTF8StringEncoding
                                                      error:NULL];
        fputs([text UTF8String], stdout);
    }
    return 0;
}
