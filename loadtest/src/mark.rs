//! Writes and reads the mark: fixed-width text inside every payload which says where a delivery
//! comes from and when it was due.
//!
//! `rc1a2b3c-00000017-00000000-00000042-0000001234567890`: session tag, room, publisher, sequence
//! number, intended time in nanoseconds. Every field is eight bytes (the time sixteen), so that
//! reading one costs a few loads and multiplications: no JSON parser, no UTF-8 check.
//!
//! # Invariants
//! - The tag is different in every run, so leftovers of another generator are told apart.
//! - A mark is a JSON string of digits and dashes and never needs escaping.

/// Length of a mark in bytes.
pub(crate) const MARK_LEN: usize = 52;
/// How far into a payload a mark is searched for.
const SEARCH_LIMIT: usize = 512;
/// Largest number that fits into eight digits, plus one.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The first eight bytes of every mark of this run.
pub(crate) type Tag = [u8; 8];

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Index of the room.
    pub(crate) room: u32,
    /// Index of the publisher in its room.
    pub(crate) publisher: u32,
    /// Position in this publisher's sequence, from 0.
    pub(crate) sequence: u64,
    /// When the send was due.
    pub(crate) intended: u64,
}

/// Makes the tag of a run from any number that differs between runs.
pub(crate) fn tag(seed: u64) -> Tag {
    let mut tag = *b"rc000000";
    let mut rest = seed;
    for byte in &mut tag[2..] {
        *byte = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    tag
}

impl Mark {
    /// Appends the mark's text.
    #[inline]
    pub(crate) fn append(&self, tag: &Tag, out: &mut Vec<u8>) {
        let mut text = [b'-'; MARK_LEN];
        text[..8].copy_from_slice(tag);
        write_eight(&mut text[9..17], u64::from(self.room));
        write_eight(&mut text[18..26], u64::from(self.publisher));
        write_eight(&mut text[27..35], self.sequence);
        write_eight(&mut text[36..44], self.intended / EIGHT_DIGITS);
        write_eight(&mut text[44..52], self.intended);
        out.extend_from_slice(&text);
    }

    /// Reads the mark at `offset` of `payload`, if this run's tag stands there.
    #[inline]
    pub(crate) fn at(payload: &[u8], offset: usize, tag: &Tag) -> Option<Self> {
        let text: &[u8; MARK_LEN] = payload.get(offset..offset + MARK_LEN)?.try_into().ok()?;
        if text[..8] != *tag {
            return None;
        }
        let high = read_eight(&text[36..44]);
        Some(Self {
            room: read_eight(&text[9..17]) as u32,
            publisher: read_eight(&text[18..26]) as u32,
            sequence: read_eight(&text[27..35]),
            intended: high * EIGHT_DIGITS + read_eight(&text[44..52]),
        })
    }

    /// Where this run's mark stands in `payload`.
    pub(crate) fn find(payload: &[u8], tag: &Tag) -> Option<usize> {
        let head = &payload[..payload.len().min(SEARCH_LIMIT)];
        memchr::memmem::find(head, tag)
    }
}

/// Writes the low eight decimal digits of `number`.
#[inline]
pub(crate) fn write_eight(out: &mut [u8], number: u64) {
    let mut rest = (number % EIGHT_DIGITS) as u32;
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Reads eight decimal digits at once: pairs, then fours, then all, in one 64-bit word.
#[inline]
fn read_eight(text: &[u8]) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let Ok(bytes) = <[u8; 8]>::try_from(text) else {
        return 0;
    };
    let digits = u64::from_le_bytes(bytes).wrapping_sub(0x3030_3030_3030_3030);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_wherever_it_stands() {
        let tag = tag(0xdead_beef);
        let mark = Mark { room: 99_999_999, publisher: 7, sequence: 12_345_678, intended: 1_234_567_890_123_456 };
        let mut payload = b"42[\"message\",{\"room\":\"room-17\",\"mark\":\"".to_vec();
        let offset = payload.len();
        mark.append(&tag, &mut payload);
        payload.extend_from_slice(b"\"}]");
        assert_eq!(payload.len(), offset + MARK_LEN + 3);
        assert_eq!(Mark::find(&payload, &tag), Some(offset));
        assert_eq!(Mark::at(&payload, offset, &tag), Some(mark));
    }

    #[test]
    fn a_foreign_or_cut_mark_is_not_read() {
        let ours = tag(1);
        let mut text = Vec::new();
        let mark = Mark { room: 0, publisher: 0, sequence: 0, intended: 0 };
        mark.append(&tag(2), &mut text);
        assert_eq!(Mark::at(&text, 0, &ours), None);
        assert_eq!(Mark::find(&text, &ours), None);
        assert_eq!(Mark::at(&text[..40], 0, &tag(2)), None);
    }
}
