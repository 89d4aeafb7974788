// SPDX-License-Identifier: MIT OR Apache-2.0
//! `unsandbox store`, and the store of `unsandbox serve`.

use crate::Done;
use crate::args::{StoreArgs, StoreCommand};
use crate::failure::Failure;
use crate::serve_args::ServeArgs;
use crate::terminal::{self, line};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unsandbox::Backend;
use unsandbox::protocol::quota::Quotas;
use unsandbox_store::{StoreOptions, Stored, admin};

/// The word of `--store` for no file.
const MEMORY: &str = "memory";
const FILE: &str = "unsandbox.db";

pub(crate) fn is_memory(args: &ServeArgs) -> bool {
    args.store.as_deref() == Some(Path::new(MEMORY))
}

/// Puts the store of `serve` around its engine, unless its jobs shall be in memory.
pub(crate) fn around(
    engine: Arc<dyn Backend>,
    args: &ServeArgs,
    concurrency: usize,
    quotas: Arc<dyn Quotas>,
) -> Result<Arc<dyn Backend>, Failure> {
    if is_memory(args) {
        return Ok(engine);
    }
    let path = match &args.store {
        Some(path) => path.clone(),
        None => default_path(|name| std::env::var_os(name).map(PathBuf::from)).ok_or_else(|| {
            let text = "there is no directory for the store: neither STATE_DIRECTORY nor XDG_STATE_HOME nor HOME is set";
            Failure::failed(text).hint("give --store PATH, or --store memory for jobs that end with the server")
        })?,
    };
    let mut options = StoreOptions {
        concurrency,
        queue_max: args.queue,
        quotas,
        queue_bytes: args.queue_bytes,
        ..StoreOptions::default()
    };
    if let Some(retention) = args.retain {
        options.retention = retention;
    }
    let stored = Stored::open(engine, &path, options).map_err(|error| {
        Failure::from(error)
            .hint("give --store PATH, or --store memory for jobs that end with the server")
    })?;
    log::info!("jobs are kept in {}", path.display());
    Ok(Arc::new(stored))
}

/// Where the store is unless `--store` says it.
fn default_path(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = |name: &str| variable(name).filter(|path| path.is_absolute());
    // systemd gives one directory for each name of StateDirectory=, with colons between them.
    let systemd = variable("STATE_DIRECTORY").and_then(|all| {
        let first = all.to_str()?.split(':').next()?.to_string();
        Some(PathBuf::from(first)).filter(|path| path.is_absolute())
    });
    let home = || named("HOME").map(|home| home.join(".local/state"));
    let own = || named("XDG_STATE_HOME").or_else(home).map(|state| state.join("unsandbox"));
    systemd.or_else(own).map(|directory| directory.join(FILE))
}

pub(crate) fn run(args: StoreArgs) -> Done {
    match args.command {
        StoreCommand::Check { path } => check(&path),
        StoreCommand::Export { path } => {
            admin::export(&path, terminal::json)?;
            Ok(0)
        }
        StoreCommand::Backup { path, target } => {
            admin::backup(&path, &target)?;
            Ok(0)
        }
        StoreCommand::Compact { path } => {
            let (before, after) = admin::compact(&path)?;
            say(&format!("{before} bytes before, {after} bytes now"))
        }
    }
}

fn check(path: &Path) -> Done {
    let report = admin::check(path)?;
    say(&format!(
        "{} waiting, {} running and {} finished jobs; {} bytes of requests, {} bytes of results, {} bytes in the file",
        report.waiting,
        report.running,
        report.ended,
        report.request_bytes,
        report.result_bytes,
        report.file_bytes
    ))?;
    for fault in &report.faults {
        say(&format!("broken: {fault}"))?;
    }
    Ok(i32::from(!report.faults.is_empty()))
}

fn say(text: &str) -> Done {
    // Nobody may read it.
    let _ = line(text);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_for(set: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
        };
        default_path(variable).map(|path| path.display().to_string())
    }

    #[test]
    fn the_directory_of_systemd_comes_before_that_of_the_user() {
        let home = ("HOME", "/home/u");
        let state = ("XDG_STATE_HOME", "/home/u/state");
        let systemd = ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b");
        assert_eq!(path_for(&[home]).unwrap(), "/home/u/.local/state/unsandbox/unsandbox.db");
        assert_eq!(path_for(&[home, state]).unwrap(), "/home/u/state/unsandbox/unsandbox.db");
        assert_eq!(path_for(&[home, state, systemd]).unwrap(), "/var/lib/a/unsandbox.db");
        assert_eq!(path_for(&[("XDG_STATE_HOME", "relative"), home]), path_for(&[home]));
        assert_eq!(path_for(&[]), None);
    }
}
