//! A tiny room server on both wires, a thread per client. It answers every upgrade with the one right answer to the tool's
//! constant key, writes every third frame in two pieces, and cheats in rooms whose names say so.

use super::http;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const UPGRADE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    pub(crate) members: HashMap<String, Vec<TcpStream>>,
    published: usize,
    joins: usize,
}

pub(crate) type Shared = Arc<Mutex<Rooms>>;

/// Serves a listener's clients in threads of their own.
pub(crate) fn serve(listener: TcpListener) -> Shared {
    let rooms = Shared::default();
    serve_rooms(listener, &rooms);
    rooms
}

/// Serves a listener's clients as one node of those that have the same rooms.
pub(crate) fn serve_rooms(listener: TcpListener, rooms: &Shared) {
    let shared = rooms.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let rooms = shared.clone();
            std::thread::spawn(move || client(stream, &rooms));
        }
    });
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
    if request.starts_with(b"GET /sse?room=room-") {
        return http::stream(stream);
    }
    if request.starts_with(b"GET /socket.io/?EIO=4&transport=polling ") {
        return http::poll(stream);
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
        rooms.joins += 1;
        if room.starts_with("tired") && (21..=30).contains(&rooms.joins) {
            return send(stream, "430[{\"error\":{\"code\":\"room-full\"}}]", false);
        }
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

pub(crate) fn send(stream: &mut TcpStream, text: &str, in_pieces: bool) -> Option<()> {
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
