// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which language a program is in: by its shebang, else by its content.

use crate::error::Error;
use crate::language::Language;

/// The language of `code`, or ARGUMENT that names the candidates.
pub fn detect(code: &str) -> Result<&'static Language, Error> {
    let _ = code;
    Err(Error::argument("the language could not be detected"))
}
