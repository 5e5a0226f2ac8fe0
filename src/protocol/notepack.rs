//! The extensions of `notepack.io` 2, with which `socket.io-msgpack-parser` says what JSON has no form for.

use super::utc;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::fmt;

/// What an extension stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// JavaScript's `undefined`.
    Undefined,
    /// A date, as its text in JSON.
    Date(String),
    /// An `ArrayBuffer`.
    Buffer(Vec<u8>),
}

impl Extension {
    /// Reads type and data of an extension; `fixed` when its marker holds its length.
    pub(super) fn read<'de, D: Deserializer<'de>>(source: D, fixed: bool) -> Result<Option<Self>, D::Error> {
        let (kind, Blob(data)) = <(i8, Blob)>::deserialize(source)?;
        Ok(match (kind, fixed, <[u8; 8]>::try_from(&*data)) {
            (0, true, Ok(millis)) => Some(Self::Date(utc::iso(i64::from_be_bytes(millis)))),
            (0, true, Err(_)) => (data.len() == 1).then_some(Self::Undefined),
            (0, false, _) => Some(Self::Buffer(data)),
            _ => None,
        })
    }
}

/// Which extensions in MessagePack have their length in their marker, in the order in which they come. A decoder of serde
/// does not tell, but a date of eight bytes and a buffer of eight bytes differ in nothing else.
pub(super) fn fixed_extensions(bytes: &[u8]) -> Vec<bool> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some((&marker, behind)) = rest.split_first() {
        let number = |width: usize| {
            let digits = behind.get(..width).unwrap_or_default();
            digits.iter().fold(0usize, |number, digit| number << 8 | usize::from(*digit)) + width
        };
        let length = match marker {
            0xa0..=0xbf => usize::from(marker & 0x1f),
            0xc4 | 0xd9 => number(1),
            0xc5 | 0xda => number(2),
            0xc6 | 0xdb => number(4),
            0xc7..=0xc9 => {
                found.push(false);
                number(1 << (marker - 0xc7)) + 1
            }
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 | 0xdc | 0xde => 2,
            0xca | 0xce | 0xd2 | 0xdd | 0xdf => 4,
            0xcb | 0xcf | 0xd3 => 8,
            0xd4..=0xd8 => {
                found.push(true);
                1 + (1 << (marker - 0xd4))
            }
            // Small numbers, nil, booleans, and the heads of small lists and maps, whose entries follow.
            _ => 0,
        };
        rest = behind.get(length..).unwrap_or_default();
    }
    found
}

struct Blob(Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_bytes(BlobVisitor)
    }
}

struct BlobVisitor;

impl Visitor<'_> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_found_behind_everything_else() {
        let bytes = [
            &[0x85, 0xa1, b'a', 0xcd, 1, 2, 0xd9, 2, 0xd4, 0xd4][..], // a map, a string, a number, a longer string
            &[0xd4, 0, 0],
            &[0xc4, 1, 0xd7, 0xc7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xdc, 0, 1, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0, 0xd7, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xc8, 0, 1, 0, 9, 0xc0, 0xff],
        ]
        .concat();
        assert_eq!(fixed_extensions(&bytes), [true, false, true, false]);
        for end in 0..bytes.len() {
            let _cut = fixed_extensions(&bytes[..end]);
        }
        assert!(fixed_extensions(&[0xc6, 0xff, 0xff, 0xff, 0xff]).is_empty());
    }
}
