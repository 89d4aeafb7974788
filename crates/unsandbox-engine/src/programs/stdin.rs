// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard input of a run: nothing, bytes known beforehand, or a stream.

use crate::jailer::start::block_signals;
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io::{self, BufWriter, PipeWriter, Read, Seek, Write};
use std::os::fd::OwnedFd;

/// Bytes that are written in one call.
const TOGETHER: usize = 16 * 1024;

/// A descriptor at whose end is the end of file.
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

/// A file in memory that nobody can change, at its beginning. Small parts are written together, a large one from where
/// it lies.
pub fn sealed<'a>(name: &str, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<OwnedFd> {
    let memfd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = BufWriter::with_capacity(TOGETHER, File::from(memfd));
    for part in parts {
        file.write_all(part)?;
    }
    let mut file = file.into_inner()?;
    file.rewind()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Copies until either end closes. A program that reads no further is not an error of the host: SIGPIPE,
/// blocked on this thread, ends with it.
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
