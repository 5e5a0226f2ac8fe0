//! Connections are lost all the time, while others go on talking.

use super::{member, publish, recovering};
use crate::support::{SocketIoClient, TestServer, beside};

/// A client that loses its connection after every few events, and hears everything once.
async fn hears_all(server: &TestServer, room: &'static str, most: u64, every: u64) {
    let packed = every.is_multiple_of(2);
    let (mut client, mut memory) = member(server, room, packed).await;
    let mut speaker = SocketIoClient::connect(server).await;
    let said = beside(async move {
        for n in 0..most {
            publish(&mut speaker, room, n).await;
        }
    });
    let mut losses = 0;
    for n in 0..most {
        assert_eq!(memory.hear(&mut client).await, n, "after {losses} losses");
        if n % every == every - 1 {
            losses += 1;
            // Every other time the old connection is still there when the new one comes.
            let old = (losses % 2 == 0).then_some(client);
            client = memory.back(server, losses % 3, packed).await;
            assert!(memory.is_back(&client), "after {n}");
            drop(old);
        }
    }
    said.await.unwrap();
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_between_workers_while_others_go_on_talking() {
    let server = recovering(|settings| settings.delivery.workers = 4);
    let clients = [("a", 7), ("b", 8), ("c", 11)].map(|(room, every)| hears_all(&server, room, 600, every));
    Box::pin(futures_util::future::join_all(clients)).await;
}

#[tokio::test]
async fn in_a_large_room_nothing_is_lost_or_doubled_either() {
    for every in [9, 10] {
        let server = recovering(|_| ());
        let mut crowd = Vec::new();
        for _ in 0..150 {
            crowd.push(member(&server, "r", false).await.0);
        }
        hears_all(&server, "r", 300, every).await;
    }
}
