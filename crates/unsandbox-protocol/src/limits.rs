// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one table of limits: defaults, caps, and where each comes from.

use std::time::Duration;

/// Run time of a program in seconds: the smallest, largest and default `ttl` (specification).
pub const TTL_MIN_SECONDS: i64 = 1;
/// Largest `ttl` in seconds (specification).
pub const TTL_MAX_SECONDS: i64 = 900;
/// `ttl` in seconds of a request that names none (specification).
pub const TTL_DEFAULT_SECONDS: i64 = 60;

/// Input files of one execution (specification).
pub const INPUT_FILES_MAX: usize = 10;
/// Decoded bytes of one input file (specification: 5 MB).
pub const INPUT_FILE_MAX_BYTES: usize = 5 * 1024 * 1024;
/// Decoded bytes of all input files (specification: 10 MB).
pub const INPUT_FILES_TOTAL_MAX_BYTES: usize = 10 * 1024 * 1024;
/// Files of the option `files` (ours).
pub const FILES_MAX: usize = 1_000;
/// Decoded bytes of all of them together (ours).
pub const FILES_TOTAL_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a path of theirs (ours; the kernel takes 4096 with the path of the work directory).
pub const PATH_MAX_BYTES: usize = 1_024;
/// Characters of a file name (specification).
pub const FILENAME_MAX_CHARS: usize = 256;
/// Bytes of a file name where it becomes a file (limit of the file system).
pub const FILENAME_MAX_BYTES: usize = 255;

/// Total bytes of the environment, names and values (ours; the kernel's own is a few MB).
pub const ENV_MAX_BYTES: usize = 1024 * 1024;
/// Variables in the environment (ours).
pub const ENV_MAX_COUNT: usize = 4096;
/// Bytes of one value (the kernel's MAX_ARG_STRLEN is 128 KiB, with name and NUL).
pub const ENV_VALUE_MAX_BYTES: usize = 120 * 1024;
/// Program arguments: count and bytes together (ours).
pub const ARGS_MAX_COUNT: usize = 4096;
/// Bytes of all arguments together (ours).
pub const ARGS_MAX_BYTES: usize = 1024 * 1024;
/// Bytes of one argument (as for a value of the environment).
pub const ARG_MAX_BYTES: usize = 120 * 1024;
/// Flags of the compiler (ours); each as long as an argument may be.
pub const FLAGS_MAX_COUNT: usize = 64;
/// Patterns of outputs (ours): each is tried on every file that a program leaves.
pub const OUTPUTS_MAX_COUNT: usize = 100;
/// Bytes of all patterns together (ours).
pub const OUTPUTS_MAX_BYTES: usize = 4096;

/// The largest URL of a webhook's receiver.
pub const CALLBACK_URL_MAX_BYTES: usize = 2048;
/// Webhooks of one key that a store keeps at most, those of jobs that have not ended included.
pub const WEBHOOKS_KEPT_MAX: usize = 10_000;
/// Jobs of one page of a list (ours).
pub const PAGE_MAX_JOBS: usize = 1_000;

/// The compile step, on top of the ttl (ours): unless the table of languages gives a language more, and at
/// most. The steps that make what comes back (`return_artifact`, `return_wasm_artifact`) have as much each.
pub const COMPILE_TIME: Duration = Duration::from_secs(60);
/// Longest compile step that the table of languages may ask for (ours).
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(180);

/// Memory of the compile step and of those that make what comes back (ours): apart from the program's, and at least so
/// much. A larger `memory_bytes` is theirs, too; `processes`, `open_files`, `file_size_bytes` and `stack_bytes` hold for
/// them where they are above their defaults.
pub const COMPILE_MEMORY_BYTES: u64 = 2 * 1024 * MB;

/// Artifacts: files and bytes together; what is skipped is named in `error` (ours).
pub const ARTIFACTS_MAX_COUNT: usize = 100;
/// Bytes of all artifacts of one run together (ours).
pub const ARTIFACTS_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Largest request body of the server (ours): all `files` as base64, and room for the rest.
pub const REQUEST_BODY_MAX_BYTES: usize = 96 * 1024 * 1024;
/// Request bodies that a server reads at once, all together (ours).
pub const REQUEST_BODIES_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Large replies that a server makes and sends at once, all together (ours).
pub const REPLIES_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of each output stream, unless a request asks for more or less (ours).
pub const OUTPUT_DEFAULT_BYTES: u64 = 16 * MB;
/// Largest reply that the client reads unless told otherwise (ours): both streams and all artifacts at
/// their limits as base64, and 1 MB for everything else. Who asks for more output raises it.
pub const REPLY_MAX_BYTES: usize =
    ((2 * OUTPUT_DEFAULT_BYTES + ARTIFACTS_MAX_BYTES).div_ceil(3) * 4 + MB) as usize;

