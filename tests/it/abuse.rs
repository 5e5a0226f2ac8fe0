//! Goal: no bytes that anybody sends hurt the server or others. Method: attacks that were real elsewhere and everything
//! that the protocols forbid, each with its expected answer; then ten thousand random mutations beside a bystander.

use crate::support::{
    Client, Dice, HEAVY, Peers, RawSocket, SPEAKING, SocketIoClient, TestServer, eventually, frame, handshake,
    http_get, masked,
};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a bystander's round trip may take while others misbehave. It is far shorter; this leaves room for a machine
/// that builds something else meanwhile.
const BYSTANDER_MAX: Duration = Duration::from_millis(250);

fn fragments(first: u8, count: usize) -> Vec<u8> {
    [frame(first, b""), frame(0x00, b"").repeat(count)].concat()
}

#[tokio::test]
async fn frames_that_break_the_websocket_protocol_end_with_its_codes() {
    let server = TestServer::start(|_| {});
    let huge = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1];
    let promise = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let kilobytes = vec![b'x'; 40_000];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("the header of a frame above the limit, and no more", masked(&huge, b""), 1009),
        ("the header of a frame of eight exabytes", masked(&promise, b""), 1009),
        ("a message above the limit in two frames", [frame(0x01, &kilobytes), frame(0x80, &kilobytes)].concat(), 1009),
        ("endless empty fragments", fragments(0x01, 5_000), 1009),
        ("endless empty fragments of a binary message", fragments(0x02, 5_000), 1009),
        ("an unmasked frame", b"\x81\x05Hello".to_vec(), 1002),
        ("an unmasked empty frame", b"\x81\x00".to_vec(), 1002),
        ("a reserved bit", frame(0xc1, b"Hello"), 1002),
        ("all reserved bits", frame(0xf1, b"Hello"), 1002),
        ("a reserved opcode", frame(0x83, b""), 1002),
        ("a reserved control opcode", frame(0x8b, b""), 1002),
        ("a ping above 125 bytes", frame(0x89, &[0; 126]), 1002),
        ("a ping in fragments", frame(0x09, b""), 1002),
        ("a continuation of nothing", frame(0x80, b""), 1002),
        ("a message within a message", [frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        ("a close of one byte", frame(0x88, b"\x03"), 1002),
        ("a close with a code that is never sent", frame(0x88, b"\x03\xed"), 1002),
        ("text that is not UTF-8", frame(0x81, b"\xc0\xaf"), 1007),
        ("text that stops in the middle of a character", frame(0x81, b"\xe2\x82"), 1007),
        ("text in fragments that is not UTF-8", [frame(0x01, b"\xe2"), frame(0x80, b"(")].concat(), 1007),
        ("a goodbye", frame(0x88, b"\x03\xe8bye"), 1000),
        ("a goodbye without a code", frame(0x88, b""), 1000),
    ];
    for (what, bytes, code) in cases {
        for path in ["/ws", "/socket.io/?EIO=4&transport=websocket"] {
            let mut socket = RawSocket::websocket(&server, path).await;
            socket.send(&bytes).await;
            assert_eq!(socket.close_code().await, code, "{what} on {path}");
        }
    }
    eventually!(server.open_sockets().await == 0);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn a_valid_message_in_fragments_with_pings_between_them_is_understood() {
    let server = TestServer::start(|_| {});
    let mut socket = RawSocket::websocket(&server, "/ws").await;
    assert!(socket.text().await.contains("hello"));
    let text = b"{\"id\":1,\"join\":\"caf\xc3\xa9\"}";
    let mut bytes = Vec::new();
    for (i, byte) in text.iter().enumerate() {
        let first = if i == 0 { 0x01 } else { u8::from(i == text.len() - 1) * 0x80 };
        bytes.extend(frame(first, &[*byte]));
        bytes.extend(frame(0x8a, b"pong"));
    }
    for byte in bytes {
        socket.send(&[byte]).await;
    }
    assert_eq!(socket.text().await, r#"{"id":1,"ok":{"room":"café","members":1}}"#);
}

#[tokio::test]
async fn packets_that_hurt_others_end_with_a_code() {
    let server = TestServer::start(|_| {});
    let nested =
        |depth: usize| format!("42[\"message\",{{\"room\":\"r\",\"x\":{}{}}}]", "[".repeat(depth), "]".repeat(depth));
    let text = |text: &str| frame(0x81, text.as_bytes());
    let attachment = frame(0x82, &[0; 20_000]);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("an unknown Engine.IO type", text("9"), 1002),
        (
            "a packet between a packet and its attachments",
            text("451-[\"message\",{\"room\":\"r\"}]42[\"x\"]").repeat(2),
            1002,
        ),
        ("a billion attachments", text("459999999999-[\"message\",{\"room\":\"r\"}]"), 1002),
        ("megabytes of digits", text(&format!("45{}-[]", "9".repeat(60_000))), 1002),
        ("eleven attachments", text("4511-[\"message\",{\"room\":\"r\"}]"), 1002),
        (
            "attachments above the limit together",
            [text("4510-[\"message\",{\"room\":\"r\"}]"), attachment.repeat(4)].concat(),
            1009,
        ),
        ("an attachment of nothing", frame(0x82, b"x"), 1002),
        (
            "an attachment too many",
            [text("451-[\"message\",{\"room\":\"r\"}]"), frame(0x82, b"x").repeat(2)].concat(),
            1002,
        ),
        ("JSON nested 5,000 deep", text(&nested(5_000)), 1002),
        ("JSON nested 32,000 deep", text(&nested(32_000)), 1002),
        ("an event name that is an object", text("42[{\"toString\":1}]"), 1002),
        ("an event name that is an array", text("42[[\"message\"]]"), 1002),
        ("a reserved event name", text("42[\"disconnecting\"]"), 1002),
        (
            "a room name of ten megabytes",
            masked(&[0x81, 0xff, 0, 0, 0, 0, 0, 0x98, 0x96, 0x80], b"42[\"join\",{\"room\":\""),
            1009,
        ),
        ("an ack of nothing", text("43[]"), 1002),
        ("a CONNECT_ERROR from a client", text("44{\"message\":\"x\"}"), 1002),
        ("auth that is no JSON", text("40{token"), 1002),
    ];
    for (what, bytes, code) in cases {
        let mut socket = RawSocket::socketio(&server).await;
        socket.send(&bytes).await;
        assert_eq!(socket.close_code().await, code, "{what}");
    }
    eventually!(server.open_sockets().await == 0);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn packets_that_ask_for_what_cannot_be_are_refused_and_the_session_goes_on() {
    let server = TestServer::start(|settings| settings.limits.packets_per_second = 0);
    let mut client = SocketIoClient::connect(&server).await;
    let rooms: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
    for (event, arg, code) in [
        ("join", json!({"room": "x".repeat(60_000)}), "name-invalid"),
        ("join", json!({"rooms": rooms}), "bad-packet"),
        ("message", json!({"rooms": rooms}), "bad-packet"),
        ("message", json!({"room": "r", "except": rooms}), "bad-packet"),
        ("__proto__", json!({"room": "r"}), "unknown-event"),
        ("error", json!({"room": "r"}), "unknown-event"),
        ("join", json!("r"), "bad-packet"),
        ("publish", json!({"room": "r", "event": "disconnect"}), "bad-packet"),
        ("publish", json!({"room": "r", "event": "server.draining"}), "bad-packet"),
        ("publish", json!({"room": "r", "event": "token.expiring"}), "bad-packet"),
        ("publish", json!({"room": "r", "event": "error"}), "bad-packet"),
        ("publish", json!({"room": "r", "event": "open"}), "bad-packet"),
    ] {
        assert_eq!(client.call(event, arg).await.unwrap_err()["code"], code, "{event}");
    }
    for num in ["5", "-1", "1.5", "\"length\"", "{}", "1e99", "null"] {
        let data = format!("{{\"_placeholder\":true,\"num\":{num}}}");
        let mut socket = RawSocket::socketio(&server).await;
        let text = format!("451-0[\"publish\",{{\"room\":\"r\",\"event\":\"e\",\"data\":{data}}}]");
        socket.send(&[frame(0x81, text.as_bytes()), frame(0x82, b"x")].concat()).await;
        let answer = socket.text().await;
        assert!(answer.starts_with("430[{\"error\":{\"code\":\"bad-packet\""), "num {num}: {answer}");
    }
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn a_placeholder_in_text_that_has_no_attachments_is_relayed_as_what_it_is_or_refused() {
    let server = TestServer::start(|_| {});
    for wire in SPEAKING {
        let mut listener = Client::member(&server, wire, "r").await;
        let mut sender = SocketIoClient::connect(&server).await;
        let id = sender
            .ask("/", "publish", json!({"room": "r", "event": "e", "data": {"_placeholder": true, "num": 0}}))
            .await;
        match sender.answer(id).await {
            Err(error) => assert_eq!(error["code"], "bad-packet", "{wire:?}"),
            Ok(_) if wire == Wire::SocketIo => {}
            Ok(_) => assert_eq!(listener.heard().await.event, "e", "{wire:?}"),
        }
    }
}

#[tokio::test]
async fn requests_that_are_no_handshake_get_a_status() {
    let server = TestServer::start(|settings| settings.limits.handshake_timeout = Duration::from_millis(500));
    let good = handshake("/ws", "");
    let socketio = |query: &str| handshake(&format!("/socket.io/?{query}"), "");
    let cases: Vec<(&str, String, &[u16])> = vec![
        ("a header line of 20 KB", handshake("/ws", &format!("X: {}\r\n", "x".repeat(20_000))), &[431]),
        ("20,000 header lines", handshake("/ws", &"X: y\r\n".repeat(20_000)), &[431]),
        ("an endless path", handshake(&format!("/ws?{}", "x".repeat(70_000)), ""), &[414, 431]),
        ("version 12", good.replace("Version: 13", "Version: 12"), &[426]),
        ("no version", good.replace("Sec-WebSocket-Version: 13\r\n", ""), &[426]),
        ("no Upgrade", good.replace("Upgrade: websocket\r\n", ""), &[426]),
        ("an upgrade to something else", good.replace("Upgrade: websocket", "Upgrade: h2c"), &[426]),
        ("a key that is too short", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), &[400]),
        ("a key that is no base64", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="), &[400]),
        ("two keys", handshake("/ws", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), &[400]),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), &[400]),
        ("POST", good.replace("GET", "POST"), &[405]),
        ("a foreign origin", handshake("/ws", "Origin: https://evil.test\r\n"), &[403]),
        ("an origin that begins like ours", handshake("/ws", "Origin: http://localhost.evil.test\r\n"), &[403]),
        (
            "a foreign origin at the other door",
            socketio("EIO=4&transport=websocket").replace("\r\n\r\n", "\r\nOrigin: https://evil.test\r\n\r\n"),
            &[403],
        ),
        ("EIO=3", socketio("EIO=3&transport=websocket"), &[400]),
        ("no EIO", socketio("transport=websocket"), &[400]),
        ("no transport", socketio("EIO=4"), &[400]),
        ("an unknown transport", socketio("EIO=4&transport=pigeon"), &[400]),
        ("an unknown path", handshake("/nowhere", ""), &[404]),
        (
            "two lengths",
            "POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx".to_owned(),
            &[400],
        ),
        ("a length with a sign", "POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx".to_owned(), &[400]),
        (
            "a chunk size that overflows",
            "POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n".to_owned(),
            &[400, 404],
        ),
        ("no HTTP at all", "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), &[400]),
        ("an older HTTP", handshake("/ws", "").replace("HTTP/1.1", "HTTP/1.0"), &[400, 426, 505]),
        ("half a handshake", good[..60].to_owned(), &[0, 408]),
        ("nothing", String::new(), &[0, 408]),
    ];
    for (what, request, expected) in cases {
        let mut socket = RawSocket::connect(server.public).await;
        let began = tokio::time::Instant::now();
        socket.send(request.as_bytes()).await;
        let status = socket.status().await;
        assert!(expected.contains(&status), "{what}: {status}");
        assert!(began.elapsed() < Duration::from_secs(3), "{what}: the answer took {:?}", began.elapsed());
    }
    assert_eq!(server.metric("roomcast_handshakes_total", "accepted").await, 0);
    assert_eq!(http_get(server.public, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_handshake_that_is_sent_byte_by_byte_for_ever_is_cut() {
    let server = TestServer::start(|settings| settings.limits.handshake_timeout = Duration::from_millis(500));
    let mut socket = RawSocket::connect(server.public).await;
    let began = tokio::time::Instant::now();
    let (mut reader, mut writer) = socket.stream.split();
    let drip = async {
        for byte in handshake("/ws", &"X: y\r\n".repeat(100)).bytes() {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let cut = async {
        let mut sink = [0; 1024];
        while reader.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        () = drip => panic!("the whole handshake was waited for"),
        () = cut => assert!(began.elapsed() < Duration::from_secs(3), "cut after {:?}", began.elapsed()),
    }
}

#[tokio::test]
async fn a_reset_at_any_moment_leaves_nothing_behind() {
    let server = TestServer::start(|_| {});
    let hello = [
        handshake("/socket.io/?EIO=4&transport=websocket", "").into_bytes(),
        frame(0x81, b"40"),
        frame(0x81, b"42[\"join\",{\"room\":\"r\"}]"),
    ]
    .concat();
    for cut in (1..=hello.len()).step_by(7).chain([hello.len()]) {
        let mut socket = RawSocket::connect(server.public).await;
        socket.send(&hello[..cut]).await;
        socket.stream.set_zero_linger().unwrap();
        drop(socket);
    }
    eventually!(server.open_sockets().await == 0);
    eventually!(server.metric("roomcast_rooms", "").await == 0);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

/// Valid conversations; half of the mutations happen before the mask is laid over them, so that they reach the protocols
/// behind it.
fn conversation(dice: &mut Dice) -> Vec<u8> {
    const SOCKETIO: [&[u8]; 10] = [
        b"40",
        b"40/custom,{\"token\":\"x\"}",
        b"42[\"join\",{\"room\":\"m\"}]",
        b"421[\"message\",{\"room\":\"m\",\"x\":[1,2.5e3,null]}]",
        b"42[\"publish\",{\"rooms\":[\"m\",\"n\"],\"except\":[\"o\"],\"event\":\"e\",\"data\":\"\\u00e9\"}]",
        b"451-[\"message\",{\"room\":\"m\",\"b\":{\"_placeholder\":true,\"num\":0}}]",
        b"427[\"presence\",{\"room\":\"m\",\"limit\":5}]",
        b"431[1]",
        b"41",
        b"3",
    ];
    const PLAIN: [&[u8]; 5] = [
        b"{\"id\":1,\"join\":[\"m\",\"n\"]}",
        b"{\"publish\":\"m\",\"event\":\"e\",\"args\":[1,{}],\"echo\":false}",
        b"{\"id\":\"x\",\"presence\":\"m\"}",
        b"{\"leave\":\"m\"}",
        b"{\"ack\":1,\"data\":{}}",
    ];
    const PACKED: [&[u8]; 3] =
        [b"\x82\xa2id\x01\xa4join\xa1m", b"\x82\xa7publish\xa1m\xa4data\xc4\x03abc", b"\x81\xa8presence\xa1m"];
    let (door, said, first): (_, &[&[u8]], u8) = match dice.below(3) {
        0 => (handshake("/socket.io/?EIO=4&transport=websocket", ""), &SOCKETIO, 0x81),
        1 => (handshake("/ws?room=m", ""), &PLAIN, 0x81),
        _ => (handshake("/ws", "Sec-WebSocket-Protocol: roomcast.v1.msgpack\r\n"), &PACKED, 0x82),
    };
    let mut bytes = door.into_bytes();
    if first == 0x81 && said.len() == SOCKETIO.len() {
        bytes.extend(frame(0x81, b"40"));
    }
    for _ in 0..4 {
        let mut payload = said[dice.below(said.len())].to_vec();
        let deep = dice.below(2) == 0;
        if deep {
            dice.mutate(&mut payload);
        }
        let mut whole = frame(first, &payload);
        if !deep {
            dice.mutate(&mut whole);
        }
        bytes.extend(whole);
        if dice.below(8) == 0 {
            bytes.extend(frame(0x82, b"attached"));
        }
    }
    bytes
}

#[tokio::test]
async fn ten_thousand_mutations_of_valid_frames_disturb_nobody() {
    let _heavy = HEAVY.lock().await;
    let server = TestServer::start(|settings| settings.listen.namespaces = vec!["/custom".to_owned()]);
    let mut bystanders = Peers::meet(&server, "quiet").await;
    let before = server.open_sockets().await;
    let attacks: Vec<_> = (1..=4_u64)
        .map(|seed| {
            let address = server.public;
            crate::support::beside(async move {
                let mut dice = Dice::new(seed);
                // Four mutated frames in each of 625 connections, four times: 10,000.
                for _ in 0..625 {
                    let bytes = conversation(&mut dice);
                    let mut socket = RawSocket::connect(address).await;
                    socket.send(&bytes).await;
                    let _reset = socket.stream.shutdown().await;
                    let mut sink = Vec::new();
                    let end =
                        crate::support::within("the end of a connection", socket.stream.read_to_end(&mut sink)).await;
                    assert!(end.is_err() || sink.starts_with(b"HTTP/1.1 101"));
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while !attacks.iter().all(tokio::task::JoinHandle::is_finished) {
        slowest = slowest.max(bystanders.round_trip().await);
        // The default limit is twenty packets a second.
        tokio::time::sleep(Duration::from_millis(55)).await;
    }
    for attack in attacks {
        attack.await.unwrap();
    }
    assert!(slowest < BYSTANDER_MAX, "a bystander waited {slowest:?}");
    eventually!(server.open_sockets().await == before);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
    assert_eq!(server.metric("roomcast_rooms", "").await, 1);
    assert_eq!(server.shutdown().await, Vec::<&str>::new());
}
