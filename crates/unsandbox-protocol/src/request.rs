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
    pub fn as_str(self) -> &'static str {
        match self {
            NetworkMode::Zerotrust => "zerotrust",
            NetworkMode::Semitrusted => "semitrusted",
        }
    }

    pub fn parse(word: &str) -> Option<NetworkMode> {
        match word {
            "zerotrust" => Some(NetworkMode::Zerotrust),
            "semitrusted" => Some(NetworkMode::Semitrusted),
            _ => None,
        }
    }
}

/// A file placed in the working directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputFile {
    /// `None`: called by its index, "0", "1", ….
    pub filename: Option<String>,
    pub content: Vec<u8>,
}

/// One program and its options. Plain data; [`Request::validate`] checks it against the limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// `None` for `run`: detected from the code.
    pub language: Option<String>,
    pub code: String,
    pub env: Vec<(String, String)>,
    /// As the caller wrote it; validated with the rest.
    pub network_mode: String,
    /// Seconds that the program may run; queue and compiler are not counted. `None`: the default, or what
    /// the endpoint gives if that is less.
    pub ttl: Option<i64>,
    pub return_artifact: bool,
    pub return_wasm_artifact: bool,
    pub input_files: Vec<InputFile>,
    /// `None`: end of file at once.
    pub stdin: Option<Vec<u8>>,
    pub args: Vec<String>,
    pub limits: Limits,
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
            stdin: None,
            args: Vec::new(),
            limits: Limits::default(),
            runtime: None,
        }
    }

    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn network_mode(mut self, mode: impl Into<String>) -> Self {
        self.network_mode = mode.into();
        self
    }

    pub fn ttl(mut self, seconds: i64) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// The seconds that the program may run at most, as far as this request says.
    pub fn ttl_seconds(&self) -> i64 {
        self.ttl.unwrap_or(TTL_DEFAULT_SECONDS)
    }

    pub fn return_artifact(mut self, yes: bool) -> Self {
        self.return_artifact = yes;
        self
    }

    pub fn return_wasm_artifact(mut self, yes: bool) -> Self {
        self.return_wasm_artifact = yes;
        self
    }

    pub fn input_file(mut self, filename: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.input_files
            .push(InputFile { filename: Some(filename.into()), content: content.into() });
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub fn runtime(mut self, path: impl Into<String>) -> Self {
        self.runtime = Some(path.into());
        self
    }
}
