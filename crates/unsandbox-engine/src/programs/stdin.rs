// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard input of a run: empty, known bytes, or a stream.

use crate::jailer::start::block_signals;
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io::{self, BufWriter, PipeWriter, Read, Seek, Write};
use std::os::fd::OwnedFd;

/// Small parts are written in blocks of this size.
const WRITE_BLOCK_BYTES: usize = 16 * 1024;

/// The standard input that the init gets. The program reads it from a pipe: the one here, or one that the init fills from
/// the file.
pub fn prepare(bytes: Option<&[u8]>, stream: Option<Box<dyn Read + Send>>) -> io::Result<OwnedFd> {
    if let Some(stream) = stream {
        let (reader, writer) = io::pipe()?;
        std::thread::Builder::new()
            .name("unsandbox-stdin".to_string())
            .spawn(move || pump(stream, writer))?;
        return Ok(reader.into());
    }
    match bytes {
        None | Some([]) => Ok(File::open("/dev/null")?.into()),
        Some(bytes) => sealed("unsandbox-stdin", [bytes].into_iter()),
    }
}

/// A sealed file in memory, positioned at its beginning. Small parts are written together, a large one without a copy.
pub fn sealed<'a>(name: &str, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<OwnedFd> {
    let memfd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = BufWriter::with_capacity(WRITE_BLOCK_BYTES, File::from(memfd));
    for part in parts {
        file.write_all(part)?;
    }
    let mut file = file.into_inner()?;
    file.rewind()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Copies until either end closes. A program that stops reading is not an error of the host: SIGPIPE is blocked on this
/// thread and ends with it.
fn pump(mut stream: Box<dyn Read + Send>, mut writer: PipeWriter) {
    block_signals();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) if writer.write_all(&buffer[..len]).is_err() => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
