//! Goal: where a request ends is never in doubt, or a proxy in front and the server could see different requests.
//! Method: every way in which the end has been hidden elsewhere, with another request behind it on the same connection.

use crate::support::{RawSocket, TestServer, handshake, within};
use tokio::io::AsyncReadExt as _;

/// Behind each case: answered 200 if the server sees it where it begins.
const NEXT: &str = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// Within a body: answered 404 if the server takes it for a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &str = "POST /api/v1/rooms/r/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
const GET: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
/// Thirteen bytes.
const BODY: &str = "{\"event\":\"e\"}";

/// The statuses of all answers up to the end of the connection.
async fn statuses(server: &TestServer, bytes: &str) -> Vec<u16> {
    let mut socket = RawSocket::connect(server.public).await;
    socket.send(bytes.as_bytes()).await;
    let mut all = Vec::new();
    // A server that does not read everything may reset the connection behind its answer.
    let _reset = within("the end", socket.stream.read_to_end(&mut all)).await;
    let text = String::from_utf8(all).unwrap();
    let answers = text.match_indices("HTTP/1.").filter(|(at, _)| *at == 0 || !text[..*at].ends_with(['"', '/', ' ']));
    answers.map(|(at, _)| text[at + 9..at + 12].parse().unwrap()).collect()
}

async fn expect(cases: &[(&str, String)], expected: &[u16]) {
    let server = TestServer::start(|_| {});
    for (what, bytes) in cases {
        assert_eq!(statuses(&server, &format!("{bytes}{NEXT}")).await, expected, "{what}");
    }
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn a_request_whose_end_is_in_doubt_is_refused_and_nothing_behind_it_is_read() {
    let with_length = |value: &str| format!("{POST}Content-Length: {value}\r\n\r\n{BODY}");
    let with_coding = |line: &str| format!("{POST}{line}\r\n\r\nd\r\n{BODY}\r\n0\r\n\r\n");
    let with_chunks = |chunks: &str| format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let old = POST.replace("HTTP/1.1", "HTTP/1.0");
    let cases = [
        ("two lengths", format!("{POST}Content-Length: 13\r\nContent-Length: 14\r\n\r\n{BODY}")),
        ("two lengths in one line", with_length("13, 14")),
        ("a length with a sign", with_length("+13")),
        ("a negative length", with_length("-13")),
        ("a hexadecimal length", with_length("0xd")),
        ("an empty length", with_length("")),
        ("a length beyond 64 bits", with_length("18446744073709551629")),
        ("a coding that does not end with chunked", with_coding("Transfer-Encoding: chunked, identity")),
        ("two codings", with_coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
        ("a coding nobody knows", with_coding("Transfer-Encoding: xchunked")),
        ("a space before the colon", with_coding("Transfer-Encoding : chunked")),
        ("a control character before the coding", with_coding("Transfer-Encoding: \x0bchunked")),
        ("chunks in HTTP/1.0", format!("{old}Transfer-Encoding: chunked\r\n\r\nd\r\n{BODY}\r\n0\r\n\r\n")),
        ("a chunk beyond 64 bits", with_chunks(&format!("1000000000000000d\r\n{BODY}\r\n0\r\n\r\n"))),
        ("a chunk of sixteen times all bits", with_chunks(&format!("ffffffffffffffff1\r\n{BODY}\r\n0\r\n\r\n"))),
        ("a chunk with a sign", with_chunks(&format!("-d\r\n{BODY}\r\n0\r\n\r\n"))),
        ("a chunk with a prefix", with_chunks(&format!("0xd\r\n{BODY}\r\n0\r\n\r\n"))),
        ("a chunk size that a bare LF ends", with_chunks(&format!("d\n{BODY}\r\n0\r\n\r\n"))),
        ("a chunk without its end", with_chunks(&format!("d\r\n{BODY}0\r\n\r\n"))),
        ("a line break in a chunk's extension", with_chunks(&format!("d;a\nb\r\n{BODY}\r\n0\r\n\r\n"))),
        ("a header that goes on in the next line", format!("{GET}X-A: b\r\n Content-Length: 5\r\n\r\n")),
        ("a first header that begins with a space", "GET /livez HTTP/1.1\r\n Host: localhost\r\n\r\n".into()),
        ("a bare CR", format!("{GET}X-A: b\rContent-Length: 5\r\n\r\n")),
        ("a NUL", format!("{GET}X-A: a\0b\r\n\r\n")),
        ("a space in a header's name", format!("{GET}X A: b\r\n\r\n")),
        ("HTTP/0.9", "GET /livez\r\n".into()),
    ];
    expect(&cases, &[400]).await;
}

#[tokio::test]
async fn a_request_with_a_length_and_chunks_is_the_last_of_its_connection() {
    let both = format!("{POST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{BODY}\r\n0\r\n\r\n");
    expect(&[("a length before chunks", both)], &[202]).await;
    let hidden = format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{HIDDEN}");
    expect(&[("a length behind chunks", hidden)], &[400]).await;
}

#[tokio::test]
async fn what_is_in_a_body_is_no_request() {
    let (length, hex) = (HIDDEN.len(), format!("{:x}", HIDDEN.len()));
    let bodies = [
        ("a body on GET", format!("{GET}Content-Length: {length}\r\n\r\n{HIDDEN}")),
        ("chunks on GET", format!("{GET}Transfer-Encoding: chunked\r\n\r\n{hex}\r\n{HIDDEN}\r\n0\r\n\r\n")),
        (
            "a chunk with an extension",
            format!("{GET}Transfer-Encoding: chunked\r\n\r\n{hex};a=b\r\n{HIDDEN}\r\n0\r\n\r\n"),
        ),
        ("a trailer", format!("{GET}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: {length}\r\n\r\n")),
        ("the same length twice", format!("{GET}Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{HIDDEN}")),
        ("empty lines before a request", format!("\r\n\r\n{GET}\r\n")),
        // RFC 9112 §2.2 lets a server take it for the end of a line, and so it is one wherever it stands in a head.
        ("bare LF as the ends of lines", "GET /livez HTTP/1.1\nHost: localhost\n\n".into()),
        ("a bare LF before a length", format!("{}X-A: b\nContent-Length: {length}\r\n\r\n{HIDDEN}", GET)),
    ];
    expect(&bodies, &[200, 200]).await;
}

#[tokio::test]
async fn what_stands_behind_a_refused_handshake_is_read_where_it_begins() {
    let length = HIDDEN.len();
    let refused = handshake("/ws", &format!("Sec-WebSocket-Protocol: other\r\nContent-Length: {length}\r\n"));
    expect(&[("a handshake with a body", format!("{refused}{HIDDEN}"))], &[400, 200]).await;
    let unread = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n{HIDDEN}");
    expect(&[("a body that never comes to its end", unread)], &[200]).await;
}
