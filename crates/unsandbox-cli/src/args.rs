// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command's arguments and its help: defaults, units and limits stand here for the reader, and are
//! enforced by the same rules as on every other face.

use crate::options::TableOptions;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
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
    Jobs(ListArgs),
    /// Show the state of a job
    Job(JobArgs),
    /// Wait for a job and give its output and its exit code
    Wait(WaitArgs),
    /// Cancel a job and give its partial output
    Cancel(JobArgs),
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
    /// Ask whether the endpoint is up
    #[command(after_help = "Exit codes: 0 up, 125 not.")]
    Health(ListArgs),
    /// Serve the HTTP API from the engine of this machine
    Serve(ServeArgs),
    /// Check, export, back up or compact the file in which `serve` keeps its jobs
    Store(StoreArgs),
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

fn isolation_parser() -> impl TypedValueParser<Value = IsolationPolicy> {
    let policies = [IsolationPolicy::Auto, IsolationPolicy::Full, IsolationPolicy::Reduced];
    PossibleValuesParser::new(policies.map(IsolationPolicy::as_str))
        .map(|word| IsolationPolicy::parse(&word).expect("it is the word of a policy"))
}

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

/// Fewer leave too little to share.
const CONNECTIONS_MIN: usize = 16;
/// More than a process may have descriptors.
const CONNECTIONS_MAX: usize = 1_000_000;

const SERVE_HELP: &str = "\
Keys: a file in the form of accounts.csv has lines public_key,secret_key[,comment], and lines with a bearer
key alone. UNSANDBOX_SERVE_KEYS has words separated by commas or spaces: bearer keys and public:secret
pairs. A pair signs its requests, or sends its secret key as bearer. Both sources add up. Each key sees
its own jobs only. The file has to be this user's or root's alone (mode 0600 or 0400); a pipe, a file below
CREDENTIALS_DIRECTORY (systemd) and a file of its group (0440) in a directory of mode 0700 will do too.

Without keys the server listens only on loopback or a Unix socket (mode 0600) and refuses the requests of
web pages (a header Origin, or a Host that is not loopback).

Limits: 96 MB of request body, ttl 900 s, finished jobs kept as --retain says, an Idempotency-Key remembered as
long as its job (of a synchronous run for 10 minutes), a long poll (GET /jobs/ID?wait=SECONDS) of at most 30 s.

Times: the first head of a connection has 5 s, later ones 30 s, idle time included. A body has 30 s without a
byte, 1024 bytes/s on average after its first 30 s, and 300 s in all; beyond that 408. A reply is given up when
its client takes nothing of it for 60 s, or less than 1024 bytes/s on average after that.

