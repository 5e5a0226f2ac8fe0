//! What is kept for those who are away has bounds, and ends.

use super::{member, numbers, parked, publish, recoveries, recovering};
use crate::support::{SocketIoClient, eventually};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn whoever_missed_what_is_forgotten_gets_a_session_of_its_own() {
    let server = recovering(|settings| settings.recovery.recovery_bytes = 8 * 1024);
    let mut speaker = SocketIoClient::connect(&server).await;
    let (mut client, mut memory) = member(&server, "r", false).await;
    publish(&mut speaker, "r", 1).await;
    memory.hear(&mut client).await;
    drop(client);
    parked(&server, 1).await;
    for n in 2..40 {
        publish(&mut speaker, "r", n).await;
    }
    let client = memory.back(&server, 0, false).await;
    assert!(!memory.is_back(&client) && numbers(&client).is_empty());
    assert_eq!(recoveries(&server, "gap").await, 1);
    assert!(server.metric("roomcast_recovery_log_bytes", "").await <= 2 * 8 * 1024);
}

#[tokio::test]
async fn more_than_fits_into_an_outbox_is_not_sent_at_once() {
    let server = recovering(|settings| settings.delivery.outbox_bytes = 80 * 1024);
    let mut speaker = SocketIoClient::connect(&server).await;
    let (client, memory) = member(&server, "r", false).await;
    drop(client);
    parked(&server, 1).await;
    for _ in 0..3 {
        let data = "x".repeat(20_000);
        speaker.call("publish", json!({"room": "r", "event": "e", "data": data})).await.unwrap();
    }
    let client = memory.back(&server, 0, false).await;
    assert!(!memory.is_back(&client));
    assert_eq!(recoveries(&server, "gap").await, 1);
}

#[tokio::test]
async fn sessions_that_do_not_come_back_leave_nothing_behind() {
    let server = recovering(|settings| {
        settings.recovery.recovery_window = Duration::from_millis(300);
        settings.heartbeat.ping_interval = Duration::from_millis(300);
        settings.heartbeat.ping_timeout = Duration::from_millis(300);
    });
    let mut speaker = SocketIoClient::connect(&server).await;
    let mut memories = Vec::new();
    for i in 0..20 {
        let (_client, memory) = member(&server, &format!("r{i}"), false).await;
        memories.push(memory);
    }
    publish(&mut speaker, "r0", 1).await;
    assert!(server.metric("roomcast_recovery_log_bytes", "").await > 0);
    drop(speaker);
    eventually!(server.open_sockets().await == 0);
    eventually!(server.metric("roomcast_parked_sessions", "").await == 0);
    eventually!(server.metric("roomcast_recovery_log_bytes", "").await == 0);
    assert_eq!(server.metric("roomcast_rooms", "").await, 0);
    assert!(!memories[0].is_back(&memories[0].back(&server, 0, false).await));
}

#[tokio::test]
async fn only_so_many_sessions_are_kept_and_the_oldest_makes_room() {
    let server = recovering(|settings| {
        settings.recovery.recovery_sessions = 2;
        settings.delivery.workers = 1;
    });
    let mut memories = Vec::new();
    for sessions in [1, 2, 2] {
        let (client, memory) = member(&server, "r", false).await;
        drop(client);
        eventually!(server.open_sockets().await == 0);
        parked(&server, sessions).await;
        memories.push(memory);
    }
    eventually!(server.metric("roomcast_parked_sessions_displaced_total", "").await == 1);
    let back = memories[0].back(&server, 0, false).await;
    assert!(!memories[0].is_back(&back));
    let back = memories[2].back(&server, 0, false).await;
    assert!(memories[2].is_back(&back));
}

#[tokio::test]
async fn a_session_of_a_quiet_room_comes_back_although_its_last_event_is_forgotten() {
    for others in [0, 1] {
        let server = recovering(|settings| {
            settings.recovery.recovery_bytes = 8 * 1024;
            settings.heartbeat.ping_interval = Duration::from_millis(200);
            settings.heartbeat.ping_timeout = Duration::from_millis(400);
        });
        let mut speaker = SocketIoClient::connect(&server).await;
        let (mut client, mut memory) = member(&server, "quiet", false).await;
        publish(&mut speaker, "quiet", 1).await;
        assert_eq!(memory.hear(&mut client).await, 1);
        for n in 0..40 {
            publish(&mut speaker, "busy", n).await;
        }
        speaker.send_text("41".to_owned()).await;
        // After this its client has answered a ping, and had nothing to hear before it.
        client.pings(2).await;
        client.call("join", json!({"room": "quiet"})).await.unwrap();
        drop(client);
        parked(&server, 1).await;
        publish(&mut SocketIoClient::connect(&server).await, "quiet", 2).await;
        let client = memory.back(&server, others, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(numbers(&client), [2]);
    }
}
