// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives a program its standard input as a pipe. Programs open `/dev/stdin` again and wait for it with poll; the kernel
//! allows neither on the sealed file in which the engine sends bytes. The init writes, because a pipe of the engine
//! would stay open in each forked copy of its host, and the program would wait for the end of its input.

use crate::sys;
use std::fs::File;
use std::io::{self, ErrorKind, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileExt, FileTypeExt};

/// What a pipe holds at most.
const PART_BYTES: usize = 64 << 10;

/// The part of an input that the program has not taken yet.
pub struct Feed {
    source: File,
    /// How much of `source` has been read.
    position: u64,
    /// Read and not yet written.
    part: Vec<u8>,
    writer: PipeWriter,
}

impl Feed {
    /// Replaces standard input by a pipe, unless it is one (or a socket). Returns what does not fit into the pipe yet.
    pub fn replace(stdin: &mut OwnedFd) -> io::Result<Option<Feed>> {
        let source = File::from(stdin.try_clone()?);
        let kind = source.metadata()?.file_type();
        if kind.is_fifo() || kind.is_socket() {
            return Ok(None);
        }
        let (reader, writer) = io::pipe()?;
        sys::set_nonblocking(writer.as_fd())?;
        *stdin = reader.into();
        Ok(Feed { source, position: 0, part: Vec::new(), writer }.go_on())
    }

    /// Polled for writing.
    pub fn descriptor(&self) -> RawFd {
        self.writer.as_raw_fd()
    }

    /// Writes as much as the pipe takes now. `None` when everything is written, or nobody can read any more: the pipe is
    /// then closed.
    pub fn go_on(mut self) -> Option<Feed> {
        loop {
            if self.part.is_empty() && !self.read_part() {
                return None;
            }
            match self.writer.write(&self.part) {
                Ok(len) => drop(self.part.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(self),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// False at the end of the input.
    fn read_part(&mut self) -> bool {
        self.part.resize(PART_BYTES, 0);
        let len = self.source.read_at(&mut self.part, self.position).unwrap_or(0);
        self.part.truncate(len);
        self.position += len as u64;
        len > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn file_with(bytes: &[u8]) -> OwnedFd {
        let memfd = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(memfd);
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file.into()
    }

    #[test]
    fn an_input_that_fits_into_the_pipe_needs_no_feeding() {
        let nothing: OwnedFd = File::open("/dev/null").unwrap().into();
        for (mut stdin, expected) in [(nothing, &b""[..]), (file_with(b"typed"), b"typed")] {
            assert!(Feed::replace(&mut stdin).unwrap().is_none());
            let mut read = Vec::new();
            File::from(stdin).read_to_end(&mut read).unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_larger_input_arrives_whole_and_in_order() {
        let sent: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
        let mut stdin = file_with(&sent);
        let mut feed = Feed::replace(&mut stdin).unwrap();
        let (mut reader, mut read, mut buffer) = (File::from(stdin), Vec::new(), [0; 5000]);
        assert!(feed.is_some(), "a pipe does not hold it");
        while let Ok(len @ 1..) = reader.read(&mut buffer) {
            read.extend_from_slice(&buffer[..len]);
            feed = feed.and_then(Feed::go_on);
        }
        assert!(read == sent);
    }

    #[test]
    fn an_input_that_nobody_reads_is_dropped() {
        // As the init does, so that writing is an error and not the end of this process.
        sys::child_signal_fd().unwrap();
        let mut stdin = file_with(&vec![0; 1 << 20]);
        let feed = Feed::replace(&mut stdin).unwrap().expect("a pipe does not hold it");
        drop(stdin);
        assert!(feed.go_on().is_none());
    }

    #[test]
    fn a_pipe_of_the_engine_is_left_alone() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut stdin = OwnedFd::from(reader);
        assert!(Feed::replace(&mut stdin).unwrap().is_none());
        writer.write_all(b"later").unwrap();
        drop(writer);
        let mut read = String::new();
        File::from(stdin).read_to_string(&mut read).unwrap();
        assert_eq!(read, "later");
    }
}
