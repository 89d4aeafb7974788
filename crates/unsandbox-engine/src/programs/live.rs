// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine gives to a program so that its output appears while it runs (`crates/unsandbox-preload`).

use unsandbox_protocol::language::Live;

/// Flags of compilers whose programs do not load the object: sanitizers want to be the first one, a program of another
/// kind would complain.
const WITHOUT: [&str; 4] = ["-fsanitize", "-static", "-m32", "-mx32"];

/// Names below the writable tree, in the folder for what is built, and contents.
type Files = &'static [(&'static str, &'static [u8])];

static PYTHON: Files = &[
    ("build/live/sitecustomize.abi3.so", include_bytes!(env!("UNSANDBOX_PYTHON_OBJECT"))),
    ("build/live/sitecustomize.py", unsandbox_preload::PYTHON_FALLBACK),
];
static RUBY: Files = &[("build/live/output.rb", unsandbox_preload::RUBY)];
static STDIO: Files = &[("build/live/stdio.so", include_bytes!(env!("UNSANDBOX_STDIO_OBJECT")))];

pub fn files(live: Live) -> Files {
    match live {
        Live::No => &[],
        Live::Python => PYTHON,
        Live::Ruby => RUBY,
        Live::Stdio => STDIO,
    }
}

/// The variable through which the program finds them, and its value in a recipe's words. A value of the request
/// follows after a colon; what was put before it is gone when the program begins. `executes` says whether the writable
/// tree may hold programs: the loader complains of an object that it cannot map.
pub fn variable(
    live: Live,
    flags: &[String],
    executes: bool,
) -> Option<(&'static str, &'static str)> {
    let is_built = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    let loads = || {
        executes
            && is_built
            && !flags.iter().any(|flag| WITHOUT.iter().any(|it| flag.starts_with(it)))
    };
    match live {
        Live::Python => Some(("PYTHONPATH", "{build}/live")),
        Live::Stdio if loads() => Some(("LD_PRELOAD", "{build}/live/stdio.so")),
        Live::Ruby | Live::Stdio | Live::No => None,
    }
}
