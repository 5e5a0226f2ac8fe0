//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>) as chunks of an HTTP/1.1 answer
//! (RFC 9112 §7.1): every write is final bytes, as a WebSocket frame is.

use super::problem::{PROBLEM_JSON, Problem};
use std::fmt::Write as _;

/// The head of a stream. Told to every proxy on the way: do not store, do not transform, do not hold back.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store, no-transform\r\n\
                        x-accel-buffering: no\r\ntransfer-encoding: chunked\r\nconnection: close\r\n";

/// The end of a stream: the last chunk.
pub const END: &[u8] = b"0\r\n\r\n";

/// A comment, which clients ignore: the heartbeat.
pub const COMMENT: &[u8] = b"3\r\n:\n\n\r\n";

/// Appends one event. `name` is any text, `data` is JSON.
pub fn write_event(name: &str, data: &str, out: &mut Vec<u8>) {
    let mut event = String::with_capacity(name.len() + data.len() + 24);
    event.push_str("event: ");
    // A line break would end the field; it is no part of any name that an application would listen for.
    event.extend(name.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }));
    event.push_str("\ndata: ");
    // In JSON line breaks stand between tokens only, where a space is the same.
    event.extend(data.chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }));
    event.push_str("\n\n");
    write_chunk(event.as_bytes(), out);
}

/// Appends how long the client should wait before it connects again.
pub fn write_retry(ms: u64, out: &mut Vec<u8>) {
    write_chunk(format!("retry: {ms}\n\n").as_bytes(), out);
}

/// A whole answer that refuses the stream.
#[must_use]
pub fn refusal(problem: &Problem<'_>, more_headers: &str) -> Vec<u8> {
    let (status, title, body) = (problem.status, problem.title, problem.to_json());
    let mut out = format!("HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_JSON}\r\n{more_headers}");
    if status == 401 {
        out.push_str("www-authenticate: Bearer\r\n");
    }
    if let Some(ms) = problem.retry_after_ms {
        let _infallible = write!(out, "retry-after: {}\r\n", ms.div_ceil(1_000));
    }
    let length = body.len();
    let _infallible = write!(out, "content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    out.into_bytes()
}

fn write_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 20);
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_chunk_of_two_lines_and_an_empty_one() {
        let mut out = Vec::new();
        write_event("cursor", "{\"x\":1}", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "1d\r\nevent: cursor\ndata: {\"x\":1}\n\n\r\n");
    }

    #[test]
    fn no_line_break_leaves_its_field() {
        let mut out = Vec::new();
        write_event("a\nid: 1\r", "{\n\"x\":\r\n1}", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "22\r\nevent: a id: 1 \ndata: { \"x\":  1}\n\n\r\n");
    }

    #[test]
    fn the_comment_has_the_length_it_says() {
        let mut out = Vec::new();
        write_chunk(b":\n\n", &mut out);
        assert_eq!(out, COMMENT);
    }
}
