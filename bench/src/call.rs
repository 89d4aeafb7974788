// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the C ABI adds to a call: one that the client answers by itself, from C through the shared
//! library and from Rust, in turns. The promise is at most 2 µs.

use std::hint::black_box;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use unsandbox::protocol::wire;
use unsandbox::{Client, Error};

const ROUNDS: usize = 15;
const CALLS: u32 = 20_000;

/// The two ways to ask: for a struct, and for JSON.
const WAYS: [&str; 2] = ["validate_key", "call_json"];

pub fn measure_all() -> Result<(), Error> {
    let directory =
        std::env::temp_dir().join(format!("unsandbox-bench-call-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    let program = build(&directory);
    let client = Client::builder().base_url("local:").build()?;
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let [c_key, c_json] = from_c(&program);
        let [rust_key, rust_json] = from_rust(&client)?;
        for (all, time) in times.iter_mut().zip([c_key, rust_key, c_json, rust_json]) {
            all.push(time);
        }
    }
    let [c_key, rust_key, c_json, rust_json] = times.map(median);
    std::fs::remove_dir_all(&directory).expect("the temporary directory");
    println!("the cost of the C ABI: ns per call, medians of {ROUNDS} rounds of {CALLS} calls");
    println!("{:14} {:>12} {:>12} {:>12}", "", "from Rust", "from C", "more");
    for (way, rust, c) in [(WAYS[0], rust_key, c_key), (WAYS[1], rust_json, c_json)] {
        println!("{way:14} {rust:>12.0} {c:>12.0} {:>12.0}", c - rust);
    }
    Ok(())
}

/// Compiles call.c against the shared library that cargo has put beside this program.
fn build(directory: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = std::env::current_exe().expect("a path").with_file_name("libunsandbox.so");
    let abi = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
    symlink(&library, directory.join(format!("libunsandbox.so.{abi}"))).expect("a new link");
    let program = directory.join("call");
    let status = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_string()))
        .args(["-O2", "-D_POSIX_C_SOURCE=200809L", "-I"])
        .arg(root.join("../include"))
        .arg(root.join("src/call.c"))
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", directory.display()))
        .arg("-o")
        .arg(&program)
        .status()
        .expect("a C compiler");
    assert!(status.success(), "call.c does not compile");
    program
}

fn from_c(program: &Path) -> [f64; 2] {
    let output = Command::new(program).arg(CALLS.to_string()).output().expect("a program");
    assert!(output.status.success(), "{} failed", program.display());
    let text = String::from_utf8(output.stdout).expect("numbers");
    let mut numbers = text.lines().map(|line| line.parse().expect("a number"));
    std::array::from_fn(|_| numbers.next().expect("two numbers"))
}

fn from_rust(client: &Client) -> Result<[f64; 2], Error> {
    let key = per_call(|| client.validate_key().map(|key| drop(black_box(key))))?;
    let json =
        per_call(|| client.validate_key().map(|it| drop(black_box(wire::encode_key_info(&it)))))?;
    Ok([key, json])
}

fn per_call(mut call: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let begun = Instant::now();
    for _ in 0..CALLS {
        call()?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(CALLS))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
