// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `return_wasm_artifact` gives runs in a WASI runtime (that of node) and prints what the program
//! printed in the jail; where the toolchain cannot make it, the result says so and is kept.

use crate::artifacts::{Folder, recipe_in_use};
use crate::{ENGINE, checks, programs, say, strict, wanted};
use std::path::Path;
use std::process::Command;
use unsandbox_protocol::{ExecutionResult, Request};

/// Those that have to give a module where `make languages` has run.
const ALWAYS: &[&str] = &["c", "cpp", "go", "zig"];

const RUN_IN_NODE: &str = "
const { WASI } = require('node:wasi');
const wasi = new WASI({ version: 'preview1', args: ['main'], env: {} });
WebAssembly.compile(require('node:fs').readFileSync(process.argv[1]))
  .then(module => WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport }))
  .then(instance => { process.exitCode = wasi.start(instance) ?? 0 });
";

fn run_in_node(module: &Path) -> Result<Vec<u8>, String> {
    let output = Command::new("node")
        .args(["--no-warnings", "-e", RUN_IN_NODE])
        .arg(module)
        .output()
        .map_err(|error| format!("node does not start: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Whether there was a module that printed the same, or why that is a mistake.
fn judge(name: &str, result: &ExecutionResult) -> Result<bool, String> {
    if !result.success || result.stdout.is_empty() {
        return Err(format!("the ordinary result is lost: {:?}", result.error));
    }
    let Some(module) = result.artifacts.iter().find(|artifact| artifact.kind == "wasm") else {
        let told = result.error.as_ref().is_some_and(|error| error.contains("WebAssembly"));
        return if told { Ok(false) } else { Err(format!("not told: {:?}", result.error)) };
    };
    let folder = Folder::new(&format!("wasm-{name}"));
    let printed = run_in_node(&folder.save(module))?;
    if module.filename.ends_with(".wasm") && printed == result.stdout {
        return Ok(true);
    }
    Err(format!("{} printed {:?}", module.filename, String::from_utf8_lossy(&printed)))
}

#[test]
fn wasm_modules_run_in_a_wasi_runtime() {
    let able = wanted().into_iter().filter(|(language, info)| {
        recipe_in_use(language, info).is_some_and(|recipe| !recipe.wasm.is_empty())
    });
    let started: Vec<_> = able
        .map(|(language, _)| {
            let request = Request::new(language.name, programs::hello(language));
            (language.name, checks::submit(&ENGINE, request.return_wasm_artifact(true).ttl(120)))
        })
        .collect();
    let (mut ran, mut failed) = (Vec::new(), Vec::new());
    let mut lines = String::from("\nWebAssembly, run in node:");
    for (name, waiter) in started {
        let result = waiter.and_then(|waiter| waiter.wait_result()).expect("it is installed");
        match judge(name, &result) {
            Ok(true) => ran.push(name),
            Ok(false) => {
                let words = String::from_utf8_lossy(&result.stderr);
                let first = words.lines().next().unwrap_or_default();
                lines.push_str(&format!("\nskipped: WebAssembly of {name}: {first}"));
            }
            Err(why) => failed.push(format!("{name}: {why}\n{}", result.stderr_text())),
        }
    }
    say(&format!("{lines}\nran: {}\n", ran.join(" ")));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    if strict() {
        let lacking: Vec<_> = ALWAYS.iter().filter(|name| !ran.contains(name)).collect();
        assert!(lacking.is_empty(), "no module of {lacking:?}");
    }
}

#[test]
fn a_toolchain_without_webassembly_says_so_and_keeps_its_result() {
    let request = Request::new("bash", "echo kept").return_wasm_artifact(true);
    let waiter = checks::submit(&ENGINE, request).expect("bash is here");
    let result = waiter.wait_result().expect("bash runs");
    assert!(result.success && result.stdout == b"kept\n" && result.artifacts.is_empty());
    let told = "return_wasm_artifact has no effect: the installed bash toolchain does not compile to WebAssembly";
    assert_eq!(result.error.as_deref(), Some(told));
}
