pub fn say() {
    print!("{}", include_str!("word.txt"));
}
