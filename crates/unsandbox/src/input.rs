// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads programs and their input up to the size limit of a request, because a source may have no end.

use std::io::Read;
use unsandbox_protocol::Error;
use unsandbox_protocol::limits::REQUEST_BODY_MAX_BYTES;

/// Reads `source` to its end; `what` names it in the error.
///
/// # Errors
///
/// ARGUMENT if it cannot be read, or has more bytes than a request may have (96 MB).
pub fn read_whole(what: &str, source: impl Read) -> Result<Vec<u8>, Error> {
    let max = REQUEST_BODY_MAX_BYTES;
    let mut bytes = Vec::new();
    source
        .take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|cause| Error::argument(format!("{what} cannot be read")).with_cause(cause))?;
    if bytes.len() > max {
        return Err(Error::argument(format!(
            "{what} has more than {max} bytes, the most that a request may have; give a smaller input"
        )));
    }
    Ok(bytes)
}
