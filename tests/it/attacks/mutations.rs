//! Random changes of valid traffic: the same in every run.

use super::nobody_minds;
use crate::support::{Dice, Poller, RawSocket, TestServer, beside, finish, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PAYLOADS: [&str; 12] = [
    "40",
    "40/custom,{\"token\":\"x\"}",
    "42[\"join\",{\"room\":\"m\"}]\u{1e}421[\"message\",{\"room\":\"m\",\"x\":[1,2.5e3,null]}]",
    "42[\"publish\",{\"rooms\":[\"m\",\"n\"],\"except\":[\"o\"],\"event\":\"e\",\"data\":\"\\u00e9\"}]",
    "451-[\"message\",{\"room\":\"m\",\"b\":{\"_placeholder\":true,\"num\":0}}]\u{1e}bAQIDBA==",
    "452-7[\"message\",{\"room\":\"m\",\"b\":[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]}]\u{1e}bAA==\u{1e}b",
    "427[\"presence\",{\"room\":\"m\",\"limit\":5}]",
    "461-0[{\"_placeholder\":true,\"num\":0}]\u{1e}bAA==",
    "2probe\u{1e}3\u{1e}6\u{1e}5",
    "41\u{1e}40\u{1e}41/custom,",
    "431[1]",
    "42[\"leave\",{\"room\":\"m\"}]\u{1e}1",
];

const BODIES: [&str; 3] = [
    r#"{"event":"e","data":{"text":"grüße","n":[1,2.5e3,null,true]}}"#,
    r#"[{"rooms":["a","b"],"event":"e","args":[1,{}],"except":["c"]}]"#,
    r#"{"event":"e","data":{"$binary":"AQID"},"ack_timeout_ms":5}"#,
];

#[tokio::test]
async fn six_thousand_mutated_requests_disturb_nobody() {
    nobody_minds(&["--packets-per-second", "0"], async |server: TestServer| {
        let attackers: Vec<_> = (1..=4_u64)
            .map(|seed| {
                let server = TestServer::elsewhere(server.public, server.admin);
                beside(async move {
                    let mut dice = Dice::new(seed);
                    for _ in 0..500 {
                        mutated_payload(&server, &mut dice).await;
                        mutated_body(&server, &mut dice).await;
                        mutated_head(&server, &mut dice).await;
                    }
                })
            })
            .collect();
        for attacker in attackers {
            attacker.await.unwrap();
        }
    })
    .await;
}

/// One of `texts`, changed.
fn changed(dice: &mut Dice, texts: &[&str]) -> Vec<u8> {
    let mut bytes = texts[dice.below(texts.len())].as_bytes().to_vec();
    dice.mutate(&mut bytes);
    bytes
}

/// Sends a request whose body is no text.
async fn post(server: &TestServer, url: &str, body: &[u8]) -> u16 {
    let mut socket = RawSocket::connect(server.public).await;
    let head = format!(
        "POST {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.send(&[head.as_bytes(), body].concat()).await;
    finish(socket).await.0
}

async fn mutated_payload(server: &TestServer, dice: &mut Dice) {
    let client = Poller::connect(server).await;
    let payload = changed(dice, &PAYLOADS);
    let status = post(server, &client.path("polling"), &payload).await;
    assert!([200, 400].contains(&status), "{status}: {payload:?}");
    if status == 200 {
        client.post("1").await;
    }
}

async fn mutated_body(server: &TestServer, dice: &mut Dice) {
    let url =
        ["/api/v1/rooms/m/events", "/api/v1/events", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA/events"][dice.below(3)];
    let body = changed(dice, &BODIES);
    let status = post(server, url, &body).await;
    assert!((200..500).contains(&status), "{status}: {body:?}");
}

async fn mutated_head(server: &TestServer, dice: &mut Dice) {
    let url = [
        "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA",
        "/sse?room=m&room=n&token=x",
        "/ws?room=m",
        "/api/v1/rooms?prefix=m&limit=5&cursor=x",
        "/api/v1/rooms/m/members",
    ][dice.below(5)];
    let head =
        format!("GET {url} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n\r\n");
    let bytes = changed(dice, &[&head]);
    let mut socket = RawSocket::connect(server.public).await;
    socket.send(&bytes).await;
    let _reset = socket.stream.shutdown().await;
    // An event stream would go on; what matters is that the rest of the house does, too.
    let mut some = [0; 512];
    let _end = within("an answer or an end", socket.stream.read(&mut some)).await;
}
