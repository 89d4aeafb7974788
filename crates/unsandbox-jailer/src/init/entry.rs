// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a compiled program has an entry point: the kernel starts a shared library, too, at address zero.

use crate::init::files::Tree;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The part of the head of an ELF file of 64 bits up to the entry point.
const HEAD: usize = 32;
const ENTRY: usize = 24;

/// Whether the file below this tree is a library. `false` for what is not in the tree and for what cannot be read.
pub fn is_library(tree: &Path, program: &str) -> bool {
    let read = || {
        let path = Path::new(program).strip_prefix(tree).ok()?.to_str()?;
        let (file, _) = Tree::open(tree).ok()?.read(path).ok()?;
        let mut head = [0; HEAD];
        File::from(file).read_exact(&mut head).ok()?;
        Some(lacks_entry(&head))
    };
    read().unwrap_or(false)
}

fn lacks_entry(head: &[u8; HEAD]) -> bool {
    head.starts_with(b"\x7fELF\x02") && head[ENTRY..] == [0; HEAD - ENTRY]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_has_no_entry_point() {
        let mut head = [0; HEAD];
        assert!(!lacks_entry(&head));
        head[..5].copy_from_slice(b"\x7fELF\x02");
        assert!(lacks_entry(&head));
        head[ENTRY + 1] = 0x10;
        assert!(!lacks_entry(&head));
    }
}
