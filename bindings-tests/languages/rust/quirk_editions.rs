fn main() {
    let gen = Some(1);
    if let Some(x) = gen {
        println!("{}", if x == 1 { "quirk" } else { "wrong" });
    }
}
