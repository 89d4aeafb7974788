// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which library this is: the two functions that may be called before anything else.

use crate::boundary::ffi;
use std::ffi::{CStr, c_char};

/// Goes up with every addition to the ABI; what a program was compiled against works with any
/// library whose number is at least as large and whose SONAME is the same.
pub(crate) const ABI_VERSION: i32 = 4;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version without NUL"),
    };

/// The version of the loaded library, such as "0.1.0". The header's is UNSANDBOX_VERSION.
///
/// @return NUL-terminated and never freed.
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_version() -> *const c_char {
    ffi!(or VERSION.as_ptr(), { VERSION.as_ptr() })
}

/// The ABI of the loaded library: goes up with every addition. The header's is
/// UNSANDBOX_ABI_VERSION; a library with a smaller number lacks functions of this header.
///
/// @since 0.1
#[unsafe(no_mangle)]
pub extern "C" fn unsandbox_abi_version() -> i32 {
    ffi!(or 0, { ABI_VERSION })
}
