// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives the shared library its SONAME, which cargo does not: before 1.0 every minor version is an
//! ABI of its own (`libunsandbox.so.0.1`), from 1.0 on the major version alone.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let major = env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    let minor = env::var("CARGO_PKG_VERSION_MINOR").unwrap_or_default();
    let abi = if major == "0" { format!("0.{minor}") } else { major };
    match os.as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libunsandbox.so.{abi}");
        }
        "macos" | "ios" => {
            println!(
                "cargo::rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libunsandbox.{abi}.dylib"
            );
        }
        _ => {}
    }
}
