// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the jailer's program and leaves it where `src/jailer/start.rs` includes it, so that whatever builds the
//! engine (cargo, pip, make) needs no second step.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return; // the engine is empty there
    }
    let source = Path::new(unsandbox_jailer::MANIFEST_DIR);
    for changed in ["src", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", source.join(changed).display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target_dir = out.join("jailer-target");
    let triple = env::var("TARGET").expect("cargo sets TARGET");
    let mut build = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    build
        .args(["build", "--release", "--bin", "unsandbox-jailer", "--target", &triple])
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir);
    // Its bytes travel in every library, module and command; it waits for the kernel most of its time.
    for (name, value) in [("STRIP", "symbols"), ("OPT_LEVEL", "s"), ("PANIC", "abort")] {
        build.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    if of_the_hostile_suite() {
        build.args(["--features", "ablation"]);
    }
    if locked(source) {
        build.arg("--locked");
    }
    // Flags meant for the outer crate (sanitizers, coverage, wrappers) are not for a program that
    // runs on its own.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"]
    {
        build.env_remove(name);
    }
    let status = build.status().expect("cargo can be started");
    assert!(status.success(), "the jailer did not build: {status}");
    let program = target_dir.join(&triple).join("release/unsandbox-jailer");
    println!("cargo:rustc-env=UNSANDBOX_JAILER_PROGRAM={}", program.display());
}

/// Whether this engine is for the hostile suite, whose jailer can leave layers out. Never a release.
fn of_the_hostile_suite() -> bool {
    const ASKED: &str = "UNSANDBOX_BUILD_ABLATION";
    println!("cargo:rerun-if-env-changed={ASKED}");
    let asked = env::var_os(ASKED).is_some();
    let profile = env::var("PROFILE").expect("cargo sets PROFILE");
    assert!(
        !asked || profile == "debug",
        "{ASKED} is for tests; a release does not leave layers out"
    );
    asked
}

/// Whether a lock file governs the jailer: beside it, or in the workspace above it.
fn locked(source: &Path) -> bool {
    source.ancestors().take(3).any(|folder| folder.join("Cargo.lock").exists())
}
