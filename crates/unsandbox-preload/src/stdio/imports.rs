// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the program writes to streams without their locks, which a second thread must not see. The macros for that
//! are no calls; they call `__overflow` where a buffer ends, and this is how the program is known.

use super::libc::*;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

/// Functions of those who take no lock; D takes it before it calls `fputc_unlocked`.
const UNLOCKED: [&CStr; 6] = [
    c"__overflow",
    c"putchar_unlocked",
    c"putc_unlocked",
    c"fputs_unlocked",
    c"fwrite_unlocked",
    c"__fsetlocking",
];

const PT_DYNAMIC: u32 = 2;
const DT_PLTRELSZ: usize = 2;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_JMPREL: usize = 23;

#[repr(C)]
struct Symbol {
    name: u32,
    rest: [u8; 20],
}

#[repr(C)]
struct Relocation {
    offset: usize,
    info: usize,
    addend: usize,
}

pub fn has_unlocked_writes() -> bool {
    // SAFETY: the callback has this type.
    unsafe { dl_iterate_phdr(look, null_mut()) != 0 }
}

/// Looks at the program, whose name is empty.
unsafe extern "C" fn look(object: *const LoadedObject, _size: usize, _: *mut c_void) -> c_int {
    // SAFETY: what the loader says of an object that it has loaded.
    unsafe {
        let object = &*object;
        if *object.name != 0 {
            return 0;
        }
        let headers = core::slice::from_raw_parts(object.headers, object.header_count.into());
        let dynamic = headers.iter().find(|header| header.kind == PT_DYNAMIC);
        let Some(dynamic) = dynamic else { return 0 };
        let table = (object.base + dynamic.address) as *const [usize; 2];
        c_int::from(imports(table))
    }
}

unsafe fn imports(mut table: *const [usize; 2]) -> bool {
    let mut values = [0; 24];
    // SAFETY: the table ends with an entry of tag 0; the addresses in it are those of tables that the loader uses.
    unsafe {
        while (*table)[0] != 0 {
            let [tag, value] = *table;
            if let Some(place) = values.get_mut(tag) {
                *place = value;
            }
            table = table.add(1);
        }
        let symbols = values[DT_SYMTAB] as *const Symbol;
        let names = values[DT_STRTAB] as *const c_char;
        [(DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)].iter().any(|(start, size)| {
            let count = values[*size] / size_of::<Relocation>();
            let first = values[*start] as *const Relocation;
            (0..count).any(|at| {
                let symbol = symbols.add((*first.add(at)).info >> 32);
                UNLOCKED.contains(&CStr::from_ptr(names.add((*symbol).name as usize)))
            })
        })
    }
}
