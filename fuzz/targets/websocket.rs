//! A stream read in pieces gives the same messages, and the same end, as the stream read at once.
//!
//! Input: a byte with the number of cuts (0 to 7), two bytes for each cut, then the stream.

use roomcast::protocol::disconnect::Disconnect;
use roomcast::protocol::websocket::{Incoming, Limits, Reader};

const LIMITS: Limits = Limits { message_bytes: 300, fragments: 8 };

#[derive(Debug, PartialEq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
    End(Disconnect),
}

pub(crate) fn run(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let Some((cuts, stream)) = rest.split_at_checked(usize::from(count % 8) * 2) else { return };
    let cut = |pair: &[u8; 2]| usize::from(u16::from_le_bytes(*pair)) % (stream.len() + 1);
    let mut ends: Vec<usize> = cuts.as_chunks().0.iter().map(cut).collect();
    ends.sort_unstable();
    ends.push(stream.len());
    let whole = read(stream, &[stream.len()]);
    assert_eq!(read(stream, &ends), whole, "cut at {ends:?}");
    let every_byte: Vec<usize> = (0..=stream.len()).collect();
    assert_eq!(read(stream, &every_byte), whole, "cut at every byte");
}

fn read(stream: &[u8], ends: &[usize]) -> Vec<Seen> {
    let (mut reader, mut seen, mut from) = (Reader::default(), Vec::new(), 0);
    for &end in ends {
        let (mut part, mut at) = (stream[from..end].to_vec(), 0);
        from = end;
        loop {
            match reader.next(&mut part, &mut at, &LIMITS) {
                Ok(None) => break,
                Ok(Some(Incoming::Text(text))) => seen.push(Seen::Text(text.to_owned())),
                Ok(Some(Incoming::Binary(bytes))) => seen.push(Seen::Binary(bytes.to_owned())),
                Ok(Some(Incoming::Ping(payload))) => seen.push(Seen::Ping(payload.to_owned())),
                Ok(Some(Incoming::Pong)) => seen.push(Seen::Pong),
                Ok(Some(Incoming::Close)) => {
                    seen.push(Seen::Close);
                    return seen;
                }
                Err(disconnect) => {
                    seen.push(Seen::End(disconnect));
                    return seen;
                }
            }
        }
        assert_eq!(at, part.len(), "None means that everything was taken");
    }
    seen
}
