//! A rust_socketio client: joins a room, publishes, and prints what it hears, one JSON line each.

use rust_socketio::{ClientBuilder, Event, Payload, RawClient, TransportType};
use serde_json::{Value, json};
use std::sync::mpsc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn values(payload: Payload) -> Vec<Value> {
    match payload {
        Payload::Text(values) => values,
        Payload::Binary(bytes) => vec![json!({"bytes": bytes.to_vec()})],
        _ => vec![json!("a payload of an old kind")],
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("URL TRANSPORT ROOM");
    let (url, transport, room) = (next(), next(), next());
    let transport = match transport.as_str() {
        "polling" => TransportType::Polling,
        "websocket" => TransportType::Websocket,
        _ => TransportType::WebsocketUpgrade,
    };
    let (end, ended) = mpsc::channel();
    let (connected, is_connected) = mpsc::channel();
    let client = ClientBuilder::new(url)
        .transport_type(transport)
        .reconnect(false)
        .on(Event::Connect, move |_: Payload, _: RawClient| connected.send(()).unwrap_or_default())
        .on("note", |payload: Payload, _: RawClient| println!("{}", json!(["heard", values(payload)[0]])))
        .on("count", |payload: Payload, _: RawClient| println!("{}", json!(["count", values(payload)[0]])))
        .on("end", move |_: Payload, _: RawClient| end.send(()).unwrap_or_default())
        .on(Event::Error, |payload: Payload, _: RawClient| println!("{}", json!(["error", values(payload)])))
        .connect()
        .expect("the server takes the connection");
    is_connected.recv_timeout(PATIENCE).expect("the server answers CONNECT");

    let (joined, has_joined) = mpsc::channel();
    let answered = move |payload: Payload, _: RawClient| joined.send(values(payload)).unwrap_or_default();
    client.emit_with_ack("join", json!({"room": room}), PATIENCE, answered).expect("the join is sent");
    println!("{}", json!(["joined", has_joined.recv_timeout(PATIENCE).expect("the join is answered")]));

    let note = json!({"room": room, "event": "note", "data": {"from": "rust"}});
    client.emit("publish", note).expect("a publish is sent");
    ended.recv_timeout(PATIENCE).expect("somebody says that it is over");
    println!("{}", json!(["over"]));
    client.disconnect().expect("a goodbye is sent");
}
