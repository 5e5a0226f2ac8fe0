//! Goal: no client has to stay with its node: whatever reaches the wrong one is relayed to the owner of its session.
//! Method: requests made by hand, each to another node than the one before.

use super::nodes::{acquainted, nodes_of};
use super::on_bus;
use crate::support::{
    Client, Heard, Poller, RawSocket, SocketIoClient, TestServer, answered, beside, eventually, finish, frame,
    handshake, request, within,
};
use crate::tls::Certificate;
use roomcast::app::{App, Bus, Mode};
use roomcast::config::Settings;
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

async fn cluster(nodes: usize) -> Vec<TestServer> {
    let nodes = on_bus(nodes);
    acquainted(&nodes).await;
    nodes
}

async fn changed(nodes: usize, change: impl Fn(usize, &mut Settings)) -> Vec<TestServer> {
    let bus = Bus::default();
    let start = |n| TestServer::start_with(App::builder().bus(&bus), Mode::Open, |settings| change(n, settings));
    let nodes: Vec<_> = (0..nodes).map(start).collect();
    acquainted(&nodes).await;
    nodes
}

async fn failures(node: &TestServer, reason: &str) -> u64 {
    node.metric("roomcast_relay_failures_total", reason).await
}

async fn relayed(node: &TestServer, kind: &str) -> u64 {
    node.metric("roomcast_relayed_total", kind).await
}

/// An id that the same node might have made.
fn guess(poller: &Poller) -> Poller {
    let mut guess = poller.clone();
    guess.sid.replace_range(16.., "AAAA");
    guess
}

