#include <cstdio>
#import <objc/Object.h>
#include <string>

@interface Word : Object
+ (const char *)text;
@end

@implementation Word
+ (const char *)text { return "quirk"; }
@end

int main() {
    std::string text = [Word text];
    std::puts(text.c_str());
}
