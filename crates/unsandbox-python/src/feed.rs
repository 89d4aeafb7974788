// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard input that a thread of Python's reads: its pieces wait here for the program. No descriptor lies between, so
//! that no signal of a broken pipe can reach a host that does not ignore it.

use pyo3::prelude::*;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Pieces that wait; then the reading thread waits too.
const PIECES_MAX: usize = 2;

/// The end of Python: `write` gives a piece to the program.
#[derive(Debug)]
#[pyclass(frozen, module = "unsandbox._native")]
pub struct Feed {
    sender: Mutex<Option<SyncSender<Vec<u8>>>>,
    reader: Mutex<Option<Reader>>,
}

#[pymethods]
impl Feed {
    #[new]
    fn new() -> Self {
        let (sender, pieces) = sync_channel(PIECES_MAX);
        let reader = Reader { pieces, current: Vec::new(), at: 0 };
        Feed { sender: Mutex::new(Some(sender)), reader: Mutex::new(Some(reader)) }
    }

    /// Waits until there is room for the piece; false where nobody reads any more.
    fn write(&self, py: Python<'_>, piece: Vec<u8>) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        py.detach(|| sender.is_some_and(|sender| sender.send(piece).is_ok()))
    }

    /// The end of the input.
    fn end(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The end of the call.
    fn close(&self) {
        self.end();
        // Where the call never took it, a writer would wait for ever.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Feed {
    /// The end of the program, for one call.
    pub fn reader(&self) -> Option<Box<dyn Read + Send>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        reader.map(|reader| Box::new(reader) as Box<dyn Read + Send>)
    }
}

#[derive(Debug)]
struct Reader {
    pieces: Receiver<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match self.pieces.recv() {
                Ok(piece) => (self.current, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let len = buffer.len().min(self.current.len() - self.at);
        buffer[..len].copy_from_slice(&self.current[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
