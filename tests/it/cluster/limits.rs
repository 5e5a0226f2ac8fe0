//! Goal: what a key, an address or a user may do, it may do on all nodes together, and Redis is never waited for for long.
//! Method: two nodes at a Redis of their own ask for more than is allowed, while it is there, away, still, or forgetful.

use crate::support::redis::{Redis, RedisCluster};
use crate::support::{Client, RawSocket, TestServer, eventually, handshake, token};
use roomcast::config::{Network, Secret, Settings};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

const KEYS: [&str; 2] = ["0123456789abcdef-one", "0123456789abcdef-two"];

/// How many may be done at once; one more each second.
const BURST: u32 = 8;

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 9];

/// A time at which no token has expired.
const LATER: u64 = 4_000_000_000;

const FALLBACKS: &str = "roomcast_shared_limits_fallbacks_total";
const ASKS: &str = "roomcast_shared_limits_asks_total";

fn node(url: &str, change: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::authenticated(|settings| {
        settings.redis.redis_url = Some(Secret::new(url));
        settings.limits.packets_per_second = 0;
        settings.auth.api_keys = KEYS.map(|key| key.parse().unwrap()).to_vec();
        let abuse = &mut settings.abuse;
        abuse.exempt_addresses = vec![Network::NONE];
        (abuse.requests_per_second_per_key, abuse.requests_burst_per_key) = (1, BURST);
        (abuse.handshakes_per_second_per_address, abuse.handshakes_burst_per_address) = (1, BURST);
        (abuse.packets_per_second_per_user, abuse.packets_burst_per_user) = (1, BURST);
        // Long enough for a busy machine, and still told apart from an outage.
        settings.redis.shared_limits_timeout = Duration::from_secs(1);
        change(settings);
    })
}

async fn two_nodes(url: &str, change: impl Fn(&mut Settings)) -> [TestServer; 2] {
    let nodes = [node(url, &change), node(url, &change)];
    for node in &nodes {
        eventually!(node.metric("roomcast_broker_up", "").await == 1);
    }
    nodes
}

/// The same, once Redis has counted for both: the connection on which it is asked comes up when it does.
async fn two_that_count_together(url: &str, change: impl Fn(&mut Settings)) -> [TestServer; 2] {
    let nodes = two_nodes(url, change).await;
    let mut stranger = 0;
    for node in &nodes {
        eventually!({
            stranger += 1;
            knock(node, [127, 0, 3, stranger]).await;
            node.metric(ASKS, "handshakes").await > 0
        });
    }
    nodes
}

async fn fallbacks(nodes: &[TestServer; 2]) -> u64 {
    nodes[0].metric(FALLBACKS, "").await + nodes[1].metric(FALLBACKS, "").await
}

/// A request to the API: status, and head in lower case.
async fn ask(node: &TestServer, key: &str) -> (u16, String) {
    let mut socket = RawSocket::connect_from(HERE, node.public).await;
    let request = format!("GET /api/v1/rooms?local=true HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\n\r\n");
    socket.send(request.as_bytes()).await;
    let (status, head, _) = socket.answer().await;
    (status, head)
}

async fn knock(node: &TestServer, from: [u8; 4]) -> u16 {
    let mut socket = RawSocket::connect_from(from, node.public).await;
    socket.send(handshake("/ws", "").as_bytes()).await;
    socket.status().await
}

/// Tries twice as often as one node allows on each node in turn, and returns how often it was let, and what might have been paid
/// back meanwhile.
async fn on_each_in_turn<const N: usize>(
    nodes: &[TestServer; N],
    attempt: impl AsyncFn(&TestServer) -> bool,
) -> (u32, u32) {
    let (began, mut allowed) = (Instant::now(), 0);
    for _ in 0..2 * BURST {
        for node in nodes {
            allowed += u32::from(attempt(node).await);
        }
    }
    (allowed, u32::try_from(began.elapsed().as_secs()).unwrap() + 1)
}

#[track_caller]
fn assert_shared((allowed, paid_back): (u32, u32)) {
    assert!(paid_back < BURST / 2, "too slow to tell anything");
    assert!(
        (BURST..=BURST + paid_back).contains(&allowed),
        "{allowed} were let through on two nodes, of {BURST} on one"
    );
}

