//! Goal: a Socket.IO session that loses its connection comes back as the same, with exactly what it missed, or as a new one.
//! Method: connections that are dropped at any moment, on one worker and between workers; what clients hear is counted.

mod application;
mod limits;
mod storms;

use crate::http::{post, request};
use crate::support::{Poller, SocketIoClient, TestServer, eventually, http_get, token};
use roomcast::config::Settings;
use serde_json::{Value, json};
use std::time::Duration;

const LATER: u64 = 4_000_000_000;

fn recovering(change: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::start(|settings| {
        settled(settings);
        change(settings);
    })
}

fn settled(settings: &mut Settings) {
    settings.recovery.recovery_window = Duration::from_secs(60);
    settings.limits.packets_per_second = 0;
    settings.limits.joins_per_second = 0;
    settings.auth.api_keys = vec!["0123456789abcdef".parse().unwrap()];
}

/// What a client remembers of its session while it has no connection.
#[derive(Debug, Clone)]
struct Memory {
    pid: String,
    sid: String,
    offset: Option<String>,
}

impl Memory {
    fn of(client: &SocketIoClient) -> Self {
        Self { pid: client.pid.clone().expect("the server recovers"), sid: client.sid.clone(), offset: None }
    }

    fn auth(&self) -> Value {
        match &self.offset {
            Some(offset) => json!({"pid": self.pid, "offset": offset}),
            None => json!({"pid": self.pid}),
        }
    }

    /// Comes back on the connection after the next `others` ones: connections go to the workers in turn.
    async fn back(&self, server: &TestServer, others: usize, packed: bool) -> SocketIoClient {
        for _ in 0..others {
            SocketIoClient::open(server, "", None).await.unwrap();
        }
        let mut client = SocketIoClient::open(server, "", None).await.unwrap();
        client.packed = packed;
        client.enter("/", self.auth()).await.unwrap();
        client
    }

    /// The number in the next event; its offset is remembered.
    async fn hear(&mut self, client: &mut SocketIoClient) -> u64 {
        let heard = client.heard().await;
        self.offset = Some(heard.args.last().unwrap().as_str().expect("an offset").to_owned());
        heard.n()
    }

    fn is_back(&self, client: &SocketIoClient) -> bool {
        let same = client.pid.as_deref() == Some(&self.pid);
        assert_eq!(client.sid == self.sid, same, "the sid and the pid go together");
        same
    }
}

async fn member(server: &TestServer, room: &str, packed: bool) -> (SocketIoClient, Memory) {
    let mut client = SocketIoClient::open(server, "", None).await.unwrap();
    client.packed = packed;
    client.enter("/", Value::Null).await.unwrap();
    client.call("join", json!({"room": room})).await.unwrap();
    let memory = Memory::of(&client);
    (client, memory)
}

async fn publish(speaker: &mut SocketIoClient, room: &str, n: u64) {
    speaker.call("publish", json!({"room": room, "event": "e", "data": {"n": n}})).await.unwrap();
}

async fn parked(server: &TestServer, sessions: u64) {
    eventually!(server.metric("roomcast_parked_sessions", "").await == sessions);
}

async fn recoveries(server: &TestServer, result: &str) -> u64 {
    server.metric("roomcast_recoveries_total", &format!("{{result=\"{result}\"}}")).await
}

fn numbers(client: &SocketIoClient) -> Vec<u64> {
    client.kept().map(crate::support::Heard::n).collect()
}

#[tokio::test]
async fn a_session_gets_exactly_what_it_missed_in_order_and_before_the_answer() {
    for (others, packed) in [(0, false), (1, false), (0, true), (1, true)] {
        let server = recovering(|_| ());
        let mut speaker = SocketIoClient::connect(&server).await;
        let (mut client, mut memory) = member(&server, "r", packed).await;
        for n in 1..=2 {
            publish(&mut speaker, "r", n).await;
            assert_eq!(memory.hear(&mut client).await, n);
        }
        drop(client);
        parked(&server, 1).await;
        for n in 3..=9 {
            publish(&mut speaker, "r", n).await;
            publish(&mut speaker, "elsewhere", 100 + n).await;
            let fields = json!({"rooms": ["r", "s"], "except": ["r"], "event": "e", "data": {"n": 200 + n}});
            speaker.call("publish", fields).await.unwrap();
            speaker.call("publish", json!({"rooms": ["s", "r"], "event": "e", "data": {"n": 300 + n}})).await.unwrap();
        }
        let mut client = memory.back(&server, others, packed).await;
        assert!(memory.is_back(&client));
        // Reading stops at the answer to CONNECT: what is there now came before it.
        let expected: Vec<u64> = (3..=9).flat_map(|n| [n, 300 + n]).collect();
        assert_eq!(numbers(&client), expected);
        for n in expected {
            assert_eq!(memory.hear(&mut client).await, n);
        }
        publish(&mut speaker, "r", 10).await;
        assert_eq!(memory.hear(&mut client).await, 10, "it is in its rooms again");
        assert_eq!(recoveries(&server, "restored").await, 1);
        parked(&server, 0).await;
    }
}

