const util = @import("util.zig");

pub fn main() !void {
    try util.say();
}
