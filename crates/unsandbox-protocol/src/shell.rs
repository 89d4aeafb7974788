// SPDX-License-Identifier: MIT OR Apache-2.0
//! Quotes words of the commands that a message proposes: users paste them into a shell, and a server or a program may have
//! chosen them.

use std::borrow::Cow;

/// `text` as one word of a shell, in quotes if the shell would not read it as exactly this word.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_text_that_a_shell_would_read_as_more_is_quoted() {
        for (text, word) in [
            ("job_1-a", "job_1-a"),
            ("http://[::1]:80/a", "'http://[::1]:80/a'"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("/home/a b/keys", "'/home/a b/keys'"),
            ("$(id)", "'$(id)'"),
            ("a'; id", r"'a'\''; id'"),
            ("~/x", "'~/x'"),
            ("a\nb", "'a\nb'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
