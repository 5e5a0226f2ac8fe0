//! Goal: one address can cost a node only so much, whatever it says about itself, and the others do not notice.
//! Method: more than each limit allows, from addresses of this machine and through claims of proxies, beside others.

use crate::support::{HEAVY, Peers, Poller, RawSocket, TestServer, eventually, handshake};
use roomcast::config::{Network, Settings};
use serde_json::Value;

/// Both WebSocket doors.
const DOORS: [&str; 2] = ["/ws", "/socket.io/?EIO=4&transport=websocket"];

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 9];

fn nobody_is_exempt(settings: &mut Settings) {
    settings.abuse.exempt_addresses = vec![Network::NONE];
}

/// A handshake from one of this machine's addresses; `more` are header lines.
async fn knock(server: &TestServer, from: [u8; 4], door: &str, more: &str) -> (RawSocket, u16, String, String) {
    let mut socket = RawSocket::connect_from(from, server.public).await;
    socket.send(handshake(door, more).as_bytes()).await;
    let (status, head, body) = socket.answer().await;
    (socket, status, head, body)
}

async fn status(server: &TestServer, from: [u8; 4], more: &str) -> u16 {
    knock(server, from, "/ws", more).await.1
}

fn for_client(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

#[tokio::test]
async fn an_address_that_knocks_too_often_is_told_when_to_come_back() {
    for door in DOORS {
        let server = TestServer::start(|settings| {
            nobody_is_exempt(settings);
            settings.abuse.handshakes_per_second_per_address = 1;
            settings.abuse.handshakes_burst_per_address = 3;
        });
        for _ in 0..3 {
            assert_eq!(knock(&server, HERE, door, "").await.1, 101);
        }
        let (_, refused, head, body) = knock(&server, HERE, door, "").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((refused, &body["code"]), (429, &Value::from(4)), "{door}");
        assert!(body["message"].as_str().unwrap().contains("handshakes") && head.contains("\r\nretry-after: 1\r\n"));
        assert_eq!(knock(&server, ELSEWHERE, door, "").await.1, 101, "a neighbour was refused");
        assert_eq!(server.metric("roomcast_limit_hits_total", "handshakes-per-address").await, 1);
        assert_eq!(server.metric("roomcast_handshakes_total", "rate-limited").await, 1);
        eventually!(knock(&server, HERE, door, "").await.1 == 101);
    }
}

#[tokio::test]
async fn sessions_without_a_websocket_count_too() {
    for door in ["/socket.io/?EIO=4&transport=polling", "/sse?room=r"] {
        let server = TestServer::start(|settings| {
            nobody_is_exempt(settings);
            settings.abuse.handshakes_per_second_per_address = 1;
            settings.abuse.handshakes_burst_per_address = 2;
            settings.abuse.max_sockets_per_address = 1;
        });
        let ask = async |from| {
            let mut socket = RawSocket::connect_from(from, server.public).await;
            socket.send(format!("GET {door} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
            let (status, _, body) = socket.answer().await;
            (socket, status, body)
        };
        let held = ask(HERE).await;
        assert_eq!(held.1, 200, "{door}");
        for word in ["sockets", "handshakes"] {
            let (_, status, body) = ask(HERE).await;
            assert!(status == 429 && body.contains(word), "{door}: {body}");
        }
        assert_eq!(ask(ELSEWHERE).await.1, 200, "{door}");
    }
}

#[tokio::test]
async fn guessing_tokens_counts_as_knocking() {
    let server = TestServer::authenticated(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.handshakes_per_second_per_address = 1;
        settings.abuse.handshakes_burst_per_address = 3;
    });
    for _ in 0..3 {
        assert_eq!(status(&server, HERE, "Authorization: Bearer guess\r\n").await, 401);
    }
    assert_eq!(status(&server, HERE, "Authorization: Bearer guess\r\n").await, 429);
}

#[tokio::test]
async fn an_address_has_only_so_many_sockets_and_gets_back_what_it_closes() {
    for door in DOORS {
        let server = TestServer::start(|settings| {
            nobody_is_exempt(settings);
            settings.abuse.max_sockets_per_address = 2;
        });
        let held = [knock(&server, HERE, door, "").await, knock(&server, HERE, door, "").await];
        let (_, refused, head, _) = knock(&server, HERE, door, "").await;
        assert!(refused == 429 && head.contains("\r\nretry-after: "), "{door}: {head}");
        assert_eq!(knock(&server, ELSEWHERE, door, "").await.1, 101, "a neighbour was refused");
        assert_eq!(server.metric("roomcast_limit_hits_total", "sockets-per-address").await, 1);
        drop(held);
        eventually!(server.open_sockets().await == 0);
        assert_eq!(knock(&server, HERE, door, "").await.1, 101);
    }
}

#[tokio::test]
async fn this_machine_is_exempt_unless_told_otherwise() {
    let server = TestServer::start(|settings| {
        settings.abuse.handshakes_burst_per_address = 1;
        settings.abuse.max_sockets_per_address = 1;
        settings.abuse.max_http_connections_per_address = 1;
    });
    let mut held = Vec::new();
    for _ in 0..20 {
        let knocked = knock(&server, HERE, "/ws", "").await;
        assert_eq!(knocked.1, 101);
        held.push(knocked);
    }
    assert_eq!(server.metric("roomcast_limit_hits_total", "").await, 0);
    assert_eq!(server.metric("roomcast_rate_limit_keys", "").await, 0);
}

#[tokio::test]
async fn guessing_ids_of_sessions_counts_as_knocking() {
    for transport in ["polling", "websocket"] {
        let server = TestServer::start(|settings| {
            nobody_is_exempt(settings);
            settings.abuse.handshakes_per_second_per_address = 1;
            settings.abuse.handshakes_burst_per_address = 3;
        });
        let door = format!("/socket.io/?EIO=4&transport={transport}&sid=AAAAAAAAAAAAAAAAAAAA");
        for _ in 0..3 {
            assert_eq!(knock(&server, HERE, &door, "").await.1, 400, "{transport}");
        }
        assert_eq!(knock(&server, HERE, &door, "").await.1, 429, "{transport}");
        assert_eq!(knock(&server, ELSEWHERE, &door, "").await.1, 400, "{transport}");
    }
}

#[tokio::test]
async fn an_exempt_proxy_that_nobody_named_is_limited_as_one_client() {
    let server = TestServer::start(|settings| settings.abuse.max_sockets_per_address = 1);
    let held = knock(&server, HERE, "/ws", &for_client("203.0.113.1")).await;
    assert_eq!(held.1, 101);
    assert_eq!(status(&server, HERE, &for_client("203.0.113.2")).await, 429);
    let own = [knock(&server, HERE, "/ws", "").await, knock(&server, HERE, "/ws", "").await];
    assert!(own.iter().all(|(_, status, ..)| *status == 101), "who asks for itself is exempt as before");

    let server = TestServer::start(|settings| {
        settings.abuse.max_sockets_per_address = 1;
        settings.abuse.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    let held = [1, 2].map(|n| for_client(&format!("203.0.113.{n}")));
    for client in &held {
        assert_eq!(status(&server, HERE, client).await, 101, "a proxy that is named");
    }
}

#[tokio::test]
async fn a_stranger_cannot_claim_to_ask_for_others() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.max_sockets_per_address = 1;
        settings.abuse.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    });
    let _held = knock(&server, HERE, "/ws", &for_client("203.0.113.1")).await;
    for claim in ["203.0.113.2", "10.0.0.1", "203.0.113.2, 10.0.0.1", "garbage", "127.0.0.9"] {
        assert_eq!(status(&server, HERE, &for_client(claim)).await, 429, "{claim}");
    }
    assert_eq!(status(&server, ELSEWHERE, &for_client("127.0.0.1")).await, 101, "nobody is blamed for others");
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_counted_by_themselves() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.max_sockets_per_address = 1;
        settings.abuse.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    let asks_for = async |chain: &str| knock(&server, HERE, "/ws", &for_client(chain)).await;
    let held = [
        asks_for("203.0.113.1").await,
        asks_for("203.0.113.2").await,
        asks_for("2001:db8:1:2::1").await,
        asks_for("2001:db8:1:3::1").await,
    ];
    assert!(held.iter().all(|(_, status, ..)| *status == 101));
    for claim in [
        "203.0.113.1",
        "198.51.100.1, 203.0.113.1",
        "garbage, 203.0.113.2, 127.0.0.1",
        "::ffff:203.0.113.2",
        "203.0.113.1:4711",
        "2001:db8:1:2:ffff::2",
        "[2001:db8:1:3::7]:4711",
    ] {
        assert_eq!(asks_for(claim).await.1, 429, "{claim}");
    }
    let two_lines = "X-Forwarded-For: 203.0.113.77\r\nX-Forwarded-For: 203.0.113.1\r\n";
    assert_eq!(status(&server, HERE, two_lines).await, 429, "the last line is the proxy's own");
}

#[tokio::test]
async fn addresses_that_owe_nothing_are_forgotten() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.handshakes_per_second_per_address = 10;
        settings.abuse.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        settings.abuse.rate_limit_sweep = std::time::Duration::from_millis(50);
    });
    for n in 0..20 {
        assert_eq!(status(&server, HERE, &for_client(&format!("203.0.113.{n}"))).await, 101);
    }
    eventually!(server.metric("roomcast_rate_limit_keys", "").await == 0);
}

