// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command's arguments and its help: defaults, units and limits stand here for the reader, and are
//! enforced by the same rules as on every other face.

use crate::options::TableOptions;
use crate::serve_args::ServeArgs;
use crate::values::{isolation_parser, parse_limit};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use unsandbox::IsolationPolicy;
use unsandbox::protocol::auth::Secret;
use unsandbox::protocol::limits::{LIMIT_TABLE, LimitRow};

/// Run code in any language in a sandbox: on this machine, at api.unsandbox.com, or on a server of
/// your own.
#[derive(Parser, Debug)]
#[command(name = "unsandbox", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  the program's own   it ran to its end
  1                   validate-key: the key is not valid; doctor: the isolation is reduced
  2                   usage: an argument or a value of the request is wrong; nothing ran
  124                 the program passed its ttl
  125                 unsandbox itself failed, or others cancelled the job
  130                 interrupted (SIGINT); the program was cancelled. 143 for SIGTERM, 129 for SIGHUP
  141                 nobody reads our output any more; the program was cancelled

Output: what the program writes is passed on as it is, to a terminal too, which obeys it. In all other text (a
server's words, names of files, logs, --json) control characters are escaped.

Endpoint: --url, else UNSANDBOX_URL, else https://api.unsandbox.com if a key is configured, else local:,
the engine inside this command.
Keys: --key or --public-key and --secret-key, else UNSANDBOX_PUBLIC_KEY and UNSANDBOX_SECRET_KEY, else
UNSANDBOX_API_KEY, else row UNSANDBOX_ACCOUNT or --account of ~/.unsandbox/accounts.csv.";

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a program and give its output and its exit code
    Run(Box<RunArgs>),
    /// List the pending and running jobs of this key
    Jobs(JobsArgs),
    /// Show the state of a job
    Job(JobArgs),
    /// Wait for a job and give its output and its exit code
    Wait(WaitArgs),
    /// Cancel a job and give its partial output
    Cancel(JobArgs),
    /// Delete a job that has ended, with its result and its artifacts
    Delete(JobArgs),
    /// List languages: name, version, path, or what to install
    Languages(ListArgs),
    /// Show each layer of isolation: whether this machine gives it, and how to get it
    Doctor(DoctorArgs),
    /// Print the completion of this command for a shell
    #[command(after_help = COMPLETION_HELP)]
    Completion(CompletionArgs),
    /// Ask whether the endpoint takes the key
    #[command(after_help = "Exit codes: 0 valid, 1 not valid, 125 the endpoint did not say.")]
    ValidateKey(ListArgs),
    /// Show what the key may have, what it has now, and what it has used since the server started
    Usage(ListArgs),
    /// Ask whether the endpoint is up
    #[command(after_help = "Exit codes: 0 up, 125 not.")]
    Health(ListArgs),
    /// Serve the HTTP API from the engine of this machine
    Serve(Box<ServeArgs>),
    /// Check, export, back up or compact the file in which `serve` keeps its jobs
    Store(StoreArgs),
    /// Make keys for `serve`, and show what signs the webhooks of one
    Keys(KeysArgs),
}

/// Where to run, and as whom.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Endpoint and key")]
pub(crate) struct EndpointArgs {
    /// local:, https://HOST, http://HOST:PORT or unix:PATH [env: UNSANDBOX_URL]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// API key, sent as bearer; other users see it in the process list, so prefer UNSANDBOX_API_KEY
    #[arg(long, value_name = "KEY", conflicts_with_all = ["public_key", "account"])]
    pub key: Option<Secret>,
    /// Public key of a pair that signs requests [env: UNSANDBOX_PUBLIC_KEY]
    #[arg(long, value_name = "KEY", requires = "secret_key", conflicts_with = "account")]
    pub public_key: Option<String>,
    /// Secret key of the pair [env: UNSANDBOX_SECRET_KEY]
    #[arg(long, value_name = "KEY", requires = "public_key")]
    pub secret_key: Option<Secret>,
    /// Row of ~/.unsandbox/accounts.csv, counted from 0 [env: UNSANDBOX_ACCOUNT]
    #[arg(long, value_name = "ROW")]
    pub account: Option<usize>,
    /// PEM file of certificates to trust in place of the built-in ones, for a server with one of its own
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Send a key over plain http to another machine, where it can be read on the way
    #[arg(long)]
    pub allow_plain_http_key: bool,
}

impl EndpointArgs {
    /// Whether any of them is there.
    pub(crate) fn is_given(&self) -> bool {
        self.url.is_some()
            || self.key.is_some()
            || self.public_key.is_some()
            || self.account.is_some()
            || self.ca_file.is_some()
    }
}

const RUN_HELP: &str = "\
Options stand before FILE or CODE: all words behind it are the program's, also those that begin with a dash,
and a -- between them may be left out.

