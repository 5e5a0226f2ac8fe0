//! The extensions of `notepack.io`, with which Socket.IO's MessagePack parser (2.x) and nodes (3.x) say what JSON has no
//! form for.

use super::utc;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::fmt;

/// The extension that MessagePack itself has for times.
const TIMESTAMP: i8 = -1;

/// How far JavaScript's dates reach from 1970, in both directions.
const DATE_MAX_MILLIS: u64 = 8_640_000_000_000_000;

/// What an extension stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// JavaScript's `undefined`.
    Undefined,
    /// A date, as its text in JSON, if JavaScript has such a date.
    Date(Option<String>),
    /// An `ArrayBuffer`.
    Buffer(Vec<u8>),
}

impl Extension {
    /// Reads type and data of an extension; `fixed` when its marker holds its length.
    pub(super) fn read<'de, D: Deserializer<'de>>(source: D, fixed: bool) -> Result<Option<Self>, D::Error> {
        let (kind, Blob(data)) = <(i8, Blob)>::deserialize(source)?;
        Ok(match (kind, fixed, <[u8; 8]>::try_from(&*data)) {
            (0, true, Ok(millis)) => Some(Self::date(i64::from_be_bytes(millis).into())),
            (0, true, Err(_)) => (data.len() == 1).then_some(Self::Undefined),
            (0, false, _) => Some(Self::Buffer(data)),
            (TIMESTAMP, ..) => timestamp(&data).map(Self::date),
            _ => None,
        })
    }

    fn date(millis: i128) -> Self {
        let known = i64::try_from(millis).ok().filter(|millis| millis.unsigned_abs() <= DATE_MAX_MILLIS);
        Self::Date(known.map(utc::iso))
    }
}

/// Milliseconds since 1970 of MessagePack's timestamp 32, 64 or 96.
fn timestamp(data: &[u8]) -> Option<i128> {
    let (seconds, nanos) = match *data {
        [a, b, c, d] => (u32::from_be_bytes([a, b, c, d]).into(), 0),
        [a, b, c, d, ref seconds @ ..] => {
            let nanos = u32::from_be_bytes([a, b, c, d]);
            match (<[u8; 8]>::try_from(seconds), <[u8; 8]>::try_from(data)) {
                (Ok(seconds), _) => (i64::from_be_bytes(seconds).into(), nanos),
                // 30 bits of nanoseconds and 34 bits of seconds.
                (_, Ok(both)) => (i128::from(u64::from_be_bytes(both) & 0x3_ffff_ffff), nanos >> 2),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(seconds * 1_000 + i128::from(nanos / 1_000_000))
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
    fn timestamps_are_read_in_their_three_lengths() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
        };
        for (data, expected) in [
            ("00000000", Some(0)),
            ("ffffffff", Some(4_294_967_295_000)),
            ("01ab3f00691fcfcb", Some(1_763_692_491_007)),
            ("00000003ffffffff", Some(17_179_869_183_000)),
            ("3b8b87c0ffffffffffffffff", Some(-1)),
            ("000000007fffffffffffffff", Some(9_223_372_036_854_775_807_000)),
            ("", None),
            ("000000", None),
            ("0000000000", None),
            ("00000000000000000000000000", None),
        ] {
            assert_eq!(timestamp(&hex(data)), expected, "{data}");
        }
        assert_eq!(Extension::date(8_640_000_000_000_001), Extension::Date(None));
        assert_eq!(Extension::date(-1), Extension::Date(Some("1969-12-31T23:59:59.999Z".into())));
    }

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
