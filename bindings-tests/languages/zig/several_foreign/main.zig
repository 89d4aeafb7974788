const words = @import("words.zig");

pub fn main() void {
    words.say();
}
