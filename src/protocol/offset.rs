//! Offsets: what a Socket.IO client remembers of the last event that it heard, and shows when it comes back.

use std::fmt;

/// The number of an event, and of the process that has counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Tells the numbers of this process from those of others.
    pub epoch: u32,
    /// Counts the events of the process.
    pub number: u64,
}

impl Offset {
    /// Reads what a client shows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, number) = text.split_once('-')?;
        let (epoch, number) = (u32::from_str_radix(epoch, 16).ok()?, u64::from_str_radix(number, 16).ok()?);
        Some(Self { epoch, number })
    }
}

/// Two hexadecimal numbers: nothing that JSON would have to escape.
impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.epoch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_as_it_is_written() {
        let offset = Offset { epoch: 0xfeed, number: 4_711 };
        assert_eq!(offset.to_string(), "feed-1267");
        assert_eq!(Offset::parse("feed-1267"), Some(offset));
        for bad in ["", "-", "feed", "feed-", "x-1", "1-x", "123456789-1", "1-12345678901234567"] {
            assert_eq!(Offset::parse(bad), None, "{bad}");
        }
    }
}