#[tokio::test]
async fn a_session_that_has_heard_nothing_comes_back_too() {
    for others in [0, 1] {
        let server = recovering(|_| ());
        let mut speaker = SocketIoClient::connect(&server).await;
        publish(&mut speaker, "r", 0).await;
        let (client, memory) = member(&server, "r", false).await;
        drop(client);
        parked(&server, 1).await;
        publish(&mut speaker, "r", 1).await;
        let client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(numbers(&client), [1]);
    }
}

#[tokio::test]
async fn a_session_comes_back_again_and_again_whether_it_hears_something_meanwhile_or_not() {
    let server = recovering(|settings| settings.delivery.workers = 3);
    let mut speaker = SocketIoClient::connect(&server).await;
    let (mut client, mut memory) = member(&server, "r", false).await;
    let mut n = 0;
    for round in 0..12 {
        drop(client);
        parked(&server, 1).await;
        let missed: Vec<u64> = (n..n + round % 3).collect();
        n += round % 3;
        for n in &missed {
            publish(&mut speaker, "r", *n).await;
        }
        client = memory.back(&server, (round % 2).try_into().unwrap(), false).await;
        assert!(memory.is_back(&client), "round {round}");
        assert_eq!(numbers(&client), missed, "round {round}");
        // Every other time it is lost before it has looked at what it got.
        if round % 4 > 1 {
            drop(client);
            parked(&server, 1).await;
            client = memory.back(&server, 1, false).await;
        }
        for n in missed {
            assert_eq!(memory.hear(&mut client).await, n, "round {round}");
        }
    }
    assert!(numbers(&client).is_empty());
}

