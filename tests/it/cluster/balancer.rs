//! Goal: a load balancer needs no sticky sessions. Method: nginx gives each request to the next of three nodes, and clients
//! poll, publish and move to WebSockets through it.

use super::nodes::acquainted;
use super::on_bus;
use crate::support::nginx::Nginx;
use crate::support::{Poller, TestServer, beside, eventually, frame, within};
use serde_json::json;
use tokio::task::JoinHandle;

/// What each client says.
const ROUNDS: u64 = 60;

/// Clients at once.
const CLIENTS: usize = 10;

async fn behind_nginx() -> Option<(Vec<TestServer>, Nginx)> {
    let nodes = on_bus(3);
    acquainted(&nodes).await;
    let nginx = Nginx::start(&nodes).await?;
    Some((nodes, nginx))
}

async fn sum(nodes: &[TestServer], name: &str, label: &str) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += node.metric(name, label).await;
    }
    sum
}

async fn all(clients: Vec<JoinHandle<()>>) {
    for client in clients {
        within("a client", client).await.unwrap();
    }
}

/// A client that polls all the time, and says what it hears before it says more.
async fn chat(poller: Poller, room: String) {
    assert!(poller.call(&format!(r#"0["join",{{"room":"{room}"}}]"#)).await.starts_with("430"));
    let mut heard = Vec::new();
    for n in 0..ROUNDS {
        let waiting = poller.begin_poll().await;
        assert_eq!(poller.post(&format!(r#"42["message",{{"room":"{room}","n":{n}}}]"#)).await, (200, "ok".into()));
        let (status, body) = crate::support::answered(waiting).await;
        assert_eq!(status, 200, "{body}");
        heard.extend(body.split('\x1e').map(str::to_owned));
    }
    let said = |n: u64| format!("42{}", json!(["message", {"room": room, "n": n}]));
    let numbers = |packet: &String| packet.strip_prefix("42")?.parse::<serde_json::Value>().ok()?[1]["n"].as_u64();
    while heard.iter().filter_map(numbers).count() < usize::try_from(ROUNDS).unwrap() {
        heard.extend(poller.packets().await);
    }
    assert!(heard.iter().filter_map(numbers).eq(0..ROUNDS), "lost or out of order, beginning with {}", said(0));
}

#[tokio::test]
async fn clients_that_poll_through_a_load_balancer_need_not_stay_with_a_node() {
    let Some((nodes, nginx)) = behind_nginx().await else { return };
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let poller = Poller::connect(&nginx.front).await;
        clients.push(beside(chat(poller, format!("room-{n}"))));
    }
    all(clients).await;
    assert!(sum(&nodes, "roomcast_relayed_total", "").await > ROUNDS, "the load balancer was not needed");
    assert_eq!(sum(&nodes, "roomcast_relay_failures_total", "").await, 0);
    assert_eq!(sum(&nodes, "roomcast_handshakes_total", "malformed").await, 0, "no session was unknown");
    assert_eq!(sum(&nodes, "roomcast_open_sockets", "polling").await, CLIENTS as u64);
}

/// A client that begins as most do: it polls, moves to a WebSocket, and says everything there.
async fn move_on(poller: Poller, room: String) {
    let mut waiting = poller.begin_poll().await;
    let mut socket = poller.websocket().await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.text().await, "3probe");
    assert_eq!(waiting.answer().await.2, "6");
    socket.send(&frame(0x81, b"5")).await;
    socket.send(&frame(0x81, format!(r#"420["join",{{"room":"{room}"}}]"#).as_bytes())).await;
    assert!(socket.text().await.starts_with("430"));
    for n in 0..ROUNDS {
        let said = format!("42{}", json!(["message", {"n": n, "room": room}]));
        socket.send(&frame(0x81, said.as_bytes())).await;
        let heard: serde_json::Value = socket.text().await.strip_prefix("42").unwrap().parse().unwrap();
        assert_eq!(heard, json!(["message", {"n": n, "room": room}]));
    }
}

#[tokio::test]
async fn clients_move_to_a_websocket_through_a_load_balancer() {
    let Some((nodes, nginx)) = behind_nginx().await else { return };
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let poller = Poller::connect(&nginx.front).await;
        clients.push(beside(move_on(poller, format!("room-{n}"))));
    }
    all(clients).await;
    assert!(sum(&nodes, "roomcast_relayed_total", "upgrade").await > 0, "the load balancer was not needed");
    assert_eq!(sum(&nodes, "roomcast_upgrades_total", "completed").await, CLIENTS as u64);
    assert_eq!(sum(&nodes, "roomcast_relay_failures_total", "").await, 0);
    assert_eq!(sum(&nodes, "roomcast_handshakes_total", "malformed").await, 0, "no session was unknown");
    eventually!(sum(&nodes, "roomcast_open_sockets", "").await + sum(&nodes, "roomcast_relaying", "").await == 0);
}