Shares: a party is a key; without keys an address (a /64 of IPv6), or a user at a Unix socket. When all
connections are in use, a new one takes the place of one of the party that has the most: an idle one, else one
whose body is awaited (503), else a long poll (answered with the job's present state), else one with a reply
under way. Those that wait for a synchronous run stay. A party has at most three times as many of those as
there are places without one, three quarters if it is alone, and all together seven eighths; beyond that 429.
So it is with the 256 MB of request bodies and the 256 MB of large replies that are in memory: at most three
times what is free, else 503 with Retry-After after 2 s, of a reply after 30 s; meanwhile the party that has
the most loses the oldest of its own. Behind a proxy all clients have one address: give them keys.

A run holds its place while it is compiled too, before its ttl begins: at most 180 s a step, by the language. It
counts for its key and is cancelled then as at any other time.

A synchronous run ends when its client's connection closes, or the client's sending side of it; with an
Idempotency-Key 3 s later, so that a retry finds it; one that comes later gets the cancelled run. A job goes
on to its ttl.

A job is on disk before its id is told, and its end before it is reported (--store). After a restart, also after kill
-9, finished jobs answer as before and waiting ones run; one that was running is failed and may have run, or runs again
if its submission said so (rerun: if_lost). One process at a time runs the jobs of a store; a second one with the same
store takes over when the first stops. A full disk refuses new jobs (507 STORE) until there is room. `unsandbox store`
checks, exports, backs up and compacts the file. Synchronous runs, their results and their keys are in the memory of the
process: 10 minutes, 256 MB.

The names of what remembers idempotency keys stand in the header x-unsandbox-features of every reply and in GET
/health: idempotency=process:ID for synchronous submissions, idempotency-jobs=store:ID for jobs. A submission whose
Idempotency-Key begins with a name that is gone (process:ID/...) is refused with 412 and not run, so that no restart
runs a program twice.

One line with the address goes to standard output once it listens; the request log (no bodies, no queries,
no keys) goes to standard error: method, path, status, milliseconds, bytes of the reply, a short name of the
key, the client's address, and the job, its language and how long it ran.

SIGHUP reads the keys again: requests that were accepted and running jobs go on, and a list with a fault in it
is logged and changes nothing. A pipe cannot be read again. SIGTERM and SIGINT stop the server, and so does the
end of the terminal that it was started from, but under nohup: new work is refused, GET /health answers 503 with
the status stopping, and jobs can be asked for and cancelled until the grace ends. A second one does not wait
for the grace.

Exit codes: 0 stopped so, 2 an argument is wrong, 125 it could not serve: address, keys or isolation.";

#[derive(Args, Debug)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeArgs {
    /// HOST:PORT (port 0 takes a free one) or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// File with the keys that may come in, mode 0600; any mode without others' write on a read-only tmpfs, as
    /// secrets of Kubernetes and Docker Swarm are [and env: UNSANDBOX_SERVE_KEYS]
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Serve though others than this user may read or change the keys file, as on a read-only mount where chmod
    /// fails; a warning is logged
    #[arg(long)]
    pub allow_readable_keys: bool,
    /// Connections at once; half of the open files that the process may have at most
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = parse_connections)]
    pub connections: usize,
    /// Seconds that running jobs may go on after a stop, before they are cancelled
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub grace: u64,
    /// full (required: strangers' code runs here), auto (the best that this machine gives) or reduced
    #[arg(long, value_name = "LEVEL", default_value = "full", value_parser = isolation_parser())]
    pub isolation: IsolationPolicy,
    /// Programs at once; default: twice the processors
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,
    /// Programs of one key that may wait for their turn; beyond that 429 with Retry-After
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub queue: usize,
    /// Bytes that the requests of all waiting jobs may have in the store; one key gets three quarters at most
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_bytes)]
    pub queue_bytes: u64,
    /// File in which jobs, results and idempotency keys outlive the process, made with mode 0600 on a disk of this
    /// machine; or memory, for jobs that end with it. Default: unsandbox.db in STATE_DIRECTORY (systemd), else in
    /// XDG_STATE_HOME/unsandbox or ~/.local/state/unsandbox
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// How long finished jobs are kept, and how many bytes of them: 30m,500M. The oldest of the key that has the most
    /// goes first. Default: 1d,4G; with --store memory 10m,256M
    #[arg(long, value_name = "TIME,BYTES", value_parser = parse_retention)]
    pub retain: Option<Retain>,
    /// Largest ttl that a request may ask for, in seconds; a request without one has this much at most
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(i64).range(1..=900))]
    pub max_ttl: i64,
    /// Largest value of a limit that a request may ask for, and the most that one has which asks for
    /// none; may be repeated, names as in `run --help`
    #[arg(long = "max-limit", value_name = "NAME=VALUE", value_parser = parse_limit)]
    pub max_limits: Vec<(String, u64)>,
    /// Host that semitrusted programs may reach: a name, an address or *.suffix (its sub-domains); may be
    /// repeated. Default: every public host. Private, loopback and metadata addresses never
    #[arg(long = "egress-allow", value_name = "HOST")]
    pub egress_allow: Vec<String>,
    /// Send results of jobs once (nested), not twice (flat too) as the service's own clients need
    #[arg(long)]
    pub no_compat: bool,
    /// Log connections too
    #[arg(short, long)]
    pub verbose: bool,
}

