//! RESP3, as far as publishing and listening need it. Pure: bytes in, replies out.
//!
//! Source: the Redis serialization protocol specification, version 3.

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
use std::io::Write as _;
use std::ops::Range;

/// The longest text that is taken; what is longer is skipped.
const TEXT_MAX: usize = 64 * 1024 * 1024;

/// The longest line that says what follows; errors are such lines, too.
const LINE_MAX: usize = 64 * 1024;

/// Entries of a push message; a subscription's have three or four.
const PUSH_MAX: usize = 8;

/// How deep a reply may be nested, and how many entries it may have, beside push messages: the one to HELLO has twenty.
const DEPTH_MAX: usize = 4;
const ENTRIES_MAX: i64 = 1_024;

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A text, short or long.
    Text(Bytes),
    /// The command failed.
    Error(Bytes),
    /// Something nobody asked for: its entries.
    Push(SmallVec<[Bytes; 4]>),
    /// The same, without its last entry, which was too long.
    TooLong(SmallVec<[Bytes; 4]>),
    /// Anything else: a number, a table.
    Other,
}

/// What cannot be understood: nothing that follows can be, either.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Appends a command.
pub(super) fn command(out: &mut Vec<u8>, name: &str, arguments: &[&[u8]]) {
    count(out, b'*', arguments.len() + 1);
    text(out, name.as_bytes());
    for argument in arguments {
        text(out, argument);
    }
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    count(out, b'$', text.len());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn count(out: &mut Vec<u8>, mark: u8, count: usize) {
    out.push(mark);
    let _infallible = write!(out, "{count}\r\n");
}

/// Cuts what comes into replies.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What has come and is not read yet.
    pub(super) buffer: BytesMut,
    /// Bytes of a text that was too long and have not come yet.
    skip: usize,
}

impl Reader {
    /// The next reply, if it is there as a whole.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, Broken> {
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
        // Most are the short answers to publications: nothing has to be kept of those.
        let mut cursor = Cursor { input: &self.buffer, at: 0 };
        let found = match cursor.reply() {
            Ok(found) => found,
            Err(Stop::More) => return Ok(None),
            Err(Stop::Broken) => return Err(Broken),
        };
        let end = cursor.at;
        let here = end.min(self.buffer.len());
        self.skip = end - here;
        if let Found::Other = found {
            self.buffer.advance(here);
            return Ok(Some(Reply::Other));
        }
        let frame = self.buffer.split_to(here).freeze();
        let entries =
            |ranges: SmallVec<[Range<usize>; 4]>| ranges.into_iter().map(|range| frame.slice(range)).collect();
        Ok(Some(match found {
            Found::Text(range) => Reply::Text(frame.slice(range)),
            Found::Error(range) => Reply::Error(frame.slice(range)),
            Found::Push(ranges) => Reply::Push(entries(ranges)),
            Found::TooLong(ranges) => Reply::TooLong(entries(ranges)),
            Found::Other => Reply::Other,
        }))
    }
}

/// A reply, by where its parts are.
enum Found {
    Text(Range<usize>),
    Error(Range<usize>),
    Push(SmallVec<[Range<usize>; 4]>),
    TooLong(SmallVec<[Range<usize>; 4]>),
    Other,
}

/// Why there is no reply.
enum Stop {
    /// It has not come as a whole.
    More,
    Broken,
}

struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn reply(&mut self) -> Result<Found, Stop> {
        let (mark, line) = self.line()?;
        match mark {
            b'+' => Ok(Found::Text(line)),
            b'-' => Ok(Found::Error(line)),
            b'$' => {
                let length = self.length(&line)?;
                Ok(length.map_or(Ok(None), |length| self.text(length))?.map_or(Found::Other, Found::Text))
            }
            b'!' => {
                let length = self.length(&line)?.ok_or(Stop::Broken)?;
                Ok(Found::Error(self.text(length)?.ok_or(Stop::Broken)?))
            }
            b'>' => self.push(&line),
            _ => self.skip(mark, &line, 0).map(|()| Found::Other),
        }
    }

    fn push(&mut self, line: &Range<usize>) -> Result<Found, Stop> {
        let count = self.length(line)?.filter(|count| (1..=PUSH_MAX).contains(count)).ok_or(Stop::Broken)?;
        let mut entries = SmallVec::new();
        for left in (0..count).rev() {
            let (mark, line) = self.line()?;
            if mark != b'$' {
                self.skip(mark, &line, 0)?;
                entries.push(line);
                continue;
            }
            match self.length(&line)? {
                None => entries.push(line.start..line.start),
                Some(length) if length > TEXT_MAX && left == 0 => {
                    self.at = self.at.checked_add(length).and_then(|at| at.checked_add(2)).ok_or(Stop::Broken)?;
                    return Ok(Found::TooLong(entries));
                }
                Some(length) => entries.push(self.text(length)?.ok_or(Stop::Broken)?),
            }
        }
        Ok(Found::Push(entries))
    }

    /// Passes over the rest of a value.
    fn skip(&mut self, mark: u8, line: &Range<usize>, depth: usize) -> Result<(), Stop> {
        let entries = match mark {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => return Ok(()),
            b'$' | b'!' | b'=' => {
                let Some(length) = self.length(line)? else { return Ok(()) };
                return self.text(length)?.map(|_| ()).ok_or(Stop::Broken);
            }
            b'*' | b'~' | b'>' => self.number(line)?,
            b'%' | b'|' => self.number(line)?.saturating_mul(2),
            _ => return Err(Stop::Broken),
        };
        if depth == DEPTH_MAX || entries > ENTRIES_MAX {
            return Err(Stop::Broken);
        }
        for _ in 0..entries {
            let (mark, line) = self.line()?;
            self.skip(mark, &line, depth + 1)?;
        }
        Ok(())
    }

    /// The first byte of a value, and the rest of its line.
    fn line(&mut self) -> Result<(u8, Range<usize>), Stop> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
            return Err(if rest.len() < LINE_MAX { Stop::More } else { Stop::Broken });
        };
        if end < 2 || rest[end - 1] != b'\r' {
            return Err(Stop::Broken);
        }
        let start = self.at;
        self.at += end + 1;
        Ok((rest[0], start + 1..start + end - 1))
    }

    fn number(&self, line: &Range<usize>) -> Result<i64, Stop> {
        let digits = std::str::from_utf8(&self.input[line.clone()]).map_err(|_| Stop::Broken)?;
        digits.parse().map_err(|_| Stop::Broken)
    }

    /// A length; -1 is that of nothing.
    fn length(&self, line: &Range<usize>) -> Result<Option<usize>, Stop> {
        match self.number(line)? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Stop::Broken),
        }
    }

    /// A text of so many bytes; `None`: it is too long.
    fn text(&mut self, length: usize) -> Result<Option<Range<usize>>, Stop> {
        if length > TEXT_MAX {
            return Ok(None);
        }
        let (start, end) = (self.at, self.at + length);
        match self.input.get(end..end + 2) {
            None => Err(Stop::More),
            Some(b"\r\n") => {
                self.at = end + 2;
                Ok(Some(start..end))
            }
            Some(_) => Err(Stop::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(input: &[u8]) -> Result<Vec<Reply>, Broken> {
        let mut reader = Reader::default();
        reader.buffer.extend_from_slice(input);
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    fn push(entries: &[&'static str]) -> Reply {
        Reply::Push(entries.iter().map(|entry| Bytes::from_static(entry.as_bytes())).collect())
    }

    const EVERY_KIND: &[u8] = b"+PONG\r\n-ERR no\r\n:1\r\n$3\r\nabc\r\n$-1\r\n_\r\n!5\r\nERR x\r\n\
        >3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n>3\r\n+subscribe\r\n$1\r\nc\r\n:1\r\n\
        %2\r\n+server\r\n+redis\r\n+modules\r\n*1\r\n%1\r\n+a\r\n=5\r\ntxt:b\r\n#t\r\n,1.5\r\n(12\r\n";

    fn every_kind() -> Vec<Reply> {
        vec![
            Reply::Text("PONG".into()),
            Reply::Error("ERR no".into()),
            Reply::Other,
            Reply::Text("abc".into()),
            Reply::Other,
            Reply::Other,
            Reply::Error("ERR x".into()),
            push(&["message", "c", "hi"]),
            push(&["subscribe", "c", "1"]),
            Reply::Other,
            Reply::Other,
            Reply::Other,
            Reply::Other,
        ]
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        assert_eq!(read(EVERY_KIND).unwrap(), every_kind());
    }

    #[test]
    fn what_comes_byte_by_byte_is_read_as_well() {
        let (mut reader, mut replies) = (Reader::default(), Vec::new());
        for byte in EVERY_KIND {
            reader.buffer.extend_from_slice(&[*byte]);
            replies.extend(reader.next().unwrap());
        }
        assert_eq!(replies, every_kind());
    }

    #[test]
    fn a_payload_that_is_too_long_is_passed_over() {
        let mut reader = Reader::default();
        let length = TEXT_MAX + 1;
        reader.buffer.extend_from_slice(format!(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${length}\r\nxx").as_bytes());
        assert_eq!(reader.next(), Ok(Some(Reply::TooLong(["message".into(), "c".into()].into_iter().collect()))));
        let mut left = length - 2;
        while left > 0 {
            let part = left.min(1 << 20);
            reader.buffer.extend_from_slice(&vec![b'x'; part]);
            left -= part;
            assert_eq!(reader.next(), Ok(None));
            assert!(reader.buffer.is_empty(), "nothing of it is kept");
        }
        reader.buffer.extend_from_slice(b"\r\n+next\r\n");
        assert_eq!(reader.next(), Ok(Some(Reply::Text("next".into()))));
    }

    #[test]
    fn what_is_no_reply_is_broken() {
        for input in [
            &b"hello\r\n"[..],
            b"\r\n",
            b":1\n",
            b"$2\r\nabc\r\n",
            b"$-2\r\n",
            b"$x\r\n",
            b">0\r\n",
            b">99\r\n",
            b">?\r\n",
            b"*9999\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ] {
            assert_eq!(read(input), Err(Broken), "{}", input.escape_ascii());
        }
        assert_eq!(read(&[b'+'; LINE_MAX]), Err(Broken));
    }

    #[test]
    fn a_command_is_an_array_of_texts() {
        let mut out = Vec::new();
        command(&mut out, "PUBLISH", &[b"c", "\u{e9}\r\n".as_bytes()]);
        assert_eq!(out, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\n\u{e9}\r\n\r\n".as_bytes());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(prop_oneof![4 => prop::sample::select(b"$*>%+-:\r\n0123".to_vec()), 1 => any::<u8>()], 0..100)) {
            let _outcome = read(&bytes);
        }
    }
}