Standard input: what is piped or redirected to this command goes to the program, on local: as it comes, for
a server after its end. A terminal is not read (the program sees an end of file) unless --stdin - says so.
Where FILE is -, standard input is the program's source, and the program's own input is empty.

Standard error is the program's alone, but for one line that names the endpoint where code leaves this
machine by an endpoint that was not given with --url (or with -v), and one where the isolation is not full.
A line says which limit or signal ended the program, which artifacts could not be taken, and that files in
its folder artifacts are lost without --artifacts. -q leaves these out.

SIGINT, SIGTERM and SIGHUP cancel the program. SIGKILL cannot be seen: on local: the program ends with this
command, but at a server its job goes on to its ttl; `unsandbox jobs` and `unsandbox cancel ID` end it.";

const RUN_EXAMPLES: &str = "\
Examples:
  unsandbox run hello.py
  unsandbox run --ttl 5 hello.py --verbose world
  unsandbox run -l bash -c 'echo $1' -- world
  unsandbox run --url unix:/run/unsandbox.sock --ttl 5 -f data.csv report.py";

fn run_help() -> String {
    let name = |row: &LimitRow| format!("{} ({})", row.name, row.default_text());
    let width = LIMIT_TABLE.iter().map(|row| name(row).len()).max().unwrap_or_default() + 2;
    let rows = LIMIT_TABLE.iter().map(|row| format!("\n  {:width$}{}", name(row), row.means));
    let limits =
        "Limits (--limit NAME=VALUE; K, M and G are powers of 1024; default in parentheses):";
    format!("{RUN_HELP}\n\n{limits}{}\n\n{RUN_EXAMPLES}", rows.collect::<String>())
}

#[derive(Args, Debug)]
#[command(after_help = run_help(), override_usage = "unsandbox run [OPTIONS] FILE [ARGS]...\n       \
    unsandbox run [OPTIONS] -c CODE [ARGS]...")]
pub(crate) struct RunArgs {
    /// Program to run; - reads it from standard input. Its language follows from -l, its extension, or its
    /// content
    #[arg(value_name = "FILE", required_unless_present = "code", conflicts_with = "code")]
    pub file: Option<PathBuf>,
    /// Language name or alias; `unsandbox languages` lists them
    #[arg(short, long, value_name = "LANG")]
    pub language: Option<String>,
    /// Program text, instead of a file
    #[arg(short, long, value_name = "CODE", allow_hyphen_values = true)]
    pub code: Option<String>,
    /// Environment variable of the program; may be repeated. Nothing of this environment is passed
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = parse_env)]
    pub env: Vec<(String, String)>,
    /// File for the working directory, as its own name or as NAME; at most 10 files, 5 MB each, 10 MB
    /// together. A folder, and a NAME with folders (pkg/util.py), go to the local engine and to servers of your own: at
    /// most 1000 files, 64 MB together. A PATH with = in it needs NAME= before it
    #[arg(short = 'f', long = "file", value_name = "[NAME=]PATH")]
    pub files: Vec<String>,
    /// Flag of the compiler, such as -O2; may be repeated. Each language has a list of those that it takes
    #[arg(long = "flag", value_name = "FLAG", allow_hyphen_values = true)]
    pub flags: Vec<String>,
    /// File that the program makes or changes in its working directory and that comes back as an artifact: a pattern
    /// such as '*.png' or 'out/**'; may be repeated. Needs --artifacts or --json to put it somewhere
    #[arg(long = "output", value_name = "PATTERN")]
    pub outputs: Vec<String>,
    /// zerotrust (no network) or semitrusted (through a gateway)
    #[arg(short, long, value_name = "MODE", default_value = "zerotrust")]
    pub network_mode: String,
    /// Seconds that the program may run, 1 to 900; the queue is not counted, nor is the compiler, which has
    /// 60 to 180 s of its own by the language. Default: 60, or what the server allows at most
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_ttl)]
    pub ttl: Option<i64>,
    /// Ask for what was compiled, and save artifacts in DIR, which is made if missing, in their folders;
    /// a second file of the same name becomes NAME-2. The program chooses the names, and files that are
    /// there are replaced: give a directory for artifacts alone. `.name` is saved as `_name`. One that cannot
    /// be saved is named on standard error; the exit code stays the program's
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
    /// Ask for a WebAssembly module; needs --artifacts or --json to put it somewhere
    #[arg(long)]
    pub wasm: bool,
    /// Standard input of the program: a file, or - for this command's own, a terminal too
    #[arg(long, value_name = "PATH")]
    pub stdin: Option<PathBuf>,
    /// A limit of the run, see below; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = parse_limit)]
    pub limits: Vec<(String, u64)>,
    #[command(flatten)]
    pub options: TableOptions,
    /// auto (the best that this machine gives), full or reduced; on local: only
    #[arg(long, value_name = "LEVEL", default_value = "auto", value_parser = isolation_parser())]
    pub isolation: IsolationPolicy,
    /// Host that a semitrusted program may reach: a name, an address or *.suffix; may be repeated. Default:
    /// every public host; on local: only
    #[arg(long = "egress-allow", value_name = "HOST")]
    pub egress_allow: Vec<String>,
    /// Print the whole result as JSON instead of the output
    #[arg(long)]
    pub json: bool,
    /// Submit a job and print its id; `unsandbox wait ID` gives its output. Needs a server
    #[arg(long = "async")]
    pub asynchronous: bool,
    /// Name the endpoint, and each artifact that is saved, on standard error
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say nothing on standard error about how the program ended, what became of its artifacts and which files are not
    /// kept
    #[arg(short, long)]
    pub quiet: bool,
    /// Arguments of the program: all words after FILE or CODE
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JobsArgs {
    /// List at most so many jobs, 1 to 1000. Default: all
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// List only jobs that were submitted after this one, as the last one of the page before
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    /// Id of the job, as `run --async` printed it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// Id of the job, as `run --async` printed it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Give up after this many seconds (exit code 125); the job goes on. Default: wait as long as it takes
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Save artifacts in DIR, as `run --artifacts` does
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
    /// Say nothing on standard error about how the program ended, what became of its artifacts and which files are not
    /// kept
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the whole result as JSON instead of the output
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub endpoint: EndpointArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 full isolation, 1 reduced, 125 none: programs would be refused."
)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The shells that completion is written for.
pub(crate) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

