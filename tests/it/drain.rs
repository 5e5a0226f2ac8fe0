//! Goal: a server that is told to end sends its clients elsewhere, one after the other, and then ends.
//! Method: a drain under load, seen by clients of every wire, by operators and by newcomers.

use crate::support::{Client, HEAVY, RawSocket, SPEAKING, TestServer, beside, eventually, handshake, http_get};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_millis(1_500);

struct Farewell {
    when: Instant,
    code: u16,
    last: Value,
    control: usize,
}

/// Talks until the server closes.
async fn talk_to_the_end(mut client: Client, room: String) -> Farewell {
    for n in 0..20 {
        client.tell("publish", json!({"room": room, "event": "talk", "data": {"n": n}})).await;
    }
    let code = client.closed().await;
    let (last, control) = match &client {
        Client::SocketIo(client) => {
            let last = client.kept().last().unwrap();
            (json!({"event": last.event, "data": last.args[0]}), client.control.len())
        }
        Client::Native(client) => (client.kept().back().unwrap().clone(), 0),
    };
    Farewell { when: Instant::now(), code, last, control }
}

#[tokio::test]
async fn a_drain_sends_everybody_elsewhere_one_after_the_other() {
    let _heavy = HEAVY.lock().await;
    let mut server = TestServer::start(|settings| {
        settings.drain.drain_delay = Duration::from_millis(500);
        settings.drain.drain_window = WINDOW;
        settings.drain.drain_deadline = Duration::from_secs(10);
    });
    let mut clients = Vec::new();
    for (n, wire) in SPEAKING.into_iter().cycle().take(200).enumerate() {
        let room = format!("room-{}", n / 10);
        let client = Client::member(&server, wire, &room).await;
        clients.push(beside(talk_to_the_end(client, room)));
    }
    assert_eq!(http_get(server.admin, "/readyz").await.0, 200);
    let mut early = RawSocket::connect(server.public).await;
    let began = Instant::now();
    server.stop();
    eventually!(http_get(server.admin, "/readyz").await.0 == 503);
    assert_eq!(http_get(server.public, "/readyz").await.0, 503);
    assert_eq!(http_get(server.admin, "/livez").await.0, 200, "it lives until it ends");

    let mut farewells = Vec::new();
    for client in clients {
        farewells.push(client.await.unwrap());
    }
    assert_eq!(server.ended().await, Vec::<&str>::new(), "something was left running");
    assert!(began.elapsed() < Duration::from_secs(6), "the drain took {:?}", began.elapsed());

    for farewell in &farewells {
        assert_eq!(farewell.code, 1012);
        assert_eq!((&farewell.last["event"], farewell.control), (&json!("server.draining"), 0), "{}", farewell.last);
        assert!(
            farewell.last["data"]["reconnect_after_ms"].as_u64().is_some_and(|ms| ms < 10_000),
            "{}",
            farewell.last
        );
    }
    let mut waits: Vec<_> = farewells.iter().map(|farewell| farewell.when - began).collect();
    waits.sort_unstable();
    let (first, last) = (waits[0], waits[199]);
    assert!(first >= Duration::from_millis(450), "the first was closed before load balancers could notice: {first:?}");
    assert!(last - first > WINDOW / 2, "all were closed within {:?}", last - first);
    let at_once = waits.windows(60).filter(|some| some[59] - some[0] < WINDOW / 10).count();
    assert_eq!(at_once, 0, "sixty of two hundred were closed at once");

    early.send(handshake("/ws", "").as_bytes()).await;
    assert_eq!(early.status().await, 0, "nobody is there any more");
}

#[tokio::test]
async fn newcomers_are_not_taken_while_sessions_are_being_closed() {
    let mut server = TestServer::start(|settings| {
        settings.drain.drain_window = Duration::from_secs(2);
        settings.drain.drain_deadline = Duration::from_secs(8);
    });
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(Client::member(&server, Wire::SocketIo, "r").await);
    }
    let mut early = RawSocket::connect(server.public).await;
    early.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(early.status().await, 200);
    server.stop();
    eventually!(server.metric("roomcast_draining", "").await == 1);
    eventually!(tokio::net::TcpStream::connect(server.public).await.is_err());
    assert!(server.open_sockets().await > 0, "the sessions are still being closed");
    early.send(handshake("/ws", "").as_bytes()).await;
    assert!([0, 503].contains(&early.status().await), "a new socket was taken");
    for client in &mut clients {
        assert_eq!(client.closed().await, 1012);
    }
    assert_eq!(server.ended().await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
    let server = TestServer::start(|settings| settings.delivery.send_buffer = 16 * 1024);
    let mut speaker = Client::connect(&server, Wire::Json).await;
    let mut silent = RawSocket::with_small_buffer(server.public).await;
    silent.send(handshake("/ws?room=r", "").as_bytes()).await;
    eventually!(server.metric("roomcast_rooms", "").await == 1);
    for _ in 0..30 {
        speaker.publish(json!({"room": "r", "event": "e", "data": "x".repeat(20_000)})).await.unwrap();
    }
    let half = RawSocket::connect(server.public).await;
    let began = Instant::now();
    let left = server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(6), "it took {:?}", began.elapsed());
    assert_eq!(left, Vec::<&str>::new());
    drop((silent, half));
}

#[tokio::test]
async fn a_server_without_clients_ends_at_once() {
    let server = TestServer::start(|_| {});
    let began = Instant::now();
    assert_eq!(server.shutdown().await, Vec::<&str>::new());
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn workers_without_sockets_do_not_wait_for_the_window() {
    let slow = |settings: &mut roomcast::config::Settings| {
        settings.drain.drain_window = Duration::from_secs(15);
        settings.drain.drain_deadline = Duration::from_secs(18);
        settings.delivery.workers = 4;
    };
    let server = TestServer::start(slow);
    drop(Client::member(&server, Wire::Json, "r").await);
    eventually!(server.open_sockets().await == 0);
    let waits = RawSocket::connect(server.public).await; // a connection that asks for nothing
    let began = Instant::now();
    assert_eq!(server.shutdown().await, Vec::<&str>::new());
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    drop(waits);

    let mut server = TestServer::start(slow);
    let mut clients =
        vec![Client::member(&server, Wire::Json, "r").await, Client::member(&server, Wire::Json, "r").await];
    let began = Instant::now();
    server.stop();
    eventually!(server.metric("roomcast_draining", "").await == 1);
    for client in clients.drain(..) {
        drop(client); // goes by itself, and nobody is left to wait for
    }
    assert_eq!(server.ended().await, Vec::<&str>::new());
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
}