/// What `--retain` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Retain {
    pub time: Duration,
    pub bytes: u64,
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

fn parse_connections(text: &str) -> Result<usize, String> {
    let range = CONNECTIONS_MIN..=CONNECTIONS_MAX;
    match text.parse() {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => Err(format!("must be {CONNECTIONS_MIN} to {CONNECTIONS_MAX}")),
    }
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

fn parse_limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let known = LIMIT_TABLE.iter().map(|row| row.name);
    if !known.clone().any(|known| known == name) {
        let names: Vec<&str> = known.collect();
        return Err(format!("{name:?} is not a limit; there are {}", names.join(", ")));
    }
    let number =
        bytes_of(value).ok_or("VALUE must be a whole number, optionally followed by K, M or G")?;
    Ok((name.to_string(), number))
}

/// A whole number with K, M or G, each 1024 times the one before.
fn bytes_of(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1u64),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit))
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    bytes_of(text)
        .ok_or_else(|| "must be a whole number, optionally followed by K, M or G".to_string())
}

/// A whole number with s, m, h or d.
fn time_of(text: &str) -> Option<Duration> {
    let at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at))?;
    let unit = match &text[at..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

fn parse_retention(text: &str) -> Result<Retain, String> {
    let parts = text.split_once(',').and_then(|(time, bytes)| time_of(time).zip(bytes_of(bytes)));
    match parts {
        Some((time, bytes)) if !time.is_zero() => Ok(Retain { time, bytes }),
        _ => Err("expected a time and a size, such as 30m,500M: a time of at least 1 s as s, m, h or d, a size as a \
                  number of bytes or with K, M or G"
            .to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use unsandbox_protocol::limits::{
        COMPILE_TIME, COMPILE_TIME_MAX, QUEUE_MAX, TTL_DEFAULT_SECONDS, TTL_MAX_SECONDS,
    };
    use unsandbox_protocol::wire::WAIT_MAX_SECONDS;

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
        assert!(SERVE_HELP.contains(&format!("at most {WAIT_MAX_SECONDS} s")));
        let [usual, most] = [COMPILE_TIME, COMPILE_TIME_MAX].map(|time| time.as_secs());
        let help = Cli::command().find_subcommand_mut("run").unwrap().render_long_help();
        let help = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let told = format!("compiler, which has {usual} to {most} s of its own");
        assert!(help.contains(&told), "{help}");
        assert!(SERVE_HELP.contains(&format!("at most {most} s a step")));
    }

    #[test]
    fn a_retention_has_a_time_and_a_size() {
        let of = |seconds, bytes| Ok(Retain { time: Duration::from_secs(seconds), bytes });
        assert_eq!(parse_retention("30m,500M"), of(1_800, 500 << 20));
        assert_eq!(parse_retention("1d,0"), of(86_400, 0));
        for wrong in [
            "",
            "30m",
            "30,1G",
            "m,1G",
            "0s,1G",
            "1h,",
            "1h,1T",
            "1h,1G,1",
            "1ü,1",
            "99999999999999999d,1",
        ] {
            assert!(parse_retention(wrong).unwrap_err().contains("30m,500M"), "{wrong}");
        }
    }

    #[test]
    fn limits_have_known_names_and_whole_numbers() {
        assert_eq!(parse_limit("memory_bytes=64M").unwrap().1, 64 << 20);
        assert_eq!(parse_limit("processes=7").unwrap(), ("processes".to_string(), 7));
        for wrong in
            ["memory=1", "processes", "processes=", "processes=1.5", "work_bytes=99999999999G"]
        {
            parse_limit(wrong).unwrap_err();
        }
    }
}