#[tokio::test]
async fn a_full_table_of_rates_refuses_nobody_and_is_counted() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.handshakes_per_second_per_address = 1;
        settings.abuse.handshakes_burst_per_address = 1;
        settings.abuse.max_rate_limit_keys = 2;
        settings.abuse.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    for client in ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.3"] {
        assert_eq!(status(&server, HERE, &for_client(client)).await, 101, "{client}");
    }
    assert_eq!(status(&server, HERE, &for_client("203.0.113.1")).await, 429, "who is in it is still limited");
    assert_eq!(server.metric("roomcast_limit_hits_total", "rate-limit-keys").await, 2);
    assert_eq!(server.metric("roomcast_rate_limit_keys", "").await, 2);
}

#[tokio::test]
async fn an_address_has_only_so_many_connections_before_they_are_sockets() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.max_http_connections_per_address = 3;
    });
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(RawSocket::connect_from(HERE, server.public).await);
    }
    eventually!(server.metric("roomcast_connections_total", "").await >= 3);
    let mut fourth = RawSocket::connect_from(HERE, server.public).await;
    fourth.send(handshake("/ws", "").as_bytes()).await;
    assert_eq!(fourth.status().await, 0, "the fourth connection was served");
    assert_eq!(status(&server, ELSEWHERE, "").await, 101);
    assert_eq!(server.metric("roomcast_limit_hits_total", "http-connections-per-address").await, 1);

    // What has become a socket is no HTTP connection any more.
    let mut sockets = Vec::new();
    for mut connection in idle {
        connection.send(handshake("/ws", "").as_bytes()).await;
        assert_eq!(connection.status().await, 101);
        sockets.push(connection);
    }
    eventually!(status(&server, HERE, "").await == 101);
}

