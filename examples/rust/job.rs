// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submits a program as a job, tells how it is while it runs, and takes its result at the end.

use std::time::Duration;
use unsandbox::{Client, Error, ErrorCode, Request};

fn main() -> Result<(), Error> {
    let client = Client::from_env()?;
    let job = client.execute_async(&Request::new("bash", "sleep 1; echo finished").ttl(30))?;
    let result = loop {
        match client.wait_job(&job.job_id, Some(Duration::from_millis(200))) {
            Err(error) if error.code() == ErrorCode::Timeout => {
                println!("it is {}", client.get_job(&job.job_id)?.status);
            }
            end => break end?,
        }
    };
    print!("it ended with {}: {}", result.exit_code.unwrap_or(-1), result.stdout_text());
    Ok(())
}