const COMPLETION_HELP: &str = "\
To have it in each new shell:
  bash   unsandbox completion bash > ~/.local/share/bash-completion/completions/unsandbox
  zsh    unsandbox completion zsh > DIR/_unsandbox, where DIR is in fpath
  fish   unsandbox completion fish > ~/.config/fish/completions/unsandbox.fish";

#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL", value_parser = PossibleValuesParser::new(SHELLS))]
    pub shell: String,
}

#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum StoreCommand {
    /// Read the whole file and say what is in it; exit code 1 if something in it is broken
    Check {
        /// The file that `serve --store` names
        path: PathBuf,
    },
    /// Print each job as a line of JSON: its owner, its request until it has ended, and the job with its result
    Export {
        /// The file that `serve --store` names
        path: PathBuf,
    },
    /// Copy the store as it is now, while a server uses it
    Backup {
        /// The file that `serve --store` names
        path: PathBuf,
        /// The copy, which must not exist yet
        target: PathBuf,
    },
    /// Give the room of removed jobs back to the disk
    Compact {
        /// The file that `serve --store` names
        path: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum KeysCommand {
    /// Make a bearer key, and the line of the keys file with its SHA-256: the server needs to know no more
    New(NewKeyArgs),
    /// Print the secret that verifies the webhooks of the key in use, as libraries of Standard Webhooks take it
    #[command(after_help = SECRET_HELP)]
    WebhookSecret(EndpointArgs),
}

const SECRET_HELP: &str = "\
The secret is whsec_ and the base64 of an HMAC-SHA256 of the key's SHA-256: it tells nothing of the key, and changes with
it. Of a pair the secret key counts. Whoever knows the SHA-256 of a key can compute it, too.";

#[derive(Args, Debug)]
pub(crate) struct NewKeyArgs {
    /// Make a pair that signs requests; the keys file then has both keys as they are
    #[arg(long)]
    pub pair: bool,
    /// Text behind the key in the keys file, by which the file of --key-limits may name it
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Add the line to this keys file, which is made with mode 0600 if it is missing, and do not print it
    #[arg(long, value_name = "FILE")]
    pub add: Option<PathBuf>,
    /// Print an object: key, or public_key and secret_key; line without --add
    #[arg(long)]
    pub json: bool,
}

fn parse_env(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_string(), value.to_string())),
        None => Err("expected NAME=VALUE".to_string()),
    }
}

/// By protocol's own rule and in its words.
fn parse_ttl(text: &str) -> Result<i64, String> {
    unsandbox_protocol::rules::ttl_from_text(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use unsandbox_protocol::limits::{
        COMPILE_TIME, COMPILE_TIME_MAX, QUEUE_MAX, TTL_DEFAULT_SECONDS, TTL_MAX_SECONDS,
    };

    #[test]
    fn the_definitions_are_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_states_the_current_limits() {
        assert!(run_help().contains(
            "\n  memory_bytes (512M)     memory of the program, with all processes that it starts\n"
        ));
        assert_eq!((TTL_DEFAULT_SECONDS, TTL_MAX_SECONDS, QUEUE_MAX), (60, 900, 1000));
        let [usual, most] = [COMPILE_TIME, COMPILE_TIME_MAX].map(|time| time.as_secs());
        let help = Cli::command().find_subcommand_mut("run").unwrap().render_long_help();
        let help = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let told = format!("compiler, which has {usual} to {most} s of its own");
        assert!(help.contains(&told), "{help}");
    }
}
