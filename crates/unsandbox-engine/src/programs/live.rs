// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine gives to a program so that its output appears while it runs (`crates/unsandbox-preload`).

use unsandbox_preload::{GATHERED, OBJECT, PYTHON_FALLBACK, RUBY};
use unsandbox_protocol::language::Live;

const OUTPUT_OBJECT: &[u8] = include_bytes!(env!("UNSANDBOX_OUTPUT_OBJECT"));
const PYTHON_OBJECT: &[u8] = include_bytes!(env!("UNSANDBOX_PYTHON_OBJECT"));

/// Names below the writable tree, in the folder for what is built, and contents. `gathered` is empty: the object
/// makes room in it.
pub fn files(live: Live) -> &'static [(&'static str, &'static [u8])] {
    match live {
        Live::No => &[],
        Live::Stdio => &[(OBJECT, OUTPUT_OBJECT)],
        Live::Lines => &[(OBJECT, OUTPUT_OBJECT), (GATHERED, b""), ("build/live/output.rb", RUBY)],
        Live::Python => &[
            (OBJECT, OUTPUT_OBJECT),
            (GATHERED, b""),
            ("build/live/sitecustomize.abi3.so", PYTHON_OBJECT),
            ("build/live/sitecustomize.py", PYTHON_FALLBACK),
        ],
    }
}

/// Where what is printed is gathered; empty for nowhere.
pub fn gathered(live: Live) -> &'static str {
    match live {
        Live::No | Live::Stdio => "",
        Live::Lines | Live::Python => GATHERED,
    }
}

/// The variables through which the program finds them, and their values in a recipe's words. A value of the request
/// follows after a colon; what was put before it is gone when the program begins. `executes` says whether the writable
/// tree may hold programs: the loader complains of an object that it cannot map.
pub fn variables(
    live: Live,
    flags: &[String],
    executes: bool,
) -> &'static [(&'static str, &'static str)] {
    const PRELOAD: (&str, &str) = ("LD_PRELOAD", "{build}/live/output.so");
    const MODULE: (&str, &str) = ("PYTHONPATH", "{build}/live");
    let loads = executes
        && cfg!(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))
        && !flags.iter().any(|flag| leaves_out(flag));
    match (live, loads) {
        (Live::Python, true) => &[PRELOAD, MODULE],
        (Live::Python, false) => &[MODULE],
        (Live::Stdio | Live::Lines, true) => &[PRELOAD],
        (Live::Stdio | Live::Lines, false) | (Live::No, _) => &[],
    }
}

/// Whether a program that was built with this flag does not load the object: a sanitizer wants to be the first one, a
/// program of another kind would complain.
fn leaves_out(flag: &str) -> bool {
    flag.starts_with("-fsanitize") || ["-static", "-m32", "-mx32"].contains(&flag)
}
