// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every standing that a host may have, made for real (what this kernel cannot have is marked), and what
//! the engine comes to in it: full service, the reduced level announced as such, or a refusal that names
//! layer, cause and fix. Prints the table of `docs/standings.md`; words as arguments choose rows.

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod table;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    if let Ok(orders) = std::env::var(child::VARIABLE) {
        child::main(&orders);
        return std::process::ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    report::play(&wanted)
}

#[cfg(not(target_os = "linux"))]
fn main() {}
