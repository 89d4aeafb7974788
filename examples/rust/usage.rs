// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a program, and tells what runs now, what may run at once, and what has ended.

use unsandbox::{Client, Error, Request};

fn main() -> Result<(), Error> {
    let client = Client::from_env()?;
    client.execute(&Request::new("bash", "echo done"))?;
    let usage = client.usage()?;
    println!("{} of {} run", usage.running, usage.limits.concurrency);
    for (status, count) in &usage.runs {
        println!("{count} {status}");
    }
    Ok(())
}
