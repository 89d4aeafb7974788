pub fn main() !void {
    return error.NoWayOn;
}
