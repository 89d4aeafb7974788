// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes of the messages: little-endian numbers and length-prefixed strings. Both ends are of one
//! build, so there are no versions; the reader still trusts no length.

/// Collects the bytes of one message.
#[derive(Debug, Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

/// Reads a message. `None` means that it ended too early.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// A value that travels in a message.
pub trait Wire: Sized {
    fn write(&self, to: &mut Writer);
    fn read(from: &mut Reader<'_>) -> Option<Self>;

    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.bytes
    }

    /// Reads a value that fills `bytes` exactly.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { rest: bytes };
        let value = Self::read(&mut reader)?;
        reader.rest.is_empty().then_some(value)
    }
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

macro_rules! number {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn write(&self, to: &mut Writer) {
                to.bytes.extend_from_slice(&self.to_le_bytes());
            }
            fn read(from: &mut Reader<'_>) -> Option<Self> {
                from.take(size_of::<$type>())?.try_into().ok().map(<$type>::from_le_bytes)
            }
        }
    )* };
}
number!(u8, u16, u32, u64, i32);

impl Wire for bool {
    fn write(&self, to: &mut Writer) {
        u8::from(*self).write(to);
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(u8::read(from)? != 0)
    }
}

impl Wire for String {
    fn write(&self, to: &mut Writer) {
        (self.len() as u64).write(to);
        to.bytes.extend_from_slice(self.as_bytes());
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let len = u64::read(from)?.try_into().ok()?;
        String::from_utf8(from.take(len)?.to_vec()).ok()
    }
}

/// Raw bytes: a type of its own, so that they are copied whole and not one by one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Blob(pub Vec<u8>);

impl Wire for Blob {
    fn write(&self, to: &mut Writer) {
        (self.0.len() as u64).write(to);
        to.bytes.extend_from_slice(&self.0);
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let len = u64::read(from)?.try_into().ok()?;
        Some(Blob(from.take(len)?.to_vec()))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, to: &mut Writer) {
        (self.len() as u64).write(to);
        for item in self {
            item.write(to);
        }
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let len = u64::read(from)?;
        // The memory grows with the items that are read, so a false length costs nothing.
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(T::read(from)?);
        }
        Some(items)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(if bool::read(from)? { Some(T::read(from)?) } else { None })
    }
}

/// Gives a struct its bytes: its fields, in order.
#[macro_export]
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn write(&self, to: &mut $crate::codec::Writer) {
                $( self.$field.write(to); )*
            }
            fn read(from: &mut $crate::codec::Reader<'_>) -> Option<Self> {
                Some($name { $( $field: $crate::codec::Wire::read(from)?, )* })
            }
        }
    };
}

/// Gives an enum its bytes: a number, then the variant's fields.
#[macro_export]
macro_rules! wire_enum {
    ($name:ident { $($number:literal = $variant:ident $({ $($field:ident),* $(,)? })?),* $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn write(&self, to: &mut $crate::codec::Writer) {
                match self {
                    $( $name::$variant $({ $($field),* })? => {
                        ($number as u8).write(to);
                        $( $( $field.write(to); )* )?
                    } )*
                }
            }
            fn read(from: &mut $crate::codec::Reader<'_>) -> Option<Self> {
                Some(match u8::read(from)? {
                    $( $number => $name::$variant $({ $( $field: $crate::codec::Wire::read(from)? ),* })?, )*
                    _ => return None,
                })
            }
        }
    };
}