#[tokio::test]
async fn an_old_connection_that_is_only_half_gone_is_taken_over() {
    for others in [0, 1] {
        let server = recovering(|_| ());
        let mut speaker = SocketIoClient::connect(&server).await;
        let (mut old, mut memory) = member(&server, "r", false).await;
        publish(&mut speaker, "r", 1).await;
        assert_eq!(memory.hear(&mut old).await, 1);
        publish(&mut speaker, "r", 2).await;
        let mut client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(memory.hear(&mut client).await, 2);
        assert_eq!(old.closed().await, 4409);
        publish(&mut speaker, "r", 3).await;
        assert_eq!(memory.hear(&mut client).await, 3);
        // The end of the old connection is no end of the session, and it can come back once more.
        drop(client);
        parked(&server, 1).await;
        let client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        let (_, answer) = http_get(server.public, "/api/v1/rooms/r/members").await;
        assert_eq!(answer.matches("\"sid\"").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_user() {
    let server = TestServer::authenticated(settled);
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    client.enter("/", json!({"token": token("ada", LATER)})).await.unwrap();
    let memory = Memory::of(&client);
    drop(client);
    parked(&server, 1).await;
    let enter = async |auth: Value| {
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        let outcome = client.enter("/", auth).await;
        (client, outcome)
    };
    let (_, refused) = enter(json!({"pid": memory.pid})).await;
    assert_eq!(refused.unwrap_err()["message"], "unauthenticated", "the pid is no token");
    for _ in 0..2 {
        let (other, entered) = enter(json!({"token": token("eve", LATER), "pid": memory.pid})).await;
        entered.unwrap();
        assert!(!memory.is_back(&other));
    }
    assert_eq!(recoveries(&server, "other-user").await, 2);
    let (client, entered) = enter(json!({"token": token("ada", LATER), "pid": memory.pid})).await;
    entered.unwrap();
    assert!(memory.is_back(&client), "who tried in vain has not destroyed it");
}

#[tokio::test]
async fn a_pid_that_nobody_knows_opens_a_new_session() {
    let server = recovering(|_| ());
    let (client, memory) = member(&server, "r", false).await;
    let mut guessed = memory.clone();
    guessed.pid.replace_range(19.., if memory.pid.ends_with('A') { "B" } else { "A" });
    let unknown = ["", "short", "AAAAAAAAAAAAAAAAAAAA", guessed.pid.as_str(), memory.sid.as_str()];
    for pid in unknown {
        let again = Memory { pid: pid.to_owned(), ..memory.clone() }.back(&server, 0, false).await;
        assert!(again.sid != memory.sid && again.pid.is_some_and(|fresh| fresh != pid));
    }
    for odd in [json!({"pid": 7}), json!({"pid": memory.pid, "offset": "another server's"})] {
        let mut again = SocketIoClient::open(&server, "", None).await.unwrap();
        again.enter("/", odd).await.unwrap();
        assert_ne!(again.sid, memory.sid);
    }
    drop(client);
}

#[tokio::test]
async fn who_says_goodbye_does_not_come_back() {
    let server = recovering(|_| ());
    let (mut client, memory) = member(&server, "r", false).await;
    client.send_text("41".to_owned()).await;
    drop(client);
    eventually!(server.open_sockets().await == 0);
    parked(&server, 0).await;
    let client = memory.back(&server, 0, false).await;
    assert!(!memory.is_back(&client));
    assert_eq!(recoveries(&server, "unknown").await, 1);
}

#[tokio::test]
async fn without_the_setting_nothing_is_different() {
    let server = TestServer::start(|_| ());
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    client.send_text("40{\"pid\":\"AAAAAAAAAAAAAAAAAAAA\",\"offset\":\"1-1\"}".to_owned()).await;
    let answer: Value = serde_json::from_str(&client.control().await[1..]).unwrap();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["sid"]);
    client.call("join", json!({"room": "r"})).await.unwrap();
    publish(&mut client, "r", 1).await;
    assert_eq!(client.heard().await.args, [json!({"n": 1})]);
}

#[tokio::test]
async fn a_session_that_came_back_is_found_by_its_old_id() {
    for others in [0, 1] {
        let server = recovering(|_| ());
        let (client, mut memory) = member(&server, "r", false).await;
        let mut other = SocketIoClient::connect(&server).await;
        drop(client);
        parked(&server, 1).await;
        let mut client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        let present = other.call("presence", json!({"room": "r"})).await.unwrap();
        assert_eq!(present["members"], json!([{"sid": memory.sid}]));
        let path = format!("/api/v1/sessions/{}", memory.sid);
        let said = post(&server, &format!("{path}/events"), json!({"event": "e", "data": {"n": 7}})).await;
        assert_eq!(said.status, 202);
        assert_eq!(memory.hear(&mut client).await, 7);
        assert_eq!(request(server.public, "DELETE", &path, "", "").await.status, 204);
        assert_eq!(client.closed().await, 1000);
        eventually!(server.open_sockets().await <= 1 + others as u64);
        let again = memory.back(&server, 0, false).await;
        assert!(!memory.is_back(&again), "whoever was sent away does not come back");
    }
}

#[tokio::test]
async fn a_session_that_polls_comes_back_too() {
    for others in [0, 1] {
        let server = recovering(|_| ());
        let poller = Poller::open(&server).await;
        poller.post("40").await;
        let entered: Value = serde_json::from_str(poller.packets().await[0].strip_prefix("40").unwrap()).unwrap();
        let (pid, sid) = (&entered["pid"], &entered["sid"]);
        poller.post(r#"42["join",{"room":"r"}]"#).await;
        assert_eq!(poller.post("1").await.0, 200, "Engine.IO's goodbye is that of a connection, not of a session");
        parked(&server, 1).await;
        publish(&mut SocketIoClient::connect(&server).await, "r", 1).await;
        for _ in 0..others {
            SocketIoClient::open(&server, "", None).await.unwrap();
        }
        let poller = Poller::open(&server).await;
        poller.post(&format!("40{}", json!({"pid": pid}))).await;
        let packets = poller.packets().await;
        assert!(packets[0].starts_with(r#"42["e",{"n":1},""#), "{packets:?}");
        assert_eq!(packets[1], format!("40{{\"sid\":{sid},\"pid\":{pid}}}"));
    }
}