async fn key_is_shared(nodes: &[TestServer; 2], key: &str) {
    assert_shared(on_each_in_turn(nodes, async |node| ask(node, key).await.0 == 200).await);
}

#[tokio::test]
async fn a_key_may_do_on_all_nodes_together_what_it_may_do_on_one() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = two_that_count_together(&redis.url(), |_| {}).await;
    for (node, left) in [(0, 7), (1, 6), (0, 5), (1, 4)] {
        let (status, head) = ask(&nodes[node], KEYS[0]).await;
        assert_eq!(status, 200);
        assert!(head.contains("\r\nratelimit-policy: \"requests\";q=8;w=8\r\n"), "{head}");
        let (told, reset) = (format!("\"requests\";r={left};t={}", 8 - left), format!("r={};t=", left + 1));
        assert!(head.contains(&told) || head.contains(&reset), "{left}: {head}");
    }
    key_is_shared(&nodes, KEYS[1]).await;
    for node in &nodes {
        let (status, head) = ask(node, KEYS[1]).await;
        if status == 429 {
            assert!(head.contains("\r\nretry-after: 1\r\n") && head.contains("\"requests\";r=0;t=8"), "{head}");
        }
        assert!(node.metric("roomcast_limit_hits_total", "\"requests\"").await > 0);
    }
    // A node that knows that it is too much does not ask.
    let asks = nodes[0].metric(ASKS, "requests").await + nodes[1].metric(ASKS, "requests").await;
    assert!(asks < u64::from(3 * BURST), "{asks} questions for {} requests", 4 + 4 * BURST + 2);
    // Nothing stays behind.
    let keys = redis.command(&["KEYS", "*"]).await.list().iter().map(|key| key.text()).collect::<Vec<_>>();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("socket.io-limit#")), "{keys:?}");
    eventually!(redis.command(&["DBSIZE"]).await.number() == 0);
}

#[tokio::test]
async fn an_address_may_open_on_all_nodes_together_what_it_may_open_on_one() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = two_that_count_together(&redis.url(), |_| {}).await;
    assert_shared(on_each_in_turn(&nodes, async |node| knock(node, HERE).await == 101).await);
    assert_eq!(knock(&nodes[1], ELSEWHERE).await, 101, "a neighbour was refused");
    assert!(nodes[1].metric(ASKS, "handshakes").await > 0);
}

#[tokio::test]
async fn a_user_may_say_on_all_nodes_together_what_it_may_say_on_one() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = two_that_count_together(&redis.url(), |_| {}).await;
    let token = token("ada", LATER);
    let mut here = Client::with_token(&nodes[0], Wire::SocketIo, &token).await;
    let mut there = Client::with_token(&nodes[1], Wire::Json, &token).await;
    let say = || json!({"room": "lobby", "event": "said", "data": {}});
    here.join("lobby").await.unwrap();
    let mut allowed = 1;
    for _ in 1..BURST {
        allowed += u32::from(here.publish(say()).await.is_ok());
    }
    assert_eq!(allowed, BURST);
    assert_eq!(here.publish(say()).await.unwrap_err()["code"], "rate-limited");
    // The other node learns of it when it tells what it let through itself: after an eighth of the burst.
    there.join("lobby").await.unwrap();
    let mut late = 1;
    eventually!({
        late += 1;
        there.publish(say()).await.is_err_and(|error| error["code"] == "rate-limited")
    });
    assert!(late <= BURST, "the other node went on until its own limit: {late}");
    assert_eq!(nodes[1].metric("roomcast_limit_hits_total", "packets-per-user").await, 1);
    let mut other = Client::with_token(&nodes[1], Wire::Json, &self::token("bea", LATER)).await;
    other.join("lobby").await.unwrap();
    // One rate for both: who has said too much on two nodes pays for both.
    assert!(here.publish(say()).await.is_err());
}

