// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arguments of `unsandbox serve` and their help.

use crate::values::{bytes_of, isolation_parser, parse_bytes, parse_limit, time_of};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use unsandbox::IsolationPolicy;
use unsandbox_store::Retention;

/// Fewer leave too little to share.
const CONNECTIONS_MIN: usize = 16;
/// More than a process may have descriptors.
const CONNECTIONS_MAX: usize = 1_000_000;

const SERVE_HELP: &str = "\
Keys: a file in the form of accounts.csv has lines public_key,secret_key[,comment], lines with a bearer key alone, and
lines sha256:DIGEST[,comment] with the SHA-256 of one, as `unsandbox keys new` makes them. UNSANDBOX_SERVE_KEYS has words
separated by commas or spaces: bearer keys, their sha256:DIGEST, and public:secret pairs. A pair signs its requests, or sends its secret key as bearer. Both sources add up. Each key sees
its own jobs only. The file has to be this user's or root's alone (mode 0600 or 0400); a pipe, a file below
CREDENTIALS_DIRECTORY (systemd) and a file of its group (0440) in a directory of mode 0700 will do too.

Limits of keys (--key-limits FILE, TOML): a table [key.NAME], where NAME is the comment of a key, its public key or its
sha256:DIGEST, says what that key may do; what it does not say is said by [default], and that by the server's own options.
concurrency: its programs at once. reserved: places for programs that no other key gets. queue: its programs that may
wait; with 0 one that cannot start at once is refused. weight: how many of them start in one turn of the key (1).
requests_per_minute, burst: its requests, and how many may come at once (as many as in a minute); replies say in
RateLimit-Limit, -Remaining and -Reset what is left. max_ttl, max_limits = { memory_bytes = N, ... }: as --max-ttl and
--max-limit; the lower one counts. network_mode: \"zerotrust\" for no network. languages: a list; others are refused
(403); a program may still start another interpreter. A key over its rate gets 429 rate_limit_exceeded, over its places
429 concurrency_limit_reached, both with Retry-After. GET /usage tells a key what it may have, has and has used. Both files are read again when they change.

Without keys the server listens only on loopback or a Unix socket (mode 0600) and refuses the requests of
web pages of other sites (a header Origin that is not its own, or a Host that is not loopback).

HTTP: the versions 1.1 and 2 on one port, 2 by ALPN with TLS (--tls-cert), else for clients that begin with it (prior
knowledge). A connection of version 2 has 100 requests at once; each counts as a connection.

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
the most loses the oldest of its own. Behind a proxy all clients have one address: give them keys, or name the proxy (--trusted-proxy).

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

Webhooks (--webhooks): a job that is submitted with callback_url has its end posted there, at least once, as the
specification \"Standard Webhooks\" says: webhook-id (the same each time), webhook-timestamp, webhook-signature (HMAC-SHA256
with the secret that `unsandbox keys webhook-secret` prints for the key), and a body with the id of the job and how it
ended. A receiver that does not answer 2xx within 15 s gets it again after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 5 h
and 10 h, or as long as Retry-After of a 429 or 503 says (1 h at most); 410 ends it. No redirect is followed and no proxy
used. Every address of the receiver's name has to be public or of --webhooks-allow. 64 deliveries are under way at once, 4
of one key, and 10,000 webhooks of a key are kept; beyond that a submission gets 429. Deleting a job deletes its webhook;
those of a revoked key are dropped.

The names of the stores of idempotency keys stand in the header x-unsandbox-features of every reply and in GET
/health: idempotency=process:ID for synchronous submissions, idempotency-jobs=store:ID for jobs. A submission whose
Idempotency-Key begins with a name that is gone (process:ID/...) is refused with 412 and not run, so that no restart
runs a program twice.

One line with the address goes to standard output once it listens; the request log (no bodies, no queries,
no keys) goes to standard error: method, path, status, milliseconds, bytes of the reply, a short name of the
key, the client's address, the job, its language and how long it ran, and the id of the request, which the reply
has in x-request-id: the client's own, if that is 1 to 64 visible ASCII characters.

GET /metrics gives the metrics in the text format of Prometheus; it needs a key, or --metrics-listen. GET /healthz
answers 200 while the process lives, GET /readyz 200 or 503 as programs would run now, with the reasons for a
request with a key. Both need none.

SIGHUP opens the audit file anew and reads the keys, their limits and the TLS certificate again: requests that were accepted
and running jobs go on, open connections keep their certificate, and a list or a certificate with a fault in it is logged
and changes nothing. A pipe cannot be read again. SIGUSR2 replaces the server without a failed request: it starts its
command line anew and passes its sockets on. When that process serves, this one accepts nothing, leaves the waiting jobs
to it and ends with its last request and job; if it does not serve within 60 s, this one goes on and logs why. SIGTERM and SIGINT stop the server, and so does the
end of the terminal that it was started from, but under nohup: new work is refused, GET /health answers 503 with
the status stopping, and jobs can be asked for and cancelled until the grace ends. A second one does not wait
for the grace.

