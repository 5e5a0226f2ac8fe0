//! Runs the binary against a tiny room server, honest and dishonest, on both wires.
//!
//! The server answers every upgrade with the one right answer to the tool's constant key, writes
//! every third frame in two pieces, and cheats in rooms whose names say so.

#![expect(clippy::unwrap_used, reason = "a panic fails the test, which is what it is for")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

const UPGRADE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";

#[derive(Default)]
struct Rooms {
    members: HashMap<String, Vec<TcpStream>>,
    published: usize,
}

type Shared = Arc<Mutex<Rooms>>;

fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rooms = Shared::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let rooms = rooms.clone();
            std::thread::spawn(move || client(stream, &rooms));
        }
    });
    port
}

/// One client until it goes; `None` ends the thread.
fn client(mut stream: TcpStream, rooms: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let socketio = request.starts_with(b"GET /socket.io/?EIO=4&transport=websocket ");
    stream.write_all(UPGRADE).ok()?;
    if socketio {
        send(&mut stream, "0{\"sid\":\"s\",\"pingInterval\":25000}", false)?;
        send(&mut stream, "2", false)?;
    }
    loop {
        let text = receive(&mut stream)?;
        let mut rooms = rooms.lock().unwrap();
        if socketio {
            socketio_text(&mut stream, &mut rooms, &text)?;
        } else {
            json_text(&mut stream, &mut rooms, &text)?;
        }
    }
}

fn socketio_text(stream: &mut TcpStream, rooms: &mut Rooms, text: &str) -> Option<()> {
    if text == "40" {
        return send(stream, "40{\"sid\":\"n\"}", false);
    }
    if text == "3" {
        return Some(()); // the pong
    }
    let rest = text.strip_prefix("42")?;
    let (id, packet) = rest.split_at(rest.find('[')?);
    let event: serde_json::Value = serde_json::from_str(packet).unwrap();
    let room = event[1]["room"].as_str()?.to_owned();
    if event[0] == "joinRoom" && room.starts_with("closed") {
        return send(stream, "430[{\"error\":{\"code\":\"room-forbidden\"}}]", false);
    }
    if event[0] == "joinRoom" {
        rooms.members.entry(room).or_default().push(stream.try_clone().ok()?);
    } else {
        rooms.publish(&room, &format!("42{packet}"));
    }
    if id.is_empty() { Some(()) } else { send(stream, &format!("43{id}[{{}}]"), false) }
}

fn json_text(stream: &mut TcpStream, rooms: &mut Rooms, text: &str) -> Option<()> {
    let packet: serde_json::Value = serde_json::from_str(text).unwrap();
    if let Some(room) = packet["join"].as_str() {
        rooms.members.entry(room.to_owned()).or_default().push(stream.try_clone().ok()?);
    } else if let Some(room) = packet["publish"].as_str() {
        let data = &packet["data"];
        rooms.publish(room, &format!("{{\"room\":\"{room}\",\"event\":\"message\",\"data\":{data}}}"));
    }
    match packet["id"].as_u64() {
        Some(id) => send(stream, &format!("{{\"id\":{id},\"ok\":{{}}}}"), false),
        None => Some(()),
    }
}

impl Rooms {
    fn publish(&mut self, room: &str, text: &str) {
        self.published += 1;
        let tenth = self.published.is_multiple_of(10);
        let times = match room {
            _ if room.starts_with("lossy") && tenth => 0,
            _ if room.starts_with("double") && tenth => 2,
            _ => 1,
        };
        for member in self.members.get_mut(room).into_iter().flatten() {
            for _ in 0..times {
                send(member, text, self.published.is_multiple_of(3));
            }
        }
    }
}

fn send(stream: &mut TcpStream, text: &str, in_pieces: bool) -> Option<()> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..126 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    let (first, second) = frame.split_at(if in_pieces { frame.len() / 7 } else { 0 });
    stream.write_all(first).ok()?;
    stream.write_all(second).ok()
}

fn receive(stream: &mut TcpStream) -> Option<String> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[1] & 0x80, 0x80, "client frames are masked");
    let mut length = usize::from(head[1] & 0x7f);
    if length == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).ok()?;
        length = u16::from_be_bytes(long).into();
    }
    let mut masked = vec![0; length + 4];
    stream.read_exact(&mut masked).ok()?;
    let (key, payload) = masked.split_at(4);
    let text = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
    (head[0] == 0x81).then(|| String::from_utf8(text.collect()).unwrap())
}

fn loadtest(arguments: &str) -> (Output, serde_json::Value) {
    let port = serve();
    let report = std::env::temp_dir().join(format!("loadtest-{}-{port}.json", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_roomcast-loadtest"))
        .args(arguments.split_whitespace())
        .args(["--url", &format!("127.0.0.1:{port}"), "--metrics-url", "none", "--json"])
        .arg(&report)
        .output()
        .unwrap();
    let json = std::fs::read_to_string(&report).unwrap_or_default();
    std::fs::remove_file(&report).ok();
    (output, serde_json::from_str(&json).unwrap_or_default())
}

const LOAD: &str = "--users 20 --rate 50 --size 300 --duration 0.5 --warmup 0.1 --ramp 0 --drain 1 --quiet";

#[test]
fn an_honest_server_passes_on_both_wires() {
    for wire in ["socketio", "json"] {
        let (output, report) = loadtest(&format!("rooms --rooms 10 --acks --wire {wire} {LOAD}"));
        assert_eq!(output.status.code(), Some(0), "{wire}: {output:?}");
        let load = &report["results"]["load"];
        assert_eq!(load["lost"], 0, "{wire}");
        let counts = &load["counts"];
        assert_eq!(counts["received"], counts["expected"], "{wire}");
        assert_eq!(counts["acks"], counts["sent"], "{wire}");
        assert!(counts["sent_in_window"].as_u64().unwrap() >= 200, "{wire}: {counts}");
        assert_eq!(counts["foreign"], 0, "{wire}");
        assert!(load["latency"]["p99_us"].as_u64().unwrap() > 0);
        assert_eq!(report["schema_version"], 1);
    }
}

#[test]
fn losses_and_duplicates_are_noticed() {
    let (output, report) = loadtest(&format!("big-room --room-prefix lossy- {LOAD}"));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    assert!(report["results"]["load"]["lost"].as_u64().unwrap() > 0);

    let (output, report) = loadtest(&format!("big-room --room-prefix double- {LOAD}"));
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    let load = &report["results"]["load"];
    assert_eq!(load["lost"], 0);
    assert!(load["counts"]["duplicated"].as_u64().unwrap() > 0);
}

#[test]
fn several_publishers_and_threads_keep_their_sequences_apart() {
    let options = "rooms --rooms 4 --publishers-per-room 3 --threads 2 --bind 127.0.0.2-4";
    let (output, report) = loadtest(&format!("{options} {LOAD}"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let counts = &report["results"]["load"]["counts"];
    assert_eq!(counts["received"], counts["expected"]);
    assert_eq!(counts["out_of_order"], 0);
}

#[test]
fn exit_codes_tell_usage_failure_and_thresholds_apart() {
    let code = |arguments: &str| loadtest(arguments).0.status.code();
    assert_eq!(code("rooms --fail-if p98>1"), Some(1));
    assert_eq!(code(&format!("rooms --rooms 5 --room-prefix closed- {LOAD}")), Some(2));
    assert_eq!(code(&format!("rooms --rooms 5 --fail-if p50>0us {LOAD}")), Some(99));
    assert_eq!(code("idle --users 10 --duration 0.2 --quiet"), Some(0));
}
