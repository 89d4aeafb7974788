const std = @import("std");

pub fn say() !void {
    try std.io.getStdOut().writeAll("several\n");
}
