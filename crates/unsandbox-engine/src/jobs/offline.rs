// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recognises a program that failed because it has no network. Nothing sees a lookup that reads `/etc/hosts` alone, so its
//! words decide; what is said then is true in any case.

use unsandbox_protocol::{ExecutionResult, Status};

pub const WHY: &str = "the program has no network: network_mode is zerotrust; semitrusted reaches out through a gateway";

/// The end of standard error in which the words are looked for.
const TAIL_BYTES: usize = 16 << 10;

/// What C libraries and runtimes say about a name that cannot be looked up, or an address that cannot be reached.
const WORDS: [&str; 16] = [
    "Name or service not known",
    "Temporary failure in name resolution",
    "nodename nor servname provided",
    "Name does not resolve",
    "No address associated with hostname",
    "No such host is known",
    "no such host",
    "not resolve host",
    "unable to resolve host address",
    "failed to lookup address",
    "UnknownHostException",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ENETUNREACH",
    "Network is unreachable",
    "network is unreachable",
];

/// Whether a program that failed at `zerotrust` says so.
pub fn is_like_offline(result: &ExecutionResult) -> bool {
    let ended = matches!(result.status, Status::Completed | Status::Timeout);
    let tail = &result.stderr[result.stderr.len().saturating_sub(TAIL_BYTES)..];
    let tail = String::from_utf8_lossy(tail);
    ended && !result.success && WORDS.iter().any(|words| tail.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_failed_and_says_so_is_told() {
        let says = |success, stderr: &str| {
            let stderr = stderr.as_bytes().to_vec();
            let result =
                ExecutionResult { success, stderr, ..ExecutionResult::new(Status::Completed) };
            is_like_offline(&result)
        };
        let words = "socket.gaierror: [Errno -2] Name or service not known\n";
        assert!(says(false, words) && !says(true, words) && !says(false, "a host was not named\n"));
        assert!(says(false, &format!("{words}{}", "x".repeat(TAIL_BYTES / 2))));
        assert!(!says(false, &format!("{words}{}", "x".repeat(TAIL_BYTES))));
    }
}