#[tokio::test]
async fn each_request_may_go_to_another_node() {
    let nodes = cluster(3).await;
    let home = Poller::connect(&nodes[0]).await;
    let mut turns = nodes.iter().cycle().skip(1);
    let mut turn = || home.at(turns.next().unwrap());
    assert_eq!(turn().post(r#"420["join",{"room":"r"}]"#).await, (200, "ok".into()));
    assert_eq!(turn().packets().await, [r#"430[{"room":"r","members":1}]"#]);
    let mut other = Client::member(&nodes[2], Wire::Json, "r").await;
    for n in 0..30 {
        let said = format!(r#"42["message",{{"room":"r","n":{n},"echo":false}}]"#);
        assert_eq!(turn().post(&said).await.0, 200);
        assert_eq!(other.heard().await.n(), n);
        other.publish(json!({"room": "r", "event": "said", "data": {"n": n}})).await.unwrap();
        assert_eq!(other.heard().await.n(), n);
        assert_eq!(turn().packets().await, [format!(r#"42["said",{{"n":{n}}}]"#)]);
    }
    let relayed = relayed(&nodes[1], "").await + relayed(&nodes[2], "").await;
    assert!(relayed >= 40, "{relayed}");
    assert_eq!(nodes[0].open_sockets().await, 1);
    assert_eq!(nodes[1].open_sockets().await, 0);
    assert_eq!(turn().post("1").await.0, 200);
    eventually!(nodes[0].open_sockets().await == 0);
}

#[tokio::test]
async fn binary_is_relayed_as_it_is() {
    let nodes = cluster(2).await;
    let poller = Poller::connect(&nodes[0]).await.at(&nodes[1]);
    poller.call(r#"0["join",{"room":"r"}]"#).await;
    let event = r#"451-["publish",{"room":"r","event":"picture","data":{"_placeholder":true,"num":0}}]"#;
    assert_eq!(poller.post(&format!("{event}\x1ebAQID")).await.0, 200);
    assert_eq!(poller.packets().await, [r#"451-["picture",{"_placeholder":true,"num":0}]"#, "bAQID"]);
    let large = "x".repeat(60_000);
    assert_eq!(poller.post(&format!(r#"42["message",{{"room":"r","text":"{large}"}}]"#)).await.0, 200);
    assert!(poller.packets().await[0].contains(&large));
}

#[tokio::test]
async fn a_post_is_relayed_while_a_poll_waits() {
    let nodes = cluster(3).await;
    let home = Poller::connect(&nodes[0]).await;
    let waiting = home.at(&nodes[1]).begin_poll().await;
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 1);
    assert_eq!(home.at(&nodes[2]).post(r#"420["join",{"room":"r"}]"#).await, (200, "ok".into()));
    assert_eq!(answered(waiting).await, (200, r#"430[{"room":"r","members":1}]"#.into()));
    let waiting = home.at(&nodes[1]).begin_poll().await;
    let speaker = Client::connect(&nodes[2], Wire::SocketIo);
    speaker.await.publish(json!({"room": "r", "event": "hi", "data": 1})).await.unwrap();
    assert_eq!(answered(waiting).await, (200, r#"42["hi",1]"#.into()));
    assert_eq!(nodes[1].metric("roomcast_relaying", "").await, 0);
    assert_eq!([relayed(&nodes[1], "poll").await, relayed(&nodes[2], "post").await], [2, 1]);
}

#[tokio::test]
async fn an_upgrade_through_the_wrong_node_loses_and_reorders_nothing() {
    const LAST: u64 = 600;
    let nodes = cluster(3).await;
    let home = Poller::connect(&nodes[0]).await;
    home.call(r#"0["join",{"room":"r"}]"#).await;
    let mut speaker = SocketIoClient::connect(&nodes[2]).await;
    let flood = beside(async move {
        for n in 1..=LAST {
            speaker.call("message", json!({"room": "r", "n": n})).await.unwrap();
        }
    });
    let mut heard = Vec::new();
    for turn in 0..5 {
        heard.extend(home.at(&nodes[turn % 3]).packets().await);
    }
    let mut waiting = home.at(&nodes[2]).begin_poll().await;
    let mut socket = home.at(&nodes[1]).websocket().await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.text().await, "3probe");
    heard.extend(waiting.answer().await.2.split('\x1e').map(str::to_owned));
    socket.send(&frame(0x81, b"5")).await;
    let number = |packet: &String| {
        let event: Value = serde_json::from_str(packet.strip_prefix("42")?).unwrap();
        event[1]["n"].as_u64()
    };
    while heard.iter().filter_map(number).count() < usize::try_from(LAST).unwrap() {
        heard.push(socket.text().await);
    }
    assert!(heard.iter().filter_map(number).eq(1..=LAST), "something was lost or out of order");
    within("the flood", flood).await.unwrap();

    let mut other = Client::member(&nodes[2], Wire::Json, "r").await;
    for n in 0..100 {
        socket.send(&frame(0x81, format!(r#"42["message",{{"room":"r","n":{n},"echo":false}}]"#).as_bytes())).await;
    }
    for n in 0..100 {
        assert_eq!(other.heard().await, Heard::new("message", json!({"room": "r", "n": n, "echo": false})));
    }
    assert_eq!(nodes[0].metric("roomcast_open_sockets", "websocket").await, 1);
    assert_eq!((nodes[1].open_sockets().await, nodes[1].metric("roomcast_relaying", "").await), (0, 1));
    assert_eq!(nodes[1].metric("roomcast_http_connections", "").await, 0, "it is none any more");
    drop(socket);
    eventually!(nodes[0].open_sockets().await == 0);
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 0);
    assert_eq!(relayed(&nodes[1], "upgrade").await, 1);
}

#[tokio::test]
async fn what_the_owner_refuses_is_refused() {
    let nodes = cluster(2).await;
    let home = Poller::connect(&nodes[0]).await;
    let poller = home.at(&nodes[1]);
    assert_eq!(guess(&poller).poll().await, (400, UNKNOWN.into()));
    assert_eq!(guess(&poller).post("2").await, (400, UNKNOWN.into()));
    let mut socket = RawSocket::connect(nodes[1].public).await;
    socket.send(handshake(&guess(&poller).path("websocket"), "").as_bytes()).await;
    assert_eq!(socket.status().await, 400);
    let large = "x".repeat(100_000);
    let (status, _) = poller.post(&format!("4{large}")).await;
    assert_eq!(status, 413);
    eventually!(nodes[0].closes("too-large").await == 1);
    assert_eq!(home.poll().await.0, 400);
    assert_eq!(failures(&nodes[1], "").await, 0);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up_by_the_owner() {
    let nodes = changed(2, |_, settings| settings.limits.handshake_timeout = Duration::from_millis(200)).await;
    let poller = Poller::connect(&nodes[0]).await.at(&nodes[1]);
    let mut socket = RawSocket::connect(nodes[1].public).await;
    let whole = poller.head("POST", "42[\"message\",1]");
    socket.send(&whole.as_bytes()[..whole.len() - 3]).await;
    assert_eq!(socket.status().await, 408);
    eventually!(nodes[0].closes("slow-body").await == 1);
}

#[tokio::test]
async fn a_client_that_cuts_a_relayed_poll_has_gone() {
    let nodes = cluster(2).await;
    let poller = Poller::connect(&nodes[0]).await.at(&nodes[1]);
    // From now on there is a connection to the owner, so whatever is under way has left.
    poller.call(r#"0["presence",{"room":"r"}]"#).await;
    let waiting = poller.begin_poll().await;
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 1);
    // By the time that both have answered so much the owner has the poll, too.
    for _ in 0..50 {
        assert_eq!((nodes[0].open_sockets().await, nodes[1].open_sockets().await), (1, 0));
    }
    drop(waiting);
    eventually!(nodes[0].open_sockets().await == 0);
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 0);
}

#[tokio::test]
async fn pages_may_read_what_is_relayed() {
    let nodes = changed(2, |_, settings| settings.listen.allow_origins = vec!["https://app.example".into()]).await;
    let poller = Poller::open(&nodes[0]).await;
    let ask = async |origin: &str| {
        let headers = format!("Origin: {origin}\r\n");
        request(nodes[1].public, "POST", &poller.path("polling"), &headers, "40").await.answer().await
    };
    let (status, head, _) = ask("https://app.example").await;
    assert!(status == 200 && head.contains("\r\naccess-control-allow-origin: https://app.example\r\n"), "{head}");
    assert_eq!(ask("https://evil.example").await.0, 403);
}

#[tokio::test]
async fn connections_between_nodes_are_kept() {
    let nodes = cluster(2).await;
    let poller = Poller::connect(&nodes[0]).await.at(&nodes[1]);
    let before = nodes[0].metric("roomcast_connections_total", "").await;
    for _ in 0..50 {
        poller.call(r#"0["presence",{"room":"r"}]"#).await;
    }
    assert_eq!(relayed(&nodes[1], "").await, 100);
    // Asking for metrics takes connections, too.
    let taken = nodes[0].metric("roomcast_connections_total", "").await - before;
    assert!(taken <= 8, "{taken} connections");
}

#[tokio::test]
async fn when_the_owner_has_left_the_client_starts_afresh() {
    let mut nodes = cluster(2).await;
    let poller = Poller::connect(&nodes[0]).await.at(&nodes[1]);
    poller.call(r#"0["presence",{"room":"r"}]"#).await;
    nodes.remove(0).shutdown().await;
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 1);
    assert_eq!(poller.poll().await, (400, UNKNOWN.into()));
    assert_eq!(poller.post("2").await, (400, UNKNOWN.into()));
    let mut socket = RawSocket::connect(nodes[0].public).await;
    socket.send(handshake(&poller.path("websocket"), "").as_bytes()).await;
    let (status, _, body) = socket.answer().await;
    assert_eq!((status, &*body), (400, UNKNOWN));
    assert_eq!(failures(&nodes[0], "unknown-node").await, 3);
    assert!(Poller::connect(&nodes[0]).await.call(r#"0["join",{"room":"r"}]"#).await.starts_with("430"));
}

#[tokio::test]
async fn an_owner_that_does_not_answer_is_gone_for_its_clients() {
    // Nobody listens at port 1.
    let away = |n: usize, settings: &mut Settings| {
        settings.redis.advertise = (n == 0).then(|| "127.0.0.1:1".into());
    };
    let nodes = changed(2, away).await;
    let poller = Poller::connect(&nodes[0]).await.at(&nodes[1]);
    assert_eq!(poller.poll().await, (400, UNKNOWN.into()));
    assert_eq!(failures(&nodes[1], "unreachable").await, 1);
}

#[tokio::test]
async fn what_is_relayed_is_bounded() {
    let nodes = changed(2, |_, settings| settings.redis.max_relayed = 1).await;
    let (first, second) = (Poller::connect(&nodes[0]).await, Poller::connect(&nodes[0]).await);
    let waiting = first.at(&nodes[1]).begin_poll().await;
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 1);
    assert_eq!(second.at(&nodes[1]).post("2").await.0, 503);
    assert_eq!(failures(&nodes[1], "full").await, 1);
    assert_eq!(first.post(r#"420["join",{"room":"r"}]"#).await.0, 200);
    assert_eq!(answered(waiting).await.0, 200);
    assert_eq!(second.at(&nodes[1]).post(r#"420["join",{"room":"r"}]"#).await.0, 200);
}

#[tokio::test]
async fn nothing_is_relayed_to_a_node_that_speaks_tls() {
    let certificate = Certificate::new("relay");
    let nodes = changed(2, |n, settings| {
        if n == 0 {
            certificate.use_in(settings);
        }
    })
    .await;
    let mut poller = Poller::open(&nodes[1]).await;
    let known = nodes_of(&nodes[1]).await;
    poller.sid = format!("{}AAAAAAAAAAAAAAAA", known[1]["node"].as_str().unwrap());
    assert_eq!(poller.poll().await, (400, UNKNOWN.into()));
    assert_eq!(failures(&nodes[1], "tls").await, 1);
}

#[tokio::test]
async fn without_a_relay_a_session_has_to_stay() {
    let nodes = changed(2, |_, settings| settings.redis.max_relayed = 0).await;
    let home = Poller::connect(&nodes[0]).await;
    assert_eq!(home.at(&nodes[1]).poll().await, (400, UNKNOWN.into()));
    assert_eq!(home.post("41").await.0, 200);
}

/// Limits by address hold for this machine too.
fn strict(settings: &mut Settings) {
    settings.abuse.exempt_addresses.clear();
    settings.abuse.handshakes_per_second_per_address = 1;
    settings.abuse.handshakes_burst_per_address = 10;
    settings.abuse.max_http_connections_per_address = 8;
}

#[tokio::test]
async fn a_client_counts_where_it_asks_and_not_at_the_owner_too() {
    let nodes = changed(2, |_, settings| strict(settings)).await;
    let home = Poller::connect(&nodes[0]).await;
    let poller = guess(&home).at(&nodes[1]);
    let mut statuses = Vec::new();
    for _ in 0..15 {
        statuses.push(poller.poll().await.0);
    }
    assert!(statuses.starts_with(&[400; 10]) && statuses.ends_with(&[429]), "{statuses:?}");
    let hits = async |node: &TestServer| node.metric("roomcast_limit_hits_total", "handshakes").await;
    assert!(hits(&nodes[1]).await > 0);
    assert_eq!(hits(&nodes[0]).await, 0);
    assert_eq!(Poller::open(&nodes[0]).await.at(&nodes[0]).post("40").await.0, 200, "nobody else pays for it");
}

#[tokio::test]
async fn what_is_relayed_holds_a_socket_of_its_address_where_it_is_relayed() {
    let nodes = changed(2, |n, settings| {
        settings.abuse.exempt_addresses.clear();
        settings.abuse.max_sockets_per_address = if n == 1 { 2 } else { 10 };
    })
    .await;
    let mut pollers = Vec::new();
    for _ in 0..3 {
        pollers.push(Poller::connect(&nodes[0]).await.at(&nodes[1]));
    }
    let waiting = [pollers[0].begin_poll().await, pollers[1].begin_poll().await];
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 2);
    let hits = async |node: &TestServer| node.metric("roomcast_limit_hits_total", "sockets-per-address").await;
    assert_eq!(pollers[2].poll().await.0, 429);
    let mut socket = RawSocket::connect(nodes[1].public).await;
    socket.send(handshake(&pollers[2].path("websocket"), "").as_bytes()).await;
    assert_eq!(socket.answer().await.0, 429);
    assert_eq!((hits(&nodes[1]).await, hits(&nodes[0]).await), (2, 0));
    for (poller, waiting) in pollers.iter().zip(waiting) {
        assert_eq!(poller.post(r#"420["join",{"room":"r"}]"#).await.0, 200, "a post holds nothing");
        assert_eq!(answered(waiting).await.0, 200);
    }
    let mut sockets = [pollers[0].websocket().await, pollers[1].websocket().await];
    for socket in &mut sockets {
        socket.send(&frame(0x81, b"2probe")).await;
        assert_eq!(socket.text().await, "3probe");
    }
    assert_eq!(pollers[2].poll().await.0, 429, "a WebSocket holds its place as long as it lasts");
    drop(sockets);
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 0);
    let waiting = pollers[2].begin_poll().await;
    eventually!(nodes[1].metric("roomcast_relaying", "").await == 1);
    drop(waiting);
}

#[tokio::test]
async fn connections_of_other_nodes_are_not_limited_as_a_clients() {
    let nodes = changed(2, |n, settings| {
        strict(settings);
        settings.abuse.handshakes_burst_per_address = 100;
        if n == 1 {
            settings.abuse.max_http_connections_per_address = 0;
        }
    })
    .await;
    let mut waiting = Vec::new();
    for n in 1..=20 {
        waiting.push(Poller::connect(&nodes[0]).await.at(&nodes[1]).begin_poll().await);
        eventually!(nodes[1].metric("roomcast_relaying", "").await == n);
    }
    assert_eq!(nodes[0].metric("roomcast_limit_hits_total", "http-connections-per-address").await, 0);
    assert_eq!(nodes[0].open_sockets().await, 20);
}

#[tokio::test]
async fn a_strangers_word_that_it_is_a_node_is_not_believed() {
    let nodes = changed(2, |_, settings| strict(settings)).await;
    let home = Poller::open(&nodes[0]).await;
    let ask = async |to: &TestServer, poller: &Poller, body: &str| {
        let headers = "Roomcast-Relay: guessed\r\nX-Forwarded-For: 192.0.2.1\r\n";
        let answer = request(to.public, "POST", &poller.path("polling"), headers, body).await;
        finish(answer).await
    };
    assert_eq!(ask(&nodes[0], &home, "40").await, (200, "ok".into()), "at home it makes no difference");
    assert_eq!(ask(&nodes[1], &home, "2").await, (400, UNKNOWN.into()), "and what says so goes no further");
    assert_eq!(relayed(&nodes[1], "").await, 0);
    let mut last = 0;
    for _ in 0..15 {
        last = ask(&nodes[0], &guess(&home), "2").await.0;
    }
    assert_eq!(last, 429, "whoever guesses pays");
}

#[tokio::test]
async fn a_node_that_drains_ends_the_websockets_that_it_relays() {
    let mut nodes = cluster(2).await;
    let poller = Poller::connect(&nodes[0]).await;
    let mut socket = poller.at(&nodes[1]).websocket().await;
    for packet in ["2probe", "5", r#"420["join",{"room":"r"}]"#] {
        socket.send(&frame(0x81, packet.as_bytes())).await;
    }
    assert_eq!(socket.text().await, "3probe");
    assert!(socket.text().await.starts_with("430"));
    assert_eq!(nodes.remove(1).shutdown().await, Vec::<&str>::new());
    socket.rest().await;
    eventually!(nodes[0].open_sockets().await == 0);
}
