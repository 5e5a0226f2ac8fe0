//! What was published while a node could not listen: the others say it again, to that node alone. Pure.
//!
//! A node whose subscribing connection was lost asks for what was published since it last heard anything, and keeps back
//! what comes meanwhile until it has heard that; by the numbers of publications it tells what it has had. Only roomcast
//! nodes can be asked.

use super::broker::Publication;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// What was published lately, as it was sent.
#[derive(Debug)]
pub(super) struct Recent {
    sent: VecDeque<(u64, Publication)>,
    bytes: usize,
    bytes_max: usize,
    keep_ms: u64,
}

impl Recent {
    /// Keeps publications for `keep_ms`, at most `bytes_max` of them.
    pub(super) fn new(keep_ms: u64, bytes_max: usize) -> Self {
        Self { sent: VecDeque::new(), bytes: 0, bytes_max, keep_ms }
    }

    pub(super) fn keep<'a>(&mut self, publications: impl IntoIterator<Item = &'a Publication>, now: u64) {
        for publication in publications {
            self.bytes += cost(publication);
            self.sent.push_back((now, publication.clone()));
        }
        while self.sent.front().is_some_and(|(at, _)| at + self.keep_ms <= now || self.bytes > self.bytes_max)
            && let Some((_, publication)) = self.sent.pop_front()
        {
            self.bytes -= cost(&publication);
        }
    }

    /// What was published in the last `ago` milliseconds, in order.
    pub(super) fn since(&self, ago: u64, now: u64) -> impl Iterator<Item = &Publication> {
        self.sent.iter().skip_while(move |(at, _)| at.saturating_add(ago) < now).map(|(_, publication)| publication)
    }
}

fn cost(publication: &Publication) -> usize {
    publication.payload.len() + publication.channel.len() + 64
}

/// As whom the node `uid` asks on one of its connections. It hears answers to what it asked on this one only: they hold
/// everything that was published until this connection was subscribed to everything, and what was asked before may not.
pub(super) fn asker(uid: &str, connection: u64) -> String {
    format!("{uid}~{connection}")
}

/// Whether the node `uid` asks so.
pub(super) fn is_asker(asker: &str, uid: &str) -> bool {
    asker.rsplit_once('~').map_or(asker, |(of, _)| of) == uid
}

/// The question for what was published in the last `ago` milliseconds.
pub(super) fn question(ago: u64, asker: &str) -> Vec<u8> {
    [&ago.to_be_bytes(), asker.as_bytes()].concat()
}

/// How far a question goes back, in milliseconds, and who asks it.
pub(super) fn read_question(payload: &[u8]) -> Option<(u64, &str)> {
    let (ago, asker) = payload.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*ago), std::str::from_utf8(asker).ok()?))
}

/// One publication, said again.
pub(super) fn repeat(publication: &Publication) -> Bytes {
    let channel = publication.channel.as_bytes();
    let mut payload = BytesMut::with_capacity(4 + channel.len() + publication.payload.len());
    payload.put_u32(u32::try_from(channel.len()).unwrap_or(0));
    payload.put_slice(channel);
    payload.put_slice(&publication.payload);
    payload.freeze()
}

/// The end of what the node `uid` says again.
pub(super) fn end(uid: &str) -> Bytes {
    Bytes::from([&[0; 4], uid.as_bytes()].concat())
}

/// A publication that is said again: its channel and its payload. At the end the channel is empty, and the payload says
/// whose end it is.
pub(super) fn read_repeat(payload: &Bytes) -> Option<(&str, Bytes)> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let channel = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some((channel, payload.slice(4 + length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(payload: &'static str) -> Publication {
        Publication { channel: "c".into(), payload: Bytes::from_static(payload.as_bytes()) }
    }

    fn since(recent: &Recent, ago: u64, now: u64) -> Vec<&[u8]> {
        recent.since(ago, now).map(|publication| &publication.payload[..]).collect()
    }

    #[test]
    fn what_is_recent_is_kept_and_no_more() {
        let mut recent = Recent::new(5_000, 1_000);
        recent.keep(&[publication("one"), publication("two")], 1_000);
        recent.keep(&[publication("three")], 4_000);
        assert_eq!(since(&recent, 500, 4_200), [b"three"]);
        assert_eq!(since(&recent, 9_000, 4_200).len(), 3);
        recent.keep(&[], 6_000);
        assert_eq!(since(&recent, 9_000, 6_000), [b"three"]);
        for _ in 0..100 {
            recent.keep(&[publication("many")], 6_001);
        }
        assert!(recent.bytes <= 1_000 && !recent.sent.is_empty());
    }

    #[test]
    fn questions_and_repetitions_are_read_as_they_are_written() {
        assert_eq!(read_question(&question(1_234, &asker("abc", 7))), Some((1_234, "abc~7")));
        assert!(is_asker(&asker("abc", 7), "abc") && !is_asker("abcd~7", "abc"));
        assert_eq!(read_question(&[1, 2, 3]), None);
        let said = repeat(&publication("hello"));
        assert_eq!(read_repeat(&said), Some(("c", Bytes::from_static(b"hello"))));
        assert_eq!(read_repeat(&end("abc")), Some(("", Bytes::from_static(b"abc"))));
        for broken in [&[][..], &[0, 0, 0], &[0, 0, 0, 9, 1]] {
            assert_eq!(read_repeat(&Bytes::copy_from_slice(broken)), None);
        }
    }
}
