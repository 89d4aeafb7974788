// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submits a program as a job, looks at it while it runs, and waits for its end.

use unsandbox::{Client, Error, Request};

fn main() -> Result<(), Error> {
    let client = Client::from_env()?;
    let job = client.execute_async(&Request::new("bash", "sleep 0.2; echo finished").ttl(30))?;
    let now = client.get_job(&job.job_id)?;
    println!("the job is {}", if now.result.is_some() { "over already" } else { "under way" });
    let result = client.wait_job(&job.job_id, None)?;
    let code = result.exit_code.unwrap_or(-1);
    print!("it is {}, exit code {code}: {}", result.status, result.stdout_text());
    Ok(())
}
