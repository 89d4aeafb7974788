const std = @import("std");

pub fn main() !void {
    var buffer: [4096]u8 = undefined;
    const stdin = std.io.getStdIn().reader();
    const stdout = std.io.getStdOut().writer();
    while (true) {
        const n = try stdin.read(&buffer);
        if (n == 0) break;
        for (buffer[0..n]) |*c| c.* = std.ascii.toUpper(c.*);
        try stdout.writeAll(buffer[0..n]);
    }
}
