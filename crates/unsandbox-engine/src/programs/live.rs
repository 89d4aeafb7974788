// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine gives to a program so that its output appears while it runs (`crates/unsandbox-preload`).

use unsandbox_preload::{GATHERED, GATHERED_BYTES, OBJECT, PYTHON_FALLBACK, RUBY};
use unsandbox_protocol::language::Live;

const OUTPUT_OBJECT: &[u8] = include_bytes!(env!("UNSANDBOX_OUTPUT_OBJECT"));
const PYTHON_OBJECT: &[u8] = include_bytes!(env!("UNSANDBOX_PYTHON_OBJECT"));

/// Names below the writable tree, in the folder for what is built, and contents. The file for gathered lines is full of
/// zeros.
pub fn files(live: Live) -> Vec<(&'static str, Vec<u8>)> {
    let objects: &[(&str, &[u8])] = match live {
        Live::No => &[],
        Live::Stdio => &[(OBJECT, OUTPUT_OBJECT)],
        Live::Lines => &[(OBJECT, OUTPUT_OBJECT), ("build/live/output.rb", RUBY)],
        Live::Python => &[
            (OBJECT, OUTPUT_OBJECT),
            ("build/live/sitecustomize.abi3.so", PYTHON_OBJECT),
            ("build/live/sitecustomize.py", PYTHON_FALLBACK),
            ("build/live/text/sitecustomize.py", PYTHON_FALLBACK),
        ],
    };
    let mut files: Vec<_> = objects.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
    if !gathered(live).is_empty() {
        files.push((GATHERED, vec![0; GATHERED_BYTES]));
    }
    files
}

/// Where what is printed is gathered; empty for nowhere.
pub fn gathered(live: Live) -> &'static str {
    match live {
        Live::No | Live::Stdio => "",
        Live::Lines | Live::Python => GATHERED,
    }
}

/// The variables through which the program finds them, and their values in a recipe's words. A value of the request
/// follows after a colon; ours is gone when the program begins. `executes` says whether the writable `tree` may hold
/// programs: the loader complains of an object that it cannot map, as of a path that it cannot read in a list.
pub fn variables(
    live: Live,
    flags: &[String],
    tree: &str,
    executes: bool,
) -> &'static [(&'static str, &'static str)] {
    const PRELOAD: (&str, &str) = ("LD_PRELOAD", "{build}/live/output.so");
    const MODULE: (&str, &str) = ("PYTHONPATH", "{build}/live");
    const TEXT: (&str, &str) = ("PYTHONPATH", "{build}/live/text");
    let loads = executes
        && !tree.contains([' ', ':', '$'])
        && cfg!(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))
        && !flags.iter().any(|flag| leaves_out(flag));
    match (live, loads) {
        (Live::Python, true) => &[PRELOAD, MODULE],
        (Live::Python, false) => &[TEXT],
        (Live::Stdio | Live::Lines, true) => &[PRELOAD],
        (Live::Stdio | Live::Lines, false) | (Live::No, _) => &[],
    }
}

/// Whether a program that was built with this flag does not load the object: a sanitizer wants to be the first one, a
/// program of another kind would complain.
fn leaves_out(flag: &str) -> bool {
    flag.starts_with("-fsanitize") || ["-static", "-m32", "-mx32"].contains(&flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_and_object_agree_on_the_file() {
        assert_eq!(unsandbox_jailer::commands::GATHERED_BYTES, unsandbox_preload::GATHERED_BYTES);
    }

    #[test]
    fn nothing_is_loaded_where_the_loader_would_complain() {
        let found = |flag: &str, tree: &str, executes: bool| {
            variables(Live::Stdio, &[flag.to_string()], tree, executes).len()
        };
        assert_eq!(found("-O2", "/tmp", true), 1);
        for (flag, tree, executes) in [
            ("-O2", "/tmp", false),
            ("-O2", "/my tree", true),
            ("-O2", "/a:b", true),
            ("-fsanitize=address", "/tmp", true),
            ("-static", "/tmp", true),
            ("-m32", "/tmp", true),
        ] {
            assert_eq!(found(flag, tree, executes), 0, "{flag} {tree} {executes}");
        }
        assert_eq!(found("-static-libgcc", "/tmp", true), 1);
    }
}
