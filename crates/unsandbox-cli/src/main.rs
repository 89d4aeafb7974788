// SPDX-License-Identifier: MIT OR Apache-2.0
fn main() {
    std::process::exit(unsandbox_cli::run(std::env::args_os().collect()));
}
