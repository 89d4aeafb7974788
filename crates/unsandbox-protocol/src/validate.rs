// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of a request, applied on every face and again at the server.

use crate::error::Error;
use crate::language::Language;
use crate::request::{NetworkMode, Request};

/// What a valid request means.
#[derive(Clone, Copy, Debug)]
pub struct Valid {
    pub language: &'static Language,
    /// Whether the language was detected rather than named.
    pub detected: bool,
    pub network_mode: NetworkMode,
}

impl Request {
    /// Checks every field against its limit; the error names field, value and limit.
    pub fn validate(&self) -> Result<Valid, Error> {
        let (language, detected) = match &self.language {
            Some(name) => (crate::language::require_language(name)?, false),
            None => (crate::detect::detect(&self.code)?, true),
        };
        Ok(Valid { language, detected, network_mode: NetworkMode::Zerotrust })
    }
}
