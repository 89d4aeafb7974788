const std = @import("std");

pub fn main() !void {
    const stdout = std.io.getStdOut().writer();
    var args = std.process.args();
    _ = args.skip();
    while (args.next()) |arg| try stdout.print("{s}\n", .{arg});
}
