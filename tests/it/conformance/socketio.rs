//! Socket.IO, version 5 of its protocol.

use super::{PING_INTERVAL, engine_socket, server};
use crate::support::{Poller, RawSocket, TestServer, frame};
use serde_json::Value;
use std::time::Duration;

const TWO_PLACEHOLDERS: &str = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;

async fn say(socket: &mut RawSocket, text: &str) {
    socket.send(&frame(0x81, text.as_bytes())).await;
}

/// A session that has said `connect` and been told what is expected: its own id alone, then `auth`.
async fn entered(server: &TestServer, connect: &str, prefix: &str, auth: &str) -> RawSocket {
    let mut socket = engine_socket(server, "/socket.io/").await;
    say(&mut socket, connect).await;
    let answer = socket.text().await;
    let data: Value = serde_json::from_str(answer.strip_prefix(prefix).unwrap_or_else(|| panic!("{answer}"))).unwrap();
    let keys: Vec<_> = data.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["sid"], "{connect}");
    assert!(data["sid"].as_str().is_some_and(|sid| !sid.is_empty()), "{connect}");
    assert_eq!(socket.text().await, auth, "{connect}");
    socket
}

async fn connected(server: &TestServer) -> RawSocket {
    entered(server, "40", "40", r#"42["auth",{}]"#).await
}

#[tokio::test]
async fn connecting_is_answered_with_an_id_and_nothing_else() {
    let server = server();
    for (connect, prefix, auth) in [
        ("40", "40", r#"42["auth",{}]"#),
        (r#"40{"token":"123"}"#, "40", r#"42["auth",{"token":"123"}]"#),
        ("40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#),
        (r#"40/custom,{"token":"abc"}"#, "40/custom,", r#"42/custom,["auth",{"token":"abc"}]"#),
    ] {
        entered(&server, connect, prefix, auth).await;
    }
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    let server = server();
    let mut socket = engine_socket(&server, "/socket.io/").await;
    say(&mut socket, "40/random").await;
    assert_eq!(socket.text().await, r#"44/random,{"message":"Invalid namespace"}"#);
    say(&mut socket, "40").await;
    assert!(socket.text().await.starts_with("40{"));
}

#[tokio::test]
async fn who_connects_to_no_namespace_is_closed() {
    let server = server();
    let mut socket = engine_socket(&server, "/socket.io/").await;
    let closed = async {
        loop {
            match socket.frame().await {
                Some((1, ping)) if ping == b"2" => say(&mut socket, "3").await,
                Some((8, _)) | None => return,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3), closed).await.expect("it is closed after a second");
}

#[tokio::test]
async fn packets_that_break_the_protocol_close_the_connection() {
    let server = server();
    let mut socket = engine_socket(&server, "/socket.io/").await;
    say(&mut socket, "4abc").await;
    assert_ne!(socket.close_code().await, 0, "4abc in place of CONNECT");
    for wrong in ["4abc", "42{}", r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#] {
        let mut socket = connected(&server).await;
        say(&mut socket, wrong).await;
        assert_ne!(socket.close_code().await, 0, "{wrong}");
    }
}

#[tokio::test]
async fn leaving_the_main_namespace_keeps_the_transport() {
    let server = server();
    let mut socket = connected(&server).await;
    say(&mut socket, "41").await;
    let next = tokio::time::timeout(Duration::from_millis(PING_INTERVAL * 3), socket.frame()).await;
    assert_eq!(next.expect("a ping comes"), Some((1, b"2".to_vec())));
}

#[tokio::test]
async fn leaving_a_namespace_keeps_the_others() {
    let server = server();
    let mut socket = connected(&server).await;
    say(&mut socket, "40/custom").await;
    assert!(socket.text().await.starts_with("40/custom,{"));
    assert_eq!(socket.text().await, r#"42/custom,["auth",{}]"#);
    say(&mut socket, "41/custom").await;
    say(&mut socket, r#"42["message","message to main namespace"]"#).await;
    assert_eq!(socket.text().await, r#"42["message-back","message to main namespace"]"#);
}

#[tokio::test]
async fn events_come_back_with_their_arguments() {
    let server = server();
    let mut socket = connected(&server).await;
    say(&mut socket, r#"42["message",1,"2",{"3":[true]}]"#).await;
    assert_eq!(socket.text().await, r#"42["message-back",1,"2",{"3":[true]}]"#);
    say(&mut socket, r#"42456["message-with-ack",1,"2",{"3":[false]}]"#).await;
    assert_eq!(socket.text().await, r#"43456[1,"2",{"3":[false]}]"#);
}

#[tokio::test]
async fn binary_comes_back_as_attachments_in_order() {
    let server = server();
    let mut socket = connected(&server).await;
    for (said, answer) in [
        (format!(r#"452-["message",{TWO_PLACEHOLDERS}]"#), format!(r#"452-["message-back",{TWO_PLACEHOLDERS}]"#)),
        (format!(r#"452-789["message-with-ack",{TWO_PLACEHOLDERS}]"#), format!("462-789[{TWO_PLACEHOLDERS}]")),
    ] {
        say(&mut socket, &said).await;
        socket.send(&[frame(0x82, &[1, 2, 3]), frame(0x82, &[4, 5, 6])].concat()).await;
        assert_eq!(socket.text().await, answer);
        assert_eq!(socket.frame().await, Some((2, vec![1, 2, 3])));
        assert_eq!(socket.frame().await, Some((2, vec![4, 5, 6])));
    }
}

#[tokio::test]
async fn all_of_it_works_over_long_polling() {
    let server = server();
    let client = Poller::open_at(&server, "/socket.io/").await;
    assert_eq!(client.post(r#"40/custom,{"a":1}"#).await.0, 200);
    let (_, packets) = client.poll().await;
    let [connect, auth] = packets.split('\u{1e}').collect::<Vec<_>>()[..] else { panic!("{packets}") };
    assert!(connect.starts_with(r#"40/custom,{"sid":"#));
    assert_eq!(auth, r#"42/custom,["auth",{"a":1}]"#);
    let said = format!("452-/custom,7[\"message-with-ack\",{TWO_PLACEHOLDERS}]\u{1e}bAQID\u{1e}bBAUG");
    assert_eq!(client.post(&said).await.0, 200);
    assert_eq!(client.poll().await.1, format!("462-/custom,7[{TWO_PLACEHOLDERS}]\u{1e}bAQID\u{1e}bBAUG"));
}
