//! WebSocket (RFC 6455) as Autobahn's cases ask for it, of an echo behind the same code as the real doors.

use super::echo_server;
use crate::support::{RawSocket, TestServer, frame, masked, within};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// First bytes of a message in fragments.
const TEXT_BEGINS: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;

async fn echo(server: &TestServer) -> RawSocket {
    RawSocket::websocket(server, "/ws-echo").await
}

/// The next frame: its opcode and payload.
async fn next(socket: &mut RawSocket) -> (u8, Vec<u8>) {
    loop {
        match within("a frame", socket.frame()).await.expect("the connection goes on") {
            // The server's own heartbeat.
            (9, payload) => socket.send(&frame(0x8a, &payload)).await,
            other => return other,
        }
    }
}

/// Everything that is heard of `bytes`, up to the code of the close: what was echoed, and pongs.
async fn heard(server: &TestServer, bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, u16) {
    let mut socket = echo(server).await;
    socket.send(bytes).await;
    let mut frames = Vec::new();
    loop {
        match within("a frame", socket.frame()).await {
            Some((8, payload)) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                return (frames, code);
            }
            Some(frame) => frames.push(frame),
            None => return (frames, 1006),
        }
    }
}

fn text(payload: &str) -> Vec<u8> {
    frame(TEXT, payload.as_bytes())
}

fn goodbye(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A message in fragments that end at these places.
fn fragmented(first: u8, payload: &[u8], len: usize) -> Vec<u8> {
    let count = payload.chunks(len).count();
    let part = |(n, part)| {
        let last = if n + 1 == count { ENDS } else { 0 };
        frame(last | if n == 0 { first & 0x0f } else { GOES_ON }, part)
    };
    payload.chunks(len).enumerate().flat_map(part).collect()
}

#[tokio::test]
async fn messages_of_every_length_come_back_whole_however_they_are_cut_on_the_way() {
    let server = echo_server();
    let mut socket = echo(&server).await;
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        for (first, byte) in [(TEXT, b'*'), (BINARY, 0xfe)] {
            let payload = vec![byte; len];
            socket.send(&frame(first, &payload)).await;
            assert_eq!(next(&mut socket).await, (first & 0x0f, payload), "{len} bytes");
        }
    }
    for cut in [1, 997] {
        let payload = vec![b'*'; if cut == 1 { 300 } else { 65_536 }];
        for part in frame(TEXT, &payload).chunks(cut) {
            socket.send(part).await;
        }
        assert_eq!(next(&mut socket).await, (1, payload), "cut every {cut} bytes");
    }
}

#[tokio::test]
async fn pings_are_answered_with_what_they_carry_and_pongs_with_nothing() {
    let server = echo_server();
    let mut socket = echo(&server).await;
    for payload in [&b""[..], b"Hello", &[0, 0xff, 0xfe, 0xc3, 0x28], &[0xfe; 125]] {
        socket.send(&frame(PONG, payload)).await;
        for byte in frame(PING, payload) {
            socket.send(&[byte]).await;
        }
        assert_eq!(next(&mut socket).await, (10, payload.to_vec()));
    }
    let numbered: Vec<_> = (0..10u8).map(|n| frame(PING, &[n])).collect();
    socket.send(&numbered.concat()).await;
    for n in 0..10u8 {
        assert_eq!(next(&mut socket).await, (10, vec![n]));
    }
    assert_eq!(heard(&server, &frame(PING, &[0xfe; 126])).await, (vec![], 1002));
}

#[tokio::test]
async fn reserved_bits_and_opcodes_end_the_connection_and_what_came_before_is_echoed() {
    let server = echo_server();
    let echoed = vec![(1, b"before".to_vec())];
    let bits = (1..=7u8).map(|bits| bits << 4).flat_map(|bits| [TEXT, BINARY, PING, CLOSE].map(|first| first | bits));
    let opcodes = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(|opcode| ENDS | opcode);
    for first in bits.chain(opcodes) {
        let bytes = [text("before"), frame(first, b""), text("after")].concat();
        assert_eq!(heard(&server, &bytes).await, (echoed.clone(), 1002), "{first:#x}");
    }
}

