extern "c" fn puts(text: [*:0]const u8) c_int;

pub fn say() void {
    _ = puts("several");
}
