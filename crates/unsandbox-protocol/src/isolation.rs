// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which layers of isolation a machine has, and which a run had.

use crate::error::Error;
use crate::rules::shown;

/// How strong the jail is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Landlock, seccomp, rlimits and an own session, without namespaces.
    Reduced,
    /// Everything: namespaces, an own root, seccomp, Landlock, limits.
    Full,
}

impl Level {
    /// The word of the wire: `reduced` or `full`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Reduced => "reduced",
            Level::Full => "full",
        }
    }
}

/// Which level an engine accepts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IsolationPolicy {
    /// The best level that the machine supports; every result reports it.
    #[default]
    Auto,
    /// `full`, or ISOLATION_UNAVAILABLE.
    Full,
    /// `reduced`, even where `full` is available.
    Reduced,
}

impl IsolationPolicy {
    /// Reads `auto`, `full` or `reduced` in lower case; `None` for any other word.
    pub fn parse(word: &str) -> Option<IsolationPolicy> {
        match word {
            "auto" => Some(IsolationPolicy::Auto),
            "full" => Some(IsolationPolicy::Full),
            "reduced" => Some(IsolationPolicy::Reduced),
            _ => None,
        }
    }

    /// The word for it: `auto`, `full` or `reduced`.
    pub fn as_str(self) -> &'static str {
        match self {
            IsolationPolicy::Auto => "auto",
            IsolationPolicy::Full => "full",
            IsolationPolicy::Reduced => "reduced",
        }
    }

    /// As [`IsolationPolicy::parse`], or ARGUMENT with the words that there are.
    pub fn require(word: &str) -> Result<IsolationPolicy, Error> {
        Self::parse(word).ok_or_else(|| {
            Error::argument(format!(
                "isolation must be \"auto\", \"full\" or \"reduced\", got {}",
                shown(word)
            ))
        })
    }
}

/// What the jail of one run was made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Isolation {
    /// `full` or `reduced`; other servers may use other words.
    pub level: String,
    /// Names of the layers that the jail had.
    pub layers: Vec<String>,
    /// Names of the layers that the machine could not give.
    pub missing: Vec<String>,
}

/// One layer as this machine gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    /// Name of the layer, as `seccomp`.
    pub name: String,
    /// Whether this machine gives it.
    pub available: bool,
    /// What it is made of here, or why it is missing.
    pub detail: String,
    /// How to get it; empty when it is there.
    pub fix: String,
}

/// What this machine gives, asked without running anything of the user's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The best level available; `None` where execution would be refused.
    pub level: Option<Level>,
    /// Every layer, available or not.
    pub layers: Vec<Layer>,
}