#[tokio::test]
async fn fragments_make_a_message_and_control_frames_may_come_between_them() {
    let server = echo_server();
    let whole = vec![(1, b"fragment1fragment2".to_vec())];
    let (begins, ends) = (frame(TEXT_BEGINS, b"fragment1"), frame(ENDS, b"fragment2"));
    let with_pong = [vec![(10, b"ping".to_vec())], whole.clone()].concat();
    let bye = goodbye(1000, b"");
    for (what, between, expected) in [
        ("nothing", vec![], &whole),
        ("a ping", frame(PING, b"ping"), &with_pong),
        ("a pong", frame(PONG, b"pong"), &whole),
        ("an empty fragment", frame(GOES_ON, b""), &whole),
        (
            "empty fragments around a ping",
            [frame(GOES_ON, b""), frame(PING, b"ping"), frame(GOES_ON, b"")].concat(),
            &with_pong,
        ),
    ] {
        let bytes = [&begins[..], &between, &ends, &bye].concat();
        assert_eq!(heard(&server, &bytes).await, (expected.clone(), 1000), "{what} between");
    }
    let five = [
        frame(TEXT_BEGINS, b"1"),
        frame(GOES_ON, b"2"),
        frame(PING, b"a"),
        frame(GOES_ON, b"3"),
        frame(GOES_ON, b"4"),
        frame(PING, b"b"),
        frame(ENDS, b"5"),
        bye,
    ]
    .concat();
    let expected = vec![(10, b"a".to_vec()), (10, b"b".to_vec()), (1, b"12345".to_vec())];
    assert_eq!(heard(&server, &five).await, (expected, 1000));
}

#[tokio::test]
async fn fragments_that_make_no_message_end_the_connection() {
    let server = echo_server();
    for (what, bytes) in [
        ("a ping in fragments", [frame(0x09, b"frag"), frame(ENDS, b"ment")].concat()),
        ("a pong in fragments", [frame(0x0a, b"frag"), frame(ENDS, b"ment")].concat()),
        ("an end of nothing", [frame(ENDS, b"x"), text("after")].concat()),
        ("a continuation of nothing", [frame(GOES_ON, b"x"), text("after")].concat()),
        ("a message within a message", [frame(TEXT_BEGINS, b"a"), text("b")].concat()),
        ("a beginning within a message", [frame(TEXT_BEGINS, b"a"), frame(0x02, b"b")].concat()),
    ] {
        assert_eq!(heard(&server, &bytes).await, (vec![], 1002), "{what}");
    }
    let over = [fragmented(TEXT, b"whole", 2), frame(GOES_ON, b"x")].concat();
    assert_eq!(heard(&server, &over).await, (vec![(1, b"whole".to_vec())], 1002), "a continuation of what has ended");
}

#[tokio::test]
async fn valid_utf_8_comes_back_wherever_it_is_cut() {
    let server = echo_server();
    let mut socket = echo(&server).await;
    for valid in [
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        "\u{0}\u{7f}",
        "\u{80}\u{7ff}",
        "\u{800}\u{ffff}",
        "\u{d7ff}\u{e000}\u{fffd}\u{feff}",
        "\u{10000}\u{10ffff}\u{1fffe}",
    ] {
        let expected = (1, valid.as_bytes().to_vec());
        socket.send(&text(valid)).await;
        assert_eq!(next(&mut socket).await, expected);
        for len in [1, 3] {
            socket.send(&fragmented(TEXT, valid.as_bytes(), len)).await;
            assert_eq!(next(&mut socket).await, expected, "{valid} in pieces of {len}");
        }
    }
}

