// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox jobs`, `job`, `wait`, `cancel` and `delete`: executions that a server keeps.

use crate::Done;
use crate::args::{JobArgs, JobsArgs, WaitArgs};
use crate::endpoint::job_client;
use crate::failure::Failure;
use crate::output::{Printer, Show, finish};
use crate::signals::Watch;
use crate::terminal::{json, say, table};
use std::time::Duration;
use unsandbox::protocol::backend::{lost, result_in};
use unsandbox::protocol::wire;
use unsandbox::{
    Call, CallOptions, CancelToken, Error, ErrorCode, ExecutionResult, Job, JobEvent, JobPage,
    Offsets, Page,
};

pub(crate) fn list(args: JobsArgs) -> Done {
    let page = Page { limit: args.limit, after: args.after };
    let listed = job_client(args.endpoint)?.list_jobs_page(&page)?;
    let JobPage { jobs, has_more } = &listed;
    if args.json {
        json(&if page.is_all() {
            wire::encode_jobs(jobs)
        } else {
            wire::encode_job_page(&listed)
        })?;
        return Ok(0);
    }
    let heading = ["ID", "STATUS", "LANGUAGE", "CREATED"].map(str::to_string).to_vec();
    let rows = jobs.iter().map(|job| {
        vec![
            job.job_id.clone(),
            job.status.to_string(),
            language(job),
            time(job.created_at).unwrap_or_else(|| "-".to_string()),
        ]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())?;
    if let Some(last) = jobs.last().filter(|_| *has_more) {
        say(&format!("there are more; go on with --after {}", last.job_id));
    }
    Ok(0)
}

pub(crate) fn show(args: JobArgs) -> Done {
    let job = job_client(args.endpoint)?.get_job(&args.id)?;
    if args.json {
        json(&wire::encode_job(&job, wire::Shape::Once))?;
        return Ok(0);
    }
    let mut rows = vec![
        ("id", Some(job.job_id.clone())),
        ("status", Some(job.status.to_string())),
        ("language", Some(language(&job))),
        ("created", time(job.created_at)),
        ("started", time(job.started_at)),
        ("completed", time(job.completed_at)),
    ];
    if let Some(result) = &job.result {
        rows.push(("exit code", result.exit_code.map(|code| code.to_string())));
        rows.push(("error", result.error.clone()));
        rows.push(("stdout", Some(format!("{} bytes", result.stdout.len()))));
        rows.push(("stderr", Some(format!("{} bytes", result.stderr.len()))));
        rows.push(("artifacts", Some(result.artifacts.len().to_string())));
    }
    let known = rows.into_iter().filter_map(|(name, value)| Some(vec![name.to_string(), value?]));
    table(&known.collect::<Vec<_>>())?;
    Ok(0)
}

pub(crate) fn wait(args: WaitArgs) -> Done {
    let client = job_client(args.endpoint)?;
    let cancel = CancelToken::new();
    let signals = Watch::start(
        {
            let cancel = cancel.clone();
            move || cancel.cancel()
        },
        |exit_code| std::process::exit(exit_code),
    )?;
    let mut options = CallOptions::new().cancel(cancel);
    options.deadline = args.timeout.map(Duration::from_secs);
    let call = client.with(options);
    let mut printer = Printer::default();
    let ended = match args.json {
        true => call.wait_job(&args.id),
        false => printed(call, &args.id, &mut printer)?,
    };
    match ended {
        Ok(result) => {
            let artifacts = args.artifacts.as_deref();
            finish(
                printer,
                &result,
                &Show {
                    json: args.json,
                    artifacts,
                    quiet: args.quiet,
                    names_left_files: true,
                    ..Show::default()
                },
            )
        }
        // Only the waiting was interrupted; the job goes on.
        Err(error) if error.code() == ErrorCode::Cancelled => match signals.exit_code() {
            Some(exit_code) => Ok(exit_code),
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// The end of a job, whose output is printed as it comes; a failure if it cannot be printed.
fn printed(
    call: Call<'_>,
    id: &str,
    printer: &mut Printer,
) -> Result<Result<ExecutionResult, Error>, Failure> {
    let events = match call.job_events(id, Offsets::default()) {
        Ok(events) => events,
        Err(error) => return Ok(Err(error)),
    };
    // What is missing is perhaps in the result, and what follows has to come after it.
    let mut has_gap = false;
    for event in events {
        match event {
            Ok(JobEvent::Output { stream, bytes, .. }) if !has_gap => {
                printer.print(stream, &bytes)?;
            }
            Ok(JobEvent::Gap { .. }) => has_gap = true,
            Ok(JobEvent::Finished(job)) => return Ok(result_in(job)),
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Err(lost(Some(id))))
}

pub(crate) fn cancel(args: JobArgs) -> Done {
    let result = job_client(args.endpoint)?.cancel_job(&args.id)?;
    let show = Show { json: args.json, quiet: true, interrupted: Some(0), ..Show::default() };
    finish(Printer::default(), &result, &show)?;
    // The exit code is that of the cancel, not of the program.
    Ok(0)
}

pub(crate) fn delete(args: JobArgs) -> Done {
    job_client(args.endpoint)?.delete_job(&args.id)?;
    if args.json {
        json(&wire::encode_deleted(&args.id))?;
    }
    Ok(0)
}

fn language(job: &Job) -> String {
    let known = job.language.as_ref().or(job.detected_language.as_ref());
    known.cloned().unwrap_or_else(|| "-".to_string())
}

fn time(unix_seconds: Option<i64>) -> Option<String> {
    jiff::Timestamp::from_second(unix_seconds?).ok().map(|time| time.to_string())
}
