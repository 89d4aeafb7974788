// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs one program and prints what it wrote.

use std::process::ExitCode;
use unsandbox::{Client, Error, Request};

fn main() -> Result<ExitCode, Error> {
    let client = Client::from_env()?;
    let result = client.execute(&Request::new("python", "print(6 * 7)"))?;
    print!("{}", result.stdout_text());
    Ok(if result.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
