//! Goal: a broadcast is encoded once for each wire, however many members hear it; large rooms keep order and lose nothing.
//! Method: rooms of a thousand, the server's own count of encodings, members that come and go meanwhile.

use crate::support::{Client, HEAVY, RawSocket, TestServer, beside, handshake};
use roomcast::protocol::Wire;
use serde_json::json;

async fn crowd(server: &TestServer, room: &str, count: usize, packed: bool) -> Vec<RawSocket> {
    let protocol = if packed { "Sec-WebSocket-Protocol: roomcast.v1.msgpack\r\n" } else { "" };
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = RawSocket::connect(server.public).await;
        socket.send(handshake(&format!("/ws?room={room}"), protocol).as_bytes()).await;
        members.push(socket);
    }
    for member in &mut members {
        assert_eq!(member.status().await, 101);
        assert!(member.packet().await["hello"].is_object());
        assert!(member.packet().await["joined"].is_object());
    }
    members
}

fn server(workers: u16) -> TestServer {
    TestServer::start(|settings| {
        settings.delivery.workers = workers;
        settings.limits.packets_per_second = 0;
        settings.limits.joins_per_second = 0;
    })
}

#[tokio::test]
async fn a_broadcast_to_a_thousand_members_of_one_wire_is_encoded_once_and_of_two_wires_twice() {
    let _heavy = HEAVY.lock().await;
    for workers in [1, 2] {
        for members in [10, 1_000] {
            let server = server(workers);
            let mut speaker = Client::connect(&server, Wire::SocketIo).await;
            let mut crowd = crowd(&server, "big", members, false).await;
            let encoded = || server.metric("roomcast_frames_encoded_total", "");
            let before = encoded().await;
            speaker.publish(json!({"room": "big", "event": "e", "data": 1})).await.unwrap();
            for member in &mut crowd {
                assert_eq!(member.packet().await, json!({"room": "big", "event": "e", "data": 1}));
            }
            assert_eq!(encoded().await - before, 1, "{members} members on {workers} workers, one wire");

            // One of each worker speaks another wire.
            let mut packed = self::crowd(&server, "big", usize::from(workers), true).await;
            let before = encoded().await;
            speaker.publish(json!({"room": "big", "event": "e", "data": 2})).await.unwrap();
            for member in crowd.iter_mut().chain(&mut packed) {
                assert_eq!(member.packet().await["data"], 2);
            }
            assert_eq!(encoded().await - before, 2, "{members} members on {workers} workers, two wires");
        }
    }
}

#[tokio::test]
async fn a_large_room_keeps_order_while_members_come_and_go() {
    let _heavy = HEAVY.lock().await;
    for workers in [1, 2] {
        let server = server(workers);
        let mut stay = crowd(&server, "big", 600, false).await;
        stay.extend(crowd(&server, "big", 400, true).await);
        let mut guests = crowd(&server, "big", 50, false).await;
        let mut speaker = Client::member(&server, Wire::SocketIo, "big").await;
        for n in 0..5 {
            // No ack in between: the fan-out of one event runs into the next.
            speaker.tell("publish", json!({"room": "big", "event": "e", "data": {"n": n}, "echo": false})).await;
            for guest in &mut guests {
                guest.say_json(&json!({"leave": "big"})).await;
                guest.say_json(&json!({"join": "big"})).await;
            }
        }
        // Their last joins are in force before the last event is said.
        let said = 2 * 5 * guests.len() as u64;
        crate::support::eventually!(server.metric("roomcast_packets_received_total", "json").await == said);
        speaker.publish(json!({"room": "big", "event": "e", "data": {"n": 5}})).await.unwrap();
        assert_eq!(speaker.heard().await.n(), 5, "it heard itself, or did not when it wanted to");
        let mut readers = Vec::new();
        for (i, mut member) in stay.into_iter().enumerate() {
            readers.push(beside(async move {
                for n in 0..=5 {
                    let packet = member.packet().await;
                    assert_eq!(packet["data"]["n"], n, "member {i}: {packet}");
                }
            }));
        }
        for reader in readers {
            reader.await.unwrap();
        }
        // Whoever came and went heard each at most once, and what came after its last join.
        for mut guest in guests {
            let mut heard = Vec::new();
            while heard.last() != Some(&5) {
                heard.push(guest.packet().await["data"]["n"].as_u64().unwrap());
            }
            assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
        }
        assert_eq!(server.metric("roomcast_drops_total", "").await, 0);
    }
}
