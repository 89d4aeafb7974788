// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drives the table of cases through the Rust client: reads cases on standard input, calls what they
//! say, and prints what came back. Judging is the runner's; the form of the lines is in table/lines.py.

mod case;
mod report;

use case::Case;
use report::Report;
use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};
use unsandbox::{CallOptions, CancelToken, Client, Error, ErrorCode, Job, Page, Status};

fn main() {
    let mut clients = HashMap::new();
    let mut lines = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines of UTF-8");
        if line != "end" {
            lines.push(line);
            continue;
        }
        let case = Case::parse(&std::mem::take(&mut lines));
        let mut report = Report::new(&case.name);
        let begun = Instant::now();
        if let Err(error) = play(&case, &mut clients, &mut report) {
            report.error(&error);
        }
        report.end(begun.elapsed());
    }
}

fn play(
    case: &Case,
    clients: &mut HashMap<String, Client>,
    report: &mut Report,
) -> Result<(), Error> {
    let client = match clients.get(&case.settings_text) {
        Some(client) if !case.close => client.clone(),
        _ => {
            let client = case.builder()?.build()?;
            if case.close {
                client.close();
            } else {
                clients.insert(case.settings_text.clone(), client.clone());
            }
            client
        }
    };
    let submitted = match &case.submit {
        Some(operation) => Some(submit(&client, operation, case)?),
        None => None,
    };
    let id = match &submitted {
        Some(job) => job.job_id.clone(),
        None => case.job_id.clone(),
    };
    let outcome = operate(&client, case, &id, report);
    if submitted.is_some() && !matches!(case.operation.as_str(), "wait_job" | "cancel_job") {
        match client.cancel_job(&id) {
            // It was deleted.
            Err(error) if error.code() != ErrorCode::NotFound => return Err(error),
            _ => {}
        }
    }
    outcome
}

/// Submits the case's request as a job, and waits for the state that the case asks for.
fn submit(client: &Client, operation: &str, case: &Case) -> Result<Job, Error> {
    let job = match operation {
        "execute_async" => client.execute_async(&case.request)?,
        _ => client.run_async(&case.request)?,
    };
    match case.until.as_str() {
        "running" => {
            while client.get_job(&job.job_id)?.status == Status::Pending {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        "ended" => {
            client.wait_job(&job.job_id, None)?;
        }
        _ => {}
    }
    std::thread::sleep(case.settle);
    Ok(job)
}

fn operate(client: &Client, case: &Case, id: &str, report: &mut Report) -> Result<(), Error> {
    let mut options = CallOptions::new();
    options.deadline = case.timeout;
    if let Some(after) = case.cancel_after {
        options.cancel = cancel_later(after);
    }
    match case.operation.as_str() {
        "execute" => report.result(&client.with(options).execute(&case.request)?),
        "run" => report.result(&client.with(options).run(&case.request)?),
        "execute_async" | "run_async" => {
            let job = match case.operation.as_str() {
                "execute_async" => client.with(options).execute_async(&case.request)?,
                _ => client.with(options).run_async(&case.request)?,
            };
            report.job(&job);
            report.result(&client.wait_job(&job.job_id, None)?);
        }
        "get_job" => {
            let job = client.with(options).get_job(id)?;
            report.job(&job);
            if let Some(result) = &job.result {
                report.result(result);
            }
        }
        "wait_job" => report.result(&client.with(options).wait_job(id)?),
        "job_events" => report.events(client.with(options).job_events(id, case.from)?)?,
        "cancel_job" => report.result(&client.with(options).cancel_job(id)?),
        "delete_job" => {
            client.with(options).delete_job(id)?;
            let missing = client.get_job(id).is_err_and(|it| it.code() == ErrorCode::NotFound);
            report.value("found", u8::from(!missing));
        }
        "list_jobs" => {
            let after = case.page_after.as_deref();
            let after = after.map(|after| if after == "submitted" { id } else { after });
            let page = Page { limit: case.page_limit, after: after.map(str::to_string) };
            let jobs = client.with(options).list_jobs_page(&page)?.jobs;
            report.value("count", jobs.len());
            if let Some(job) = jobs.iter().find(|job| job.job_id == id || id.is_empty()) {
                report.job(job);
            }
        }
        "languages" => report.languages(&client.with(options).languages()?),
        "validate_key" => report.key(&client.with(options).validate_key()?),
        "usage" => report.usage(&client.with(options).usage()?),
        "health" => report.health(&client.with(options).health()?),
        other => panic!("no operation is called {other:?}"),
    }
    Ok(())
}

fn cancel_later(after: Duration) -> CancelToken {
    let token = CancelToken::new();
    let later = token.clone();
    std::thread::spawn(move || {
        std::thread::sleep(after);
        later.cancel();
    });
    token
}
