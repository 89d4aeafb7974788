// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked for: one program and its options.

use crate::limits::{Limits, TTL_DEFAULT_SECONDS};

/// How much network a program has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum NetworkMode {
    /// None at all.
    #[default]
    Zerotrust,
    /// One way out, through the gateway.
    Semitrusted,
}

impl NetworkMode {
    /// The word of the wire: `zerotrust` or `semitrusted`.
    pub fn as_str(self) -> &'static str {
        match self {
            NetworkMode::Zerotrust => "zerotrust",
            NetworkMode::Semitrusted => "semitrusted",
        }
    }

    /// Reads `zerotrust` or `semitrusted` in lower case; `None` for any other word.
    pub fn parse(word: &str) -> Option<NetworkMode> {
        match word {
            "zerotrust" => Some(NetworkMode::Zerotrust),
            "semitrusted" => Some(NetworkMode::Semitrusted),
            _ => None,
        }
    }
}

/// Whether a job may run again whose server ended while it ran.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Rerun {
    /// Never: the job is then `failed`, and its program may have run.
    #[default]
    Never,
    /// The program may run twice: it runs again from its beginning.
    IfLost,
}

impl Rerun {
    /// The word of the wire: `never` or `if_lost`.
    pub fn as_str(self) -> &'static str {
        match self {
            Rerun::Never => "never",
            Rerun::IfLost => "if_lost",
        }
    }

    /// Reads `never` or `if_lost` in lower case; `None` for any other word.
    pub fn parse(word: &str) -> Option<Rerun> {
        [Rerun::Never, Rerun::IfLost].into_iter().find(|it| it.as_str() == word)
    }
}

/// A file placed in the working directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputFile {
    /// `None`: called by its index, "0", "1", …. In `files` a path, as `pkg/util.py`.
    pub filename: Option<String>,
    /// Its bytes; in `input_files` at most 5 MiB (limit from the API).
    pub content: Vec<u8>,
}

/// One program and its options. Plain data; [`Request::validate`] checks it against the limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// `None` for `run`: detected from the code.
    pub language: Option<String>,
    /// Source text of the program.
    pub code: String,
    /// Variables of the environment: name, value. At most 4096, and 1 MiB together.
    pub env: Vec<(String, String)>,
    /// As the caller wrote it; validated with the rest.
    pub network_mode: String,
    /// Seconds that the program may run; queue and compiler are not counted. `None`: the default, or what
    /// the endpoint gives if that is less.
    pub ttl: Option<i64>,
    /// Whether the compiled program comes back as an artifact; false by default.
    pub return_artifact: bool,
    /// Whether the program compiled to WebAssembly comes back as an artifact; false by default.
    pub return_wasm_artifact: bool,
    /// Files of the working directory: at most 10, and 10 MiB together (limits from the API).
    pub input_files: Vec<InputFile>,
    /// Files of the working directory and of folders in it: at most 1,000, and 64 MiB together (ours). The service does
    /// not know them.
    pub files: Vec<InputFile>,
    /// `None`: end of file at once.
    pub stdin: Option<Vec<u8>>,
    /// Arguments of the program: at most 4096, and 1 MiB together.
    pub args: Vec<String>,
    /// Flags of the compiler, of those that the language allows. The service does not know them.
    pub flags: Vec<String>,
    /// Patterns of files in the working directory, as `out/**/*.png`, that come back if the program made or changed them:
    /// at most 100, and 4096 bytes together. The service does not know them.
    pub outputs: Vec<String>,
    /// What the run may use; a limit that is `None` has its default.
    pub limits: Limits,
    /// Whether it may run again if the server ends while it runs; for jobs of a server that keeps them on a disk. The
    /// service does not know it.
    pub rerun: Rerun,
    /// URL to which a server posts that the job has ended: `http:` or `https:`, at most 2048 bytes. For jobs of a server
    /// that sends webhooks; the service does not know it.
    pub callback_url: Option<String>,
    /// Local engine only: path of the interpreter or compiler to use.
    pub runtime: Option<String>,
}

impl Request {
    /// For `execute`: the language is known.
    pub fn new(language: impl Into<String>, code: impl Into<String>) -> Self {
        Request { language: Some(language.into()), ..Request::detect(code) }
    }

    /// For `run`: the language is detected.
    pub fn detect(code: impl Into<String>) -> Self {
        Request {
            language: None,
            code: code.into(),
            env: Vec::new(),
            network_mode: NetworkMode::Zerotrust.as_str().to_string(),
            ttl: None,
            return_artifact: false,
            return_wasm_artifact: false,
            input_files: Vec::new(),
            files: Vec::new(),
            stdin: None,
            args: Vec::new(),
            flags: Vec::new(),
            outputs: Vec::new(),
            limits: Limits::default(),
            rerun: Rerun::Never,
            callback_url: None,
            runtime: None,
        }
    }

    /// Adds a variable of the program's environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the network mode: `zerotrust`, the default, or `semitrusted`; checked by validation.
    pub fn network_mode(mut self, mode: impl Into<String>) -> Self {
        self.network_mode = mode.into();
        self
    }

    /// Sets how many seconds the program may run, 1 to 900; by default 60, or the endpoint's limit if that is less.
    pub fn ttl(mut self, seconds: i64) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// The seconds that the program may run at most, as far as this request says.
    pub fn ttl_seconds(&self) -> i64 {
        self.ttl.unwrap_or(TTL_DEFAULT_SECONDS)
    }

    /// Sets whether the compiled program comes back as an artifact.
    pub fn return_artifact(mut self, yes: bool) -> Self {
        self.return_artifact = yes;
        self
    }

    /// Sets whether the program compiled to WebAssembly comes back as an artifact.
    pub fn return_wasm_artifact(mut self, yes: bool) -> Self {
        self.return_wasm_artifact = yes;
        self
    }

    /// Adds a file of the working directory: a name without `/` and its bytes, at most 5 MiB.
    pub fn input_file(mut self, filename: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.input_files
            .push(InputFile { filename: Some(filename.into()), content: content.into() });
        self
    }

    /// Adds a file by its path in the working directory, as `pkg/util.py`; missing folders are made. Not for the
    /// service.
    pub fn file(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.push(InputFile { filename: Some(path.into()), content: content.into() });
        self
    }

    /// Sets the bytes of standard input; without them it is at its end at once.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Adds an argument of the program.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a flag of the compiler, as `-O2`; each language has a list of those that it takes. Not for the service.
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Asks for files that the program makes or changes in the working directory, by a pattern such as `*.png`. Not for
    /// the service.
    pub fn output(mut self, pattern: impl Into<String>) -> Self {
        self.outputs.push(pattern.into());
        self
    }

    /// Sets what the run may use, in place of all limits set before.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether the program may run again if the server ends while it runs. Not for the service.
    pub fn rerun(mut self, rerun: Rerun) -> Self {
        self.rerun = rerun;
        self
    }

    /// Sets the URL to which the server posts that the job has ended; only jobs of a server with `--webhooks` take it.
    pub fn callback_url(mut self, url: impl Into<String>) -> Self {
        self.callback_url = Some(url.into());
        self
    }

    /// Sets the path of the interpreter or compiler; only the local engine takes it.
    pub fn runtime(mut self, path: impl Into<String>) -> Self {
        self.runtime = Some(path.into());
        self
    }
}