#[tokio::test]
async fn a_poll_for_nobody_keeps_its_connection_counted() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.max_http_connections_per_address = 3;
    });
    let poller = Poller::open(&server).await;
    // An id of this node that nobody has.
    let nobody = format!("{}AAAAAAAAAAAA", &poller.sid[..8]);
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut socket = RawSocket::connect_from(HERE, server.public).await;
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={nobody}");
        socket.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        assert_eq!(socket.answer().await.0, 400);
        kept.push(socket);
    }
    let mut fourth = RawSocket::connect_from(HERE, server.public).await;
    fourth.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(fourth.status().await, 0, "the fourth connection was served");
}

/// How long a round trip beside an attack may take; far more than it does.
const BYSTANDER_MAX: std::time::Duration = std::time::Duration::from_millis(500);

#[tokio::test]
async fn ten_thousand_half_open_requests_keep_nobody_out() {
    let _heavy = HEAVY.lock().await;
    let server = TestServer::start(nobody_is_exempt);
    let mut neighbours = Peers::meet(&server, "r").await;
    let mut half_open = Vec::new();
    for n in 0..half_open_max() {
        let mut socket = RawSocket::connect_from([127, 0, 0, 5], server.public).await;
        socket.send(b"GET /ws HTTP/1.1\r\nHost: local").await;
        half_open.push(socket);
        if n % 500 == 0 {
            let took = neighbours.round_trip().await;
            assert!(took < BYSTANDER_MAX, "{took:?} beside {n} half-open requests");
            assert_eq!(status(&server, ELSEWHERE, "").await, 101);
        }
    }
    assert!(half_open.len() > 2_000, "the descriptors do not suffice for this test");
    let refused = server.metric("roomcast_limit_hits_total", "\"http-connections-per-address\"").await;
    assert!(refused > 500, "only {refused} of {} were refused", half_open.len());
    assert_eq!(server.metric("roomcast_limit_hits_total", "\"http-connections\"").await, 0);
    drop(half_open);
    neighbours.round_trip().await;
}

