fn main() {
    let nothing: Option<u8> = None;
    nothing.unwrap();
}
