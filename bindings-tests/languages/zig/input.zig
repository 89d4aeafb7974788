const std = @import("std");

pub fn main() !void {
    var buffer: [4096]u8 = undefined;
    try std.io.getStdOut().writeAll(try std.fs.cwd().readFile("data.txt", &buffer));
}
