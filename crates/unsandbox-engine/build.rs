// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the jailer's program and the objects for programs, and leaves them where `src/jailer/start.rs` and
//! `src/programs/live.rs` include them, so that whatever builds the engine (cargo, pip, make) needs no second step.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return; // the engine is empty there
    }
    println!("cargo:rerun-if-changed=build.rs");
    build_jailer();
    build_object("python");
    build_object("output");
}

fn build_jailer() {
    let (mut build, target) = nested(unsandbox_jailer::MANIFEST_DIR, "build", "jailer-target");
    build.args(["--bin", "unsandbox-jailer"]);
    if of_the_hostile_suite() {
        build.args(["--features", "ablation"]);
    }
    run(build, "the jailer");
    let program = target.join("unsandbox-jailer");
    println!("cargo:rustc-env=UNSANDBOX_JAILER_PROGRAM={}", program.display());
}

/// Builds the object that is this feature of its crate.
fn build_object(feature: &str) {
    let folder = format!("{feature}-target");
    let (mut build, target) = nested(unsandbox_preload::MANIFEST_DIR, "rustc", &folder);
    build.args(["--lib", "--crate-type", "cdylib", "--features", feature]);
    // A program that prints passes through it with each line.
    build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
    // Programs load it, also where programs of Rust are static.
    build.args(["--", "-C", "target-feature=-crt-static"]);
    run(build, "an object for programs");
    let (name, object) = (feature.to_uppercase(), target.join("libunsandbox_preload.so"));
    println!("cargo:rustc-env=UNSANDBOX_{name}_OBJECT={}", object.display());
}

/// A command of cargo for something that programs carry, and the folder in which its result will be.
fn nested(source: &str, command: &str, folder: &str) -> (Command, PathBuf) {
    let source = Path::new(source);
    for changed in ["src", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", source.join(changed).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target_dir = out.join(folder);
    let triple = env::var("TARGET").expect("cargo sets TARGET");
    let mut build = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    build
        .args([command, "--release", "--target", &triple])
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir);
    // Its bytes travel in every library, module and command; it waits for the kernel most of its time.
    for (name, value) in [("STRIP", "symbols"), ("OPT_LEVEL", "s"), ("PANIC", "abort")] {
        build.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
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
    (build, target_dir.join(&triple).join("release"))
}

fn run(mut build: Command, what: &str) {
    let status = build.status().expect("cargo can be started");
    assert!(status.success(), "{what} did not build: {status}");
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
