// SPDX-License-Identifier: MIT OR Apache-2.0
#![forbid(unsafe_code)]
//! The `unsandbox` command, as a function: the binary calls it, and so does `python -m unsandbox`.
//! It turns arguments into calls of the client, and results into streams and an exit code.

mod args;
mod completion;
mod endpoint;
mod failure;
mod info;
mod jobs;
mod keys;
#[cfg(all(test, feature = "otlp"))]
mod manual;
mod notify;
mod options;
#[cfg_attr(not(feature = "otlp"), path = "no_otlp.rs")]
mod otlp;
mod output;
mod run;
mod running;
mod serve;
mod serve_args;
mod serve_keys;
mod serve_log;
mod serve_tls;
mod signals;
mod store;
mod successor;
mod terminal;
mod usage;
mod values;
mod words;

use args::{Cli, Command};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use failure::Failure;
use std::ffi::OsString;
use unsandbox::protocol::language::language_of_extension;
use unsandbox::protocol::shell::shell_word;

/// Runs the command with these arguments (the first is the program's name) and returns its exit code.
pub fn run(args: Vec<OsString>) -> i32 {
    let cli = match Cli::try_parse_from(words::end_options(args)) {
        Ok(cli) => cli,
        Err(error) => {
            let exit_code = terminal::usage(&error);
            if let Some(hint) = meant_run(&error) {
                terminal::say(&hint);
            }
            return exit_code;
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Jobs(args) => jobs::list(args),
        Command::Job(args) => jobs::show(args),
        Command::Wait(args) => jobs::wait(args),
        Command::Cancel(args) => jobs::cancel(args),
        Command::Delete(args) => jobs::delete(args),
        Command::Languages(args) => info::languages(args),
        Command::Doctor(args) => info::doctor(args),
        Command::Completion(args) => completion::print(&args.shell),
        Command::ValidateKey(args) => info::validate_key(args),
        Command::Usage(args) => usage::show(args),
        Command::Health(args) => info::health(args),
        Command::Serve(args) => serve::serve(*args),
        Command::Store(args) => store::run(args),
        Command::Keys(args) => keys::run(args),
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// A hint for `unsandbox hello.py`: the command that was probably intended.
fn meant_run(error: &clap::Error) -> Option<String> {
    let word = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => word,
        _ => return None,
    };
    let path = std::path::Path::new(word);
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_program =
        path.is_file() || extension.is_some_and(|e| language_of_extension(e).is_some());
    is_program.then(|| format!("hint: did you mean `unsandbox run {}`?", shell_word(word)))
}

/// The end of a command: its exit code, or its failure.
type Done = Result<i32, Failure>;