/// As many as there are descriptors for, up to ten thousand.
fn half_open_max() -> usize {
    use rustix::process::{Resource, getrlimit};
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors.saturating_sub(4_000)).unwrap_or(usize::MAX).min(10_000)
}

const KEYS: [&str; 2] = ["0123456789abcdef-one", "0123456789abcdef-two"];

/// A request to the API: status, head in lower case, body.
async fn ask_rooms(server: &TestServer, from: [u8; 4], key: &str) -> (u16, String, String) {
    let mut socket = RawSocket::connect_from(from, server.public).await;
    let request = format!("GET /api/v1/rooms HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\n\r\n");
    socket.send(request.as_bytes()).await;
    socket.answer().await
}

#[tokio::test]
async fn each_key_of_the_api_has_a_rate_and_is_told_what_is_left_of_it() {
    let server = TestServer::authenticated(|settings| {
        settings.auth.api_keys = KEYS.map(|key| key.parse().unwrap()).to_vec();
        settings.abuse.requests_per_second_per_key = 1;
        settings.abuse.requests_burst_per_key = 3;
    });
    for (left, reset) in [(2, 1), (1, 2), (0, 3)] {
        let (status, head, _) = ask_rooms(&server, HERE, KEYS[0]).await;
        assert_eq!(status, 200);
        assert!(head.contains("\r\nratelimit-policy: \"requests\";q=3;w=3\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nratelimit: \"requests\";r={left};t={reset}\r\n")), "{left}: {head}");
    }
    let (status, head, body) = ask_rooms(&server, ELSEWHERE, KEYS[0]).await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["code"]), (429, &Value::from("rate-limited")), "the key counts, not the address");
    assert!(
        head.contains("\r\nretry-after: 1\r\n") && head.contains("\r\nratelimit: \"requests\";r=0;t=3\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
    assert_eq!(ask_rooms(&server, HERE, KEYS[1]).await.0, 200, "another key was refused");
    assert_eq!(server.metric("roomcast_limit_hits_total", "\"requests\"").await, 1);
    eventually!(ask_rooms(&server, HERE, KEYS[0]).await.0 == 200);
}

#[tokio::test]
async fn whoever_guesses_keys_is_counted_by_address() {
    let server = TestServer::authenticated(|settings| {
        nobody_is_exempt(settings);
        settings.auth.api_keys = KEYS.map(|key| key.parse().unwrap()).to_vec();
        settings.abuse.requests_per_second_per_key = 1;
        settings.abuse.requests_burst_per_key = 3;
    });
    for guess in 0..3 {
        assert_eq!(ask_rooms(&server, HERE, &format!("0123456789abcdef-{guess}")).await.0, 401);
    }
    assert_eq!(ask_rooms(&server, HERE, "0123456789abcdef-3").await.0, 429);
    assert_eq!(ask_rooms(&server, HERE, KEYS[0]).await.0, 200, "who has a key is not blamed for others");
    assert_eq!(ask_rooms(&server, ELSEWHERE, "0123456789abcdef-4").await.0, 401);
}

#[tokio::test]
async fn the_open_api_counts_by_address() {
    let server = TestServer::start(|settings| {
        nobody_is_exempt(settings);
        settings.abuse.requests_per_second_per_key = 1;
        settings.abuse.requests_burst_per_key = 2;
    });
    assert_eq!([ask_rooms(&server, HERE, "").await.0, ask_rooms(&server, HERE, "x").await.0], [200, 200]);
    assert_eq!(ask_rooms(&server, HERE, "y").await.0, 429);
    assert_eq!(ask_rooms(&server, ELSEWHERE, "").await.0, 200);
    let exempt = TestServer::start(|settings| settings.abuse.requests_burst_per_key = 1);
    for _ in 0..5 {
        let (status, head, _) = ask_rooms(&exempt, HERE, "").await;
        assert!(status == 200 && !head.contains("\r\nratelimit"), "{head}");
    }
}