/// Waiting executions before RATE_LIMITED (ours); running at once is 2 × cores.
pub const QUEUE_MAX: usize = 1_000;
/// Finished jobs are kept this long, and up to this many bytes, oldest first out (ours).
pub const RETENTION: Duration = Duration::from_secs(600);
/// Bytes of finished jobs that are kept; beyond them the oldest goes first (ours).
pub const RETENTION_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of the requests of all jobs that wait at a server which keeps jobs on disk (ours).
pub const QUEUE_MAX_BYTES: u64 = 1024 * MB;
/// How long a server which keeps jobs on disk keeps finished ones (ours).
pub const STORE_RETENTION: Duration = Duration::from_secs(86_400);
/// Bytes of finished jobs that such a server keeps (ours).
pub const STORE_RETENTION_MAX_BYTES: u64 = 4096 * MB;
/// An `Idempotency-Key` maps to its job for this long (ours).
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(600);
/// A signed request may be this far from the server's clock (the service's rule).
pub const SIGNATURE_WINDOW: Duration = Duration::from_secs(300);

/// Connections that a `semitrusted` run has at once, and all runs together; bytes that one carries, both
/// ways together (ours).
pub const EGRESS_CONNECTIONS_MAX: usize = 64;
/// Connections of all `semitrusted` runs of an engine together; those of one key have three times what is free at most
/// (ours).
pub const EGRESS_CONNECTIONS_ALL_MAX: usize = 1_024;
/// Bytes through the gateway in one `semitrusted` run, both ways together (ours).
pub const EGRESS_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// One row of the table of limits that a request may set.
#[derive(Debug)]
pub struct LimitRow {
    /// The name on every face, with its unit.
    pub name: &'static str,
    /// `None`: unlimited unless asked for.
    pub default: Option<u64>,
    /// The smallest value a server accepts.
    pub min: u64,
    /// The largest value a server accepts.
    pub max: u64,
    /// What it limits, in a few words without a final stop.
    pub means: &'static str,
}

impl LimitRow {
    /// The default as a command line shows it: `512M`, `256`, `none`.
    pub fn default_text(&self) -> String {
        match self.default {
            None => "none".to_string(),
            Some(bytes) if bytes % MB == 0 => format!("{}M", bytes / MB),
            Some(count) => count.to_string(),
        }
    }
}

const MB: u64 = 1024 * 1024;

/// Gives the struct, the table and the access by name. A row is `name: default, min..=max; "meaning"`.
macro_rules! limits {
    ($($name:ident: $default:expr, $min:literal $(* $unit:ident)? ..= $max:expr; $means:literal)*) => {
        /// What one run may use. `None` takes the default; every value is capped.
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct Limits {
            $(#[doc = $means] pub $name: Option<u64>,)*
        }

        /// Every limit that a request may set, in the order of the fields of [`Limits`].
        pub const LIMIT_TABLE: &[LimitRow] = &[$(LimitRow {
            name: stringify!($name),
            default: $default,
            min: $min $(* $unit)?,
            max: $max,
            means: $means,
        },)*];

        impl Limits {
            fn field(&mut self, name: &str) -> Option<&mut Option<u64>> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

limits! {
    memory_bytes: Some(512 * MB), 16 * MB..=16 * 1024 * MB; "memory of the program, with all processes that it starts"
    cpu_time_ms: None, 10..=8 * 900_000; "processor time of the program, with all processes that it starts"
    cpus: None, 1..=1024; "processors that the run may use"
    processes: Some(256), 1..=4096; "processes and threads"
    open_files: Some(1024), 16..=65_536; "open descriptors of one process"
    file_size_bytes: Some(256 * MB), 0..=1024 * MB; "one file"
    stack_bytes: Some(64 * MB), 1 * MB..=16 * 1024 * MB; "stack of one thread; a program may raise it (setrlimit)"
    work_bytes: Some(256 * MB), 1 * MB..=1024 * MB; "work directory and /tmp together"
    work_files: Some(16_384), 64..=1_048_576; "files in them"
    output_bytes: Some(OUTPUT_DEFAULT_BYTES), 1..=64 * MB; "each of stdout and stderr"
}

impl Limits {
    /// The field called `name`, as asked for.
    pub fn get(&self, name: &str) -> Option<u64> {
        Limits { ..*self }.field(name).and_then(|field| *field)
    }

    /// Sets the field called `name`; false if there is none.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        self.field(name).map(|field| *field = Some(value)).is_some()
    }

    /// Whether the request leaves every limit to its default.
    pub fn is_default(&self) -> bool {
        *self == Limits::default()
    }
}
