//! Goal: an idle session costs little memory, and traffic leaves none behind. Method: a server in a process of its own,
//! whose anonymous resident memory is read between steps, so that the tests' own memory does not count.
//!
//! Measured is what the kernel has given to the process, divided by the sessions that were added after a warm-up: what is
//! allocated, what the allocator loses between it, and what the runtime keeps for each connection.
#![cfg(target_os = "linux")]

use crate::support::{EventStream, HEAVY, Poller, Process, RawSocket, TestServer, frame, handshake, http_get};
use std::time::Duration;

/// Bytes of resident memory that an idle Socket.IO session in one room may cost.
///
/// The HTTP server's buffer of 8 KiB, or the finished task of its connection, would show here at once.
const SESSION_MAX: u64 = 3 * 1024;

/// The same for an event stream.
const STREAM_MAX: u64 = 3 * 1024;

/// The same for a session whose poll waits: most of it is the HTTP connection of that poll.
const POLL_MAX: u64 = 32 * 1024;

/// Bytes of resident memory that traffic may leave for each session: a queue that keeps its few places.
const KEPT_MAX: u64 = 512;

const SESSIONS: u64 = 2_000;

/// Sessions that are in one room of ten each, and have nothing more to say.
async fn sessions(server: &TestServer, count: u64, into: &mut Vec<RawSocket>) {
    let from = into.len();
    for _ in 0..count {
        let mut socket = RawSocket::connect(server.public).await;
        socket.send(handshake("/socket.io/?EIO=4&transport=websocket", "").as_bytes()).await;
        into.push(socket);
    }
    for (n, socket) in into[from..].iter_mut().enumerate() {
        assert_eq!(socket.status().await, 101);
        let join = format!("421[\"join\",{{\"room\":\"room-{}\"}}]", (from + n) / 10);
        socket.send(&[frame(0x81, b"40"), frame(0x81, join.as_bytes())].concat()).await;
    }
    for socket in &mut into[from..] {
        while !socket.text().await.starts_with("431[") {}
    }
}

#[tokio::test]
async fn an_idle_session_costs_little_and_traffic_leaves_nothing_behind() {
    let _heavy = HEAVY.lock().await;
    let process = Process::start(&["--workers", "1", "--packets-per-second", "0"]).await;
    let server = &process.server;
    let mut sockets = Vec::new();
    sessions(server, 500, &mut sockets).await;
    let warm = process.memory();
    sessions(server, SESSIONS, &mut sockets).await;
    let full = process.memory();
    let each = full.saturating_sub(warm) / SESSIONS;
    assert!(each <= SESSION_MAX, "an idle session costs {each} bytes");
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(process.threads() <= cores + 8, "2,500 sessions take {} threads", process.threads());

    // Something large in two pieces needs a buffer for a while, and an event in every room a place in every outbox.
    let large =
        frame(0x81, format!("427[\"message\",{{\"room\":\"nobody\",\"x\":\"{}\"}}]", "x".repeat(40_000)).as_bytes());
    for socket in sockets.iter_mut().step_by(10) {
        let (head, tail) = large.split_at(20_000);
        socket.send(head).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        socket.send(tail).await;
        assert_eq!(socket.text().await, r#"437[{"room":"nobody"}]"#);
    }
    for round in 0..5 {
        for (n, socket) in sockets.iter_mut().enumerate().skip(round).step_by(10) {
            let said = format!("42[\"message\",{{\"room\":\"room-{}\",\"x\":{round}}}]", n / 10);
            socket.send(frame(0x81, said.as_bytes()).as_slice()).await;
        }
        for socket in &mut sockets {
            assert!(socket.text().await.starts_with("42[\"message\""));
        }
    }
    let after = process.memory();
    let kept = after.saturating_sub(full) / sockets.len() as u64;
    assert!(kept <= KEPT_MAX, "traffic left {kept} bytes for each session");

    // The places of those who went are used again.
    drop(sockets);
    let mut sockets = Vec::new();
    crate::support::eventually!(http_get(server.admin, "/metrics").await.1.contains("\nroomcast_rooms 0\n"));
    sessions(server, 500 + SESSIONS, &mut sockets).await;
    let again = process.memory().saturating_sub(after) / sockets.len() as u64;
    assert!(again <= KEPT_MAX, "sessions that went left {again} bytes each");
}

/// What is between two measurements, for each of `SESSIONS / 2` sessions.
async fn cost_of_each<T>(process: &Process, open: impl AsyncFn(usize) -> T) -> u64 {
    let mut held = Vec::new();
    for n in 0..300 {
        held.push(open(n).await);
    }
    let (warm, count) = (process.memory(), SESSIONS / 2);
    for n in 0..count {
        held.push(open(usize::try_from(n).unwrap()).await);
    }
    process.memory().saturating_sub(warm) / count
}

#[tokio::test]
async fn an_idle_event_stream_costs_little() {
    let _heavy = HEAVY.lock().await;
    let process = Process::start(&["--workers", "1"]).await;
    let server = &process.server;
    let each =
        cost_of_each(&process, async |n| EventStream::listen(server, &format!("room=room-{}", n / 10)).await).await;
    assert!(each <= STREAM_MAX, "an idle event stream costs {each} bytes");
}

#[tokio::test]
async fn an_idle_session_that_polls_costs_little_beside_its_waiting_request() {
    let _heavy = HEAVY.lock().await;
    let process = Process::start(&["--workers", "1"]).await;
    let server = &process.server;
    let open = async |n: usize| {
        let client = Poller::connect(server).await;
        let joined = client.call(&format!("0[\"join\",{{\"room\":\"room-{}\"}}]", n / 10)).await;
        assert!(joined.starts_with("430["), "{joined}");
        client
    };
    let between = cost_of_each(&process, open).await;
    let waiting = cost_of_each(&process, async |n| {
        let client = open(n).await;
        let poll = client.begin_poll().await;
        (client, poll)
    })
    .await;
    assert!(between <= SESSION_MAX, "a session between two polls costs {between} bytes");
    assert!(waiting <= POLL_MAX, "a session whose poll waits costs {waiting} bytes");
}