#[tokio::test]
async fn a_forgotten_script_is_sent_again() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = two_that_count_together(&redis.url(), |_| {}).await;
    let before = fallbacks(&nodes).await;
    assert_eq!(ask(&nodes[0], KEYS[0]).await.0, 200);
    redis.command(&["SCRIPT", "FLUSH"]).await.fine();
    key_is_shared(&nodes, KEYS[1]).await;
    assert_eq!(fallbacks(&nodes).await, before);
}

#[tokio::test]
async fn without_redis_each_node_counts_for_itself_and_together_again_afterwards() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = two_that_count_together(&redis.url(), |_| {}).await;
    assert_eq!(ask(&nodes[0], KEYS[1]).await.0, 200);
    redis.kill();
    for node in &nodes {
        eventually!(node.metric("roomcast_broker_up", "").await == 0);
        let began = Instant::now();
        let mut allowed = 0;
        for _ in 0..2 * BURST {
            allowed += u32::from(ask(node, KEYS[0]).await.0 == 200);
        }
        assert!((BURST..=BURST + 3).contains(&allowed), "{allowed}");
        assert!(began.elapsed() < Duration::from_secs(3), "they waited: {:?}", began.elapsed());
        assert!(node.metric(FALLBACKS, "limit=\"requests\",reason=\"away\"").await >= u64::from(BURST) - 1);
    }
    redis.restart().await;
    for node in &nodes {
        eventually!({
            let before = node.metric(ASKS, "handshakes").await;
            knock(node, ELSEWHERE).await;
            node.metric(ASKS, "handshakes").await > before
        });
    }
    eventually!(ask(&nodes[0], KEYS[1]).await.1.contains("r=7;t=1"));
    assert!(ask(&nodes[1], KEYS[1]).await.1.contains("r=6;t=2"), "the nodes do not count together again");
}

#[tokio::test]
async fn nobody_waits_longer_than_the_timeout_for_a_redis_that_stands_still() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = two_that_count_together(&redis.url(), |settings| {
        settings.redis.shared_limits_timeout = Duration::from_millis(200)
    })
    .await;
    redis.pause();
    let (began, mut waited, mut allowed) = (Instant::now(), 0, 0);
    for _ in 0..2 * BURST {
        let asked = Instant::now();
        allowed += u32::from(ask(&nodes[0], KEYS[0]).await.0 == 200);
        // The rest is what the request itself takes on a busy machine.
        assert!(asked.elapsed() < Duration::from_millis(1_200), "{:?}", asked.elapsed());
        waited += u32::from(asked.elapsed() >= Duration::from_millis(200));
    }
    let tries = u32::try_from(began.elapsed().as_millis() / 500).unwrap() + 1;
    assert!((1..=tries).contains(&waited), "{waited} of {} requests waited in {:?}", 2 * BURST, began.elapsed());
    assert!((BURST..=BURST + 3).contains(&allowed), "{allowed}");
    assert!(nodes[0].metric(FALLBACKS, "limit=\"requests\",reason=\"timed-out\"").await >= 1);
    redis.resume();
}

#[tokio::test]
async fn on_a_redis_cluster_each_key_is_counted_where_its_slot_is() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let nodes = two_that_count_together(&cluster.urls(), |settings| settings.redis.redis_sharded = true).await;
    let before = fallbacks(&nodes).await;
    for key in KEYS {
        key_is_shared(&nodes, key).await;
    }
    for n in 1..30 {
        assert_eq!(knock(&nodes[n % 2], [127, 0, 1, u8::try_from(n).unwrap()]).await, 101);
    }
    assert_eq!(fallbacks(&nodes).await, before);
    for node in &cluster.nodes {
        assert!(node.command(&["DBSIZE"]).await.number() > 0, "a server of the Cluster counts nothing");
    }
}

#[tokio::test]
async fn nodes_that_shall_count_for_themselves_do() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = two_nodes(&redis.url(), |settings| settings.redis.shared_limits_timeout = Duration::ZERO).await;
    let (allowed, _) = on_each_in_turn(&nodes, async |node| ask(node, KEYS[0]).await.0 == 200).await;
    assert!(allowed >= 2 * BURST);
    assert_eq!(redis.command(&["DBSIZE"]).await.number(), 0);
}
