extern "C" {
    fn abs(x: i32) -> i32;
}

fn gen() -> &'static str {
    "quirk"
}

fn main() {
    std::env::set_var("WORD", gen());
    assert_eq!(unsafe { abs(-1) }, 1);
    println!("{}", std::env::var("WORD").unwrap());
}
