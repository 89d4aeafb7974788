use std::sync::LazyLock;

static ONE: LazyLock<i32> = LazyLock::new(|| 1);

fn main() {
    if let Some(x) = Some(1) && x == *ONE {
        println!("quirk");
    }
}
