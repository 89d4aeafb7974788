// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program has printed and its process had not yet written, when it ended: it lies in a file of the writable
//! tree (`crates/unsandbox-preload`), and the init writes it to the program's standard output. The program could have
//! written it itself, so nothing in the file needs to be believed.

use crate::init::files::Tree;
use crate::init::streams::RunStreams;
use crate::sys;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use unsandbox_jailer::commands::GATHERED_BYTES;

/// The file's head, which begins with two numbers.
const HEAD: usize = 16;

/// How long to wait for an engine that does not read.
const WRITE_TIME: Duration = Duration::from_secs(2);

/// Where the file is, and the end of the pipe.
pub struct Gathered {
    path: String,
    stdout: OwnedFd,
}

impl Gathered {
    /// Keeps the pipe of the program whose file this is, and forgets the file: its text is one program's.
    pub fn of(path: &mut Option<String>, streams: &RunStreams<'_>) -> Option<Gathered> {
        let RunStreams::Own(own) = streams else { return None };
        Some(Gathered { path: path.take()?, stdout: own.stdout.try_clone().ok()? })
    }

    /// Writes what is left, once every process of the run has ended.
    pub fn finish(self, tree: &Path) {
        // Without a file nothing is left, and without a reader nobody misses it.
        let _ = self.write_rest(tree);
    }

    fn write_rest(self, tree: &Path) -> io::Result<()> {
        let (file, _) = Tree::open(tree)?.read(&self.path)?;
        let mut bytes = Vec::new();
        File::from(file).take(GATHERED_BYTES as u64).read_to_end(&mut bytes)?;
        rustix::fs::fcntl_setfl(&self.stdout, rustix::fs::OFlags::NONBLOCK)?;
        let mut pipe = File::from(self.stdout);
        let (mut rest, until) = (left_in(&bytes), Instant::now() + WRITE_TIME);
        while !rest.is_empty() {
            match pipe.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let time = until.saturating_duration_since(Instant::now());
                    if time.is_zero() {
                        break;
                    }
                    sys::poll([(pipe.as_raw_fd(), sys::WRITABLE)], Some(time))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The text between the two numbers of the head, if there is one.
fn left_in(file: &[u8]) -> &[u8] {
    let number = |at: usize| {
        let bytes: [u8; 4] = file.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes) as usize)
    };
    let text = file.get(HEAD..).unwrap_or_default();
    let range = number(0).zip(number(4)).and_then(|(begin, end)| text.get(begin..end));
    range.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{HEAD, left_in};

    #[test]
    fn a_text_lies_between_the_numbers_of_a_head_that_makes_sense() {
        let file = |begin: u32, end: u32, text: &[u8]| {
            [&begin.to_ne_bytes()[..], &end.to_ne_bytes(), &[7; 8], text].concat()
        };
        assert_eq!(left_in(&file(1, 3, b"abcd")), b"bc");
        assert_eq!(left_in(&file(0, 4, b"abcd")), b"abcd");
        for (begin, end) in [(0, 5), (3, 1), (5, 6), (u32::MAX, 0), (0, u32::MAX)] {
            assert_eq!(left_in(&file(begin, end, b"abcd")), b"", "{begin}..{end}");
        }
        assert_eq!(left_in(b""), b"");
        assert_eq!(left_in(&[0; HEAD - 1]), b"");
    }
}
