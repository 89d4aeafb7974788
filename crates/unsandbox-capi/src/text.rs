// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text and bytes across the boundary: input as pointer and length, output with an additional NUL at its end.

use std::ffi::c_char;
use unsandbox_protocol::{Error, ErrorCode};

/// As a length: the text ends at its first NUL.
pub const NUL_TERMINATED: usize = usize::MAX;

/// Bytes that the library owns, with a NUL at their end that the length does not count.
pub struct Text(Box<[u8]>);

impl Text {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        bytes.reserve_exact(1);
        bytes.push(0);
        Text(bytes.into_boxed_slice())
    }

    /// A copy, with room for its NUL from the start.
    pub fn copy(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        Text::new(bytes)
    }

    pub fn optional(text: Option<&str>) -> Option<Self> {
        text.map(Text::copy)
    }

    pub fn ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    pub fn len(&self) -> usize {
        self.0.len() - 1
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0[..self.len()]
    }
}

/// Gives a text to the caller of a getter: returns the pointer, and writes the length unless that pointer is NULL.
pub fn give(text: &Text, len: *mut usize) -> *const c_char {
    give_raw(text.ptr(), text.len(), len)
}

/// As [`give`]; absent text is NULL with length 0.
pub fn give_optional(text: Option<&Text>, len: *mut usize) -> *const c_char {
    match text {
        Some(text) => give(text, len),
        None => give_raw(std::ptr::null(), 0, len),
    }
}

/// The value of a getter for a NULL handle, where the text is never absent.
pub fn give_empty(len: *mut usize) -> *const c_char {
    give_raw(c"".as_ptr(), 0, len)
}

pub fn give_raw<T>(pointer: *const T, value: usize, len: *mut usize) -> *const T {
    if !len.is_null() {
        // SAFETY: `len` is writable or NULL, by the contract of every getter.
        unsafe { len.write(value) };
    }
    pointer
}

/// Bytes borrowed from the caller for the call. NULL with length 0 is empty.
pub fn bytes<'a>(data: *const u8, len: usize, name: &str) -> Result<&'a [u8], Error> {
    if data.is_null() {
        return match len {
            0 => Ok(&[]),
            _ => Err(Error::argument(format!("{name} is NULL, but its length is {len}"))),
        };
    }
    if len > isize::MAX as usize {
        let max = isize::MAX;
        return Err(Error::argument(format!("the length of {name} is {len}, the limit is {max}")));
    }
    // SAFETY: `data` is readable for `len` bytes, by the contract of the ABI.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// Text borrowed from the caller for the call: UTF-8, of the given length or up to its NUL.
pub fn text<'a>(data: *const c_char, len: usize, name: &str) -> Result<&'a str, Error> {
    let len = match len {
        NUL_TERMINATED if data.is_null() => {
            return Err(Error::argument(format!("{name} is NULL")));
        }
        // SAFETY: the caller says that the text has a NUL at its end.
        NUL_TERMINATED => unsafe { std::ffi::CStr::from_ptr(data) }.count_bytes(),
        len => len,
    };
    let bytes = bytes(data.cast(), len, name)?;
    std::str::from_utf8(bytes).map_err(|error| {
        Error::new(
            ErrorCode::Argument,
            format!("{name} is not UTF-8: invalid byte at offset {} of {len}", error.valid_up_to()),
        )
    })
}

/// As [`text`]; NULL with length 0 is `None`.
pub fn optional_text<'a>(
    data: *const c_char,
    len: usize,
    name: &str,
) -> Result<Option<&'a str>, Error> {
    if data.is_null() && (len == 0 || len == NUL_TERMINATED) {
        return Ok(None);
    }
    text(data, len, name).map(Some)
}
