mod util;

fn main() {
    util::say();
}
