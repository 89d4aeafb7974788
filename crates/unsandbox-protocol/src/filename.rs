// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes safe file names from the names of artifacts. A hostile program or server may have chosen them, and some names do
//! harm in any folder: git, ssh, shells and editors execute settings of `.git/config` or `.envrc` without asking.

use crate::limits::FILENAME_MAX_BYTES;
use crate::printable::is_obeyed;

/// The name reduced to one harmless path component: what follows its last `/` or `\`.
///
/// `_` stands for a `.` or a `-` at its beginning, for `:`, for a `~` before a digit, for control characters and
/// for marks of direction. At most 255 bytes; `artifact` where nothing is left.
pub fn safe_filename(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    safe_component(last).unwrap_or_else(|| "artifact".to_string())
}

/// The name as harmless components of a relative path, of which the last is [`safe_filename`]. What would lead
/// upwards or to a root is left out.
pub fn safe_components(name: &str) -> Vec<String> {
    let folders = name.rsplit_once(['/', '\\']).map_or("", |(folders, _)| folders);
    let mut components: Vec<String> =
        folders.split(['/', '\\']).filter_map(safe_component).collect();
    components.push(safe_filename(name));
    components
}

/// `None` for components that do not name a file: the empty one, `.` and `..`.
fn safe_component(text: &str) -> Option<String> {
    if text.trim_matches(['.', ' ']).is_empty() {
        return None;
    }
    let mut name = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let harms = match c {
            // A file system may drop joiners, so that a dot after one becomes the first character. `*` in a shell
            // passes a name with a `-` at its beginning to a command as an option.
            '.' | '-' | '\u{200c}' | '\u{200d}' => name.is_empty(),
            // `git~1` is the short name of `.git` on Windows.
            '~' => chars.peek().is_some_and(char::is_ascii_digit),
            ':' | '\u{200b}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
            c => is_obeyed(c),
        };
        name.push(if harms { '_' } else { c });
    }
    let mut end = name.len().min(FILENAME_MAX_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_filename_is_one_component() {
        for (name, expected) in [
            ("plot.png", "plot.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.txt", "y.txt"),
            ("c:evil", "c_evil"),
            ("a\0b\nc", "a_b_c"),
            ("", "artifact"),
            ("..", "artifact"),
            ("a/", "artifact"),
            (". .", "artifact"),
        ] {
            assert_eq!(safe_filename(name), expected, "{name:?}");
        }
        assert_eq!(safe_filename(&"é".repeat(200)).len(), 254);
    }

    #[test]
    fn safe_components_stay_below_their_folder() {
        for (name, expected) in [
            ("d/a", &["d", "a"][..]),
            ("/etc/passwd", &["etc", "passwd"]),
            ("../../x/./y", &["x", "y"]),
            ("C:\\x\\y", &["C_", "x", "y"]),
            ("d/..", &["d", "artifact"]),
            ("", &["artifact"]),
        ] {
            assert_eq!(safe_components(name), expected, "{name:?}");
        }
    }

    #[test]
    fn no_component_is_a_name_that_a_tool_obeys_unasked() {
        for (name, expected) in [
            (".git/config", &["_git", "config"][..]),
            ("a/.git/hooks/pre-commit", &["a", "_git", "hooks", "pre-commit"]),
            (".envrc", &["_envrc"]),
            ("../.ssh/authorized_keys", &["_ssh", "authorized_keys"]),
            ("..hidden\\...x", &["_.hidden", "_..x"]),
            // What HFS+ and NTFS take for `.git`.
            (".g\u{200c}it/config", &["_g\u{200c}it", "config"]),
            ("\u{200d}.git/config", &["_.git", "config"]),
            ("\u{feff}.git/\u{206b}.x", &["_.git", "_.x"]),
            ("GIT~1/config", &["GIT_1", "config"]),
            ("--checkpoint-action=exec=sh x", &["_-checkpoint-action=exec=sh x"]),
            // Harmless ones stay.
            ("a.b/c-d/e~", &["a.b", "c-d", "e~"]),
            ("\u{1f468}\u{200d}\u{1f469}.png", &["\u{1f468}\u{200d}\u{1f469}.png"]),
        ] {
            assert_eq!(safe_components(name), expected, "{name:?}");
        }
    }

    #[test]
    fn marks_of_direction_do_not_disguise_a_name() {
        for mark in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}', '\u{2028}', '\u{200b}'] {
            let name = format!("invoice{mark}gpj.exe");
            assert_eq!(safe_filename(&name), "invoice_gpj.exe", "{mark:?}");
        }
    }
}