Exit codes: 0 stopped so, 2 an argument is wrong, 125 it could not serve: address, keys or isolation.";

#[derive(Args, Debug)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeArgs {
    /// HOST:PORT (port 0 takes a free one), unix:PATH, or systemd[:NAME] for the socket of a socket unit
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// File with the certificate for TLS on --listen, as PEM text, followed by those of the authorities between it and
    /// the root; SIGHUP reads it again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File with the private key of that certificate, as PEM text without a passphrase, mode 0600
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Proxies whose X-Forwarded-For or Forwarded says who the client is: addresses, networks, or unix for those that
    /// may open the Unix socket; separated by commas
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxy: Vec<String>,
    /// File with the keys that may come in, mode 0600; any mode without others' write on a read-only tmpfs, as
    /// secrets of Kubernetes and Docker Swarm are [and env: UNSANDBOX_SERVE_KEYS]
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// TOML file with what each key may do: a table [default] and tables [key.NAME], see below
    #[arg(long, value_name = "FILE")]
    pub key_limits: Option<PathBuf>,
    /// Serve though others than this user may read or change the keys file or the TLS key, as on a read-only mount
    /// where chmod fails; a warning is logged
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
    /// Programs of one key that may wait for their turn, unless --key-limits says it; beyond that 429 with Retry-After
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
    pub retain: Option<Retention>,
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
    /// Post the end of a job to the callback_url of its submission, signed and at least once; needs keys and a store on
    /// disk, see below
    #[arg(long)]
    pub webhooks: bool,
    /// Address or network (10.0.0.0/8) where receivers of webhooks may be beside the public Internet; may be repeated
    #[arg(long = "webhooks-allow", value_name = "ADDRESS[/BITS]", requires = "webhooks")]
    pub webhooks_allow: Vec<String>,
    /// PEM file of the authorities that receivers of webhooks are checked by, in place of the built-in ones
    #[arg(long, value_name = "FILE", requires = "webhooks")]
    pub webhooks_ca: Option<PathBuf>,
    /// Send results of jobs once (nested), not twice (flat too) as the service's own clients need
    #[arg(long)]
    pub no_compat: bool,
    /// Log connections too
    #[arg(short, long)]
    pub verbose: bool,
    /// Form of the log: text, or json, an object in a line with the fields of a request apart
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub log: LogForm,
    /// File to which a line of JSON is appended for each submission that ends: who, when, a digest of the code, language,
    /// network, and how it ended. Made with mode 0600; SIGHUP opens it anew, after a rotation
    #[arg(long, value_name = "PATH")]
    pub audit: Option<PathBuf>,
    /// Further address, in the forms of --listen, that serves GET /metrics alone and needs no key
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// Collector of OpenTelemetry that gets traces of requests and runs, by OTLP over HTTP (protobuf): its base URL, to
    /// which /v1/traces is added. The sampler, headers and other settings come from the OTEL_ variables [env:
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT]
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
}

/// What `--log` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogForm {
    Text,
    Json,
}

fn parse_connections(text: &str) -> Result<usize, String> {
    let range = CONNECTIONS_MIN..=CONNECTIONS_MAX;
    match text.parse() {
        Ok(count) if range.contains(&count) => Ok(count),
        _ => Err(format!("must be {CONNECTIONS_MIN} to {CONNECTIONS_MAX}")),
    }
}

fn parse_retention(text: &str) -> Result<Retention, String> {
    let parts = text.split_once(',').and_then(|(time, bytes)| time_of(time).zip(bytes_of(bytes)));
    match parts {
        Some((time, bytes)) if !time.is_zero() => Ok(Retention { time, bytes }),
        _ => Err("expected a time and a size, such as 30m,500M: a time of at least 1 s as s, m, h or d, a size as a \
                  number of bytes or with K, M or G"
            .to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unsandbox_protocol::limits::COMPILE_TIME_MAX;
    use unsandbox_protocol::wire::WAIT_MAX_SECONDS;

    #[test]
    fn the_help_states_the_current_limits() {
        assert!(SERVE_HELP.contains(&format!("at most {WAIT_MAX_SECONDS} s")));
        let most = COMPILE_TIME_MAX.as_secs();
        assert!(SERVE_HELP.contains(&format!("at most {most} s a step")));
    }

    #[test]
    fn a_retention_has_a_time_and_a_size() {
        let of = |seconds, bytes| Ok(Retention { time: Duration::from_secs(seconds), bytes });
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
}