#[tokio::test]
async fn invalid_utf_8_ends_the_connection() {
    let server = echo_server();
    for invalid in [
        &b"Hello\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"[..],
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xfe",
        b"\xff",
        b"\x80",
        b"\xbf\xbf",
        b"\xc3(",
        b"\xce",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xed\xa0\x80",
        b"\xed\xaf\xbf\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
    ] {
        assert_eq!(heard(&server, &frame(TEXT, invalid)).await, (vec![], 1007), "{invalid:x?}");
        assert_eq!(heard(&server, &fragmented(TEXT, invalid, 1)).await, (vec![], 1007), "{invalid:x?} in pieces");
    }
    let binary = frame(BINARY, b"\xff\xc0\xaf");
    let (frames, code) = heard(&server, &[binary, goodbye(1000, b"")].concat()).await;
    assert_eq!((frames, code), (vec![(2, b"\xff\xc0\xaf".to_vec())], 1000), "binary may be anything");
}

#[tokio::test]
async fn text_that_cannot_become_valid_is_refused_before_it_is_complete() {
    let server = echo_server();
    let mut socket = echo(&server).await;
    socket.send(&[frame(TEXT_BEGINS, b"valid "), frame(GOES_ON, b"\xf4\x90\x80\x80")].concat()).await;
    assert_eq!(socket.close_code().await, 1007);
}

#[tokio::test]
async fn a_goodbye_is_answered_and_nothing_is_heard_after_it() {
    let server = echo_server();
    let hello = vec![(1, b"Hello".to_vec())];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let bytes =
            [text("Hello"), goodbye(code, b"bye"), text("after"), frame(PING, b"after"), goodbye(1000, b"")].concat();
        let (frames, answer) = heard(&server, &bytes).await;
        assert_eq!(frames, hello, "{code}");
        assert!([code, 1000].contains(&answer), "{code} was answered with {answer}");
    }
    let longest = goodbye(1000, &[b'x'; 123]);
    assert_eq!(heard(&server, &longest).await.1, 1000);
    let without = heard(&server, &frame(CLOSE, b"")).await.1;
    assert!([1000, 1005].contains(&without), "{without}");
}

#[tokio::test]
async fn a_goodbye_that_breaks_the_protocol_is_answered_with_that() {
    let server = echo_server();
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(heard(&server, &goodbye(code, b"")).await, (vec![], 1002), "{code}");
    }
    assert_eq!(heard(&server, &frame(CLOSE, b"\x03")).await.1, 1002, "half a code");
    assert_eq!(heard(&server, &goodbye(1000, &[b'x'; 124])).await.1, 1002, "too long");
    assert_eq!(heard(&server, &frame(0x08, b"\x03\xe8")).await.1, 1002, "in fragments");
    let reason = heard(&server, &goodbye(1000, b"\xce\xba\xe1\xbd")).await.1;
    assert!([1002, 1007].contains(&reason), "a reason that is no text: {reason}");
}

#[tokio::test]
async fn large_messages_and_many_small_ones_come_back() {
    let server = echo_server();
    let mut socket = echo(&server).await;
    for (len, part) in [(65_536, 1_300), (1 << 20, 1 << 20), (4 << 20, 64 << 10), (4 << 20, 4 << 20)] {
        let payload = vec![b'*'; len];
        let sent = async |socket: &mut RawSocket| {
            socket.send(&fragmented(BINARY, &payload, part)).await;
            next(socket).await
        };
        let (opcode, back) = sent(&mut socket).await;
        assert!(opcode == 2 && back == payload, "{len} bytes in pieces of {part}");
    }
    for _ in 0..10 {
        let many: Vec<u8> = (0..100).flat_map(|n: u32| frame(BINARY, &n.to_be_bytes())).collect();
        socket.send(&many).await;
        for n in 0..100_u32 {
            assert_eq!(next(&mut socket).await, (2, n.to_be_bytes().to_vec()));
        }
    }
}

#[tokio::test]
async fn what_is_above_the_limits_is_refused_at_its_header() {
    let server = echo_server();
    let above = [&[BINARY, 0xff][..], &(16_u64 * 1024 * 1024 + 1).to_be_bytes()].concat();
    assert_eq!(heard(&server, &masked(&above, b"")).await, (vec![], 1009));
    let endless: Vec<u8> = std::iter::repeat_n(frame(GOES_ON, b""), 200_000).flatten().collect();
    assert_eq!(heard(&server, &[frame(TEXT_BEGINS, b""), endless].concat()).await, (vec![], 1009), "empty fragments");
}
