//! Goal: no attack on any door costs others anything. Method: a server in a process of its own, a pair of bystanders who go
//! on talking, and the attack beside them; then the process is looked at: alive, no panic, no file left open, its memory
//! back. What a single bad packet is answered with is in `abuse`.
#![cfg(target_os = "linux")]

mod bodies;
mod heads;
mod mutations;
mod origins;
mod packets;
mod upgrades;

use crate::support::{HEAVY, Peers, Process, TestServer, beside, eventually, p99};
use std::time::Duration;
use tokio::time::sleep;

/// How long a bystander's round trip may take, but for one in a hundred.
const BYSTANDER_MAX: Duration = Duration::from_millis(100);
/// No round trip at all may take this long: room for a machine that builds something else meanwhile.
const BYSTANDER_NEVER: Duration = Duration::from_secs(1);
/// Memory that may be left after an attack: what the allocator keeps for next time.
const LEFT_MAX: u64 = 32 * 1024 * 1024;

/// Lets `attack` loose on a server with `args`, and looks at everybody else meanwhile and afterwards.
async fn nobody_minds<F>(args: &[&str], attack: impl FnOnce(TestServer) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let _heavy = HEAVY.lock().await;
    let mut process = Process::start(&[&["--workers", "2"], args].concat()).await;
    let server = &process.server;
    let mut bystanders = Peers::meet(server, "quiet").await;
    let (sockets, files, memory) = (server.open_sockets().await, process.files(), process.memory());

    let attack = beside(attack(TestServer::elsewhere(server.public, server.admin)));
    let mut trips = Vec::new();
    while !attack.is_finished() || trips.len() < 5 {
        trips.push(bystanders.round_trip().await);
        // The default limit is twenty packets a second.
        sleep(Duration::from_millis(55)).await;
    }
    attack.await.unwrap();

    let slowest = trips.iter().max().copied().unwrap_or_default();
    let (usual, count) = (p99(trips.clone()), trips.len());
    assert!(usual < BYSTANDER_MAX || count < 100 && at_most_one_above(&trips), "p99 of {count} trips: {usual:?}");
    assert!(slowest < BYSTANDER_NEVER, "a bystander waited {slowest:?}");
    eventually!(server.open_sockets().await == sockets);
    // Bystanders hold theirs; the requests for the metrics come and go.
    eventually!(process.files() <= files + 2);
    eventually!(process.memory() <= memory + LEFT_MAX);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
    assert!(process.is_alive());
}

fn at_most_one_above(trips: &[Duration]) -> bool {
    trips.iter().filter(|trip| **trip >= BYSTANDER_MAX).count() <= 1
}
