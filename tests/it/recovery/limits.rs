//! What is kept for those who are away has bounds, and ends.

use super::{member, numbers, parked, publish, recoveries, recovering};
use crate::http::post;
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

#[tokio::test]
async fn whoever_has_heard_nothing_does_not_get_what_was_said_before_it_joined() {
    let server = recovering(|settings| settings.delivery.workers = 1);
    let mut speaker = SocketIoClient::connect(&server).await;
    let (_there, _) = member(&server, "r", false).await;
    let (mut client, memory) = member(&server, "quiet", false).await;
    publish(&mut speaker, "r", 1).await;
    client.call("join", json!({"room": "r"})).await.unwrap();
    drop(client);
    parked(&server, 1).await;
    publish(&mut speaker, "r", 2).await;
    // It says each time that it has heard nothing.
    for _ in 0..2 {
        let client = memory.back(&server, 0, false).await;
        assert!(memory.is_back(&client));
        assert_eq!(numbers(&client), [2]);
        drop(client);
        parked(&server, 1).await;
    }
}

#[tokio::test]
async fn whoever_comes_from_another_worker_takes_nobodys_history() {
    let server = recovering(|settings| settings.recovery.recovery_bytes = 64 * 1024);
    let (waits, memory) = member(&server, "r", false).await;
    let (moves, moving) = member(&server, "m", false).await;
    drop((waits, moves));
    parked(&server, 2).await;
    let say = async |room: &str, text: &str| {
        let said = json!({"event": "e", "data": {"n": 1, "text": text}});
        assert_eq!(post(&server, &format!("/api/v1/rooms/{room}/events"), said).await.status, 202);
    };
    say("r", "").await;
    for _ in 0..3 {
        say("m", &"x".repeat(10_000)).await;
    }
    // Connections go to the workers in turn, so it comes to the other one each time, and loses the connection at once.
    for _ in 0..8 {
        let client = moving.back(&server, 0, false).await;
        assert!(moving.is_back(&client));
        assert_eq!(numbers(&client), [1, 1, 1]);
        drop(client);
        parked(&server, 2).await;
    }
    assert!(server.metric("roomcast_recovery_log_bytes", "").await <= 4 * 64 * 1024);
    let client = memory.back(&server, 0, false).await;
    assert!(memory.is_back(&client));
    assert_eq!(numbers(&client), [1]);
}
