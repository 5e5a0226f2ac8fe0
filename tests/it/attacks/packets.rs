//! Packets over long-polling that are worse than they look; those over WebSocket are in `abuse`.

use super::nobody_minds;
use crate::support::{Poller, TestServer};

const SEPARATOR: &str = "\u{1e}";

/// Sends each payload to a session of its own, which must have an answer and nothing more.
async fn post_each(server: &TestServer, payloads: &[(&str, String)], expected: &[u16]) {
    for (what, payload) in payloads {
        let client = Poller::connect(server).await;
        let (status, _) = client.post(payload).await;
        assert!(expected.contains(&status), "{what}: {status}");
        client.post("1").await;
    }
}

#[tokio::test]
async fn payloads_of_very_many_tiny_packets() {
    nobody_minds(&[], async |server: TestServer| {
        let full = |packet: &str| {
            let each = packet.len() + SEPARATOR.len();
            vec![packet; 65_000 / each].join(SEPARATOR)
        };
        let tiny = [
            ("empty", ""),
            ("pongs", "3"),
            ("noops", "6"),
            ("upgrades", "5"),
            ("pings", "2"),
            ("probes", "2probe"),
            ("connects", "40"),
            ("events", "42[0]"),
            ("acks", "430[]"),
            ("attachments", "bAA=="),
            ("empty attachments", "b"),
        ]
        .map(|(what, packet)| (what, full(packet)));
        for _ in 0..10 {
            post_each(&server, &tiny, &[200, 400]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn packets_that_lie_about_what_belongs_to_them_end_the_session() {
    nobody_minds(&[], async |server: TestServer| {
        let digits = "9".repeat(60_000);
        let nested = |depth: usize| format!("42[\"message\",{}{}]", "[".repeat(depth), "]".repeat(depth));
        let cases = [
            ("an attachment count without end", format!("45{digits}-[\"message\",{{}}]")),
            ("an ack id without end", format!("42{digits}[\"message\",{{}}]")),
            ("only digits", format!("45{digits}")),
            ("eleven attachments", "4511-[\"message\",{\"room\":\"r\"}]".to_owned()),
            ("an attachment of nothing", "bAAAA".to_owned()),
            ("base64 that is none", "b!!!!".to_owned()),
            ("an event name that is an object", "42[{\"toString\":1}]".to_owned()),
            ("an event name that is an array", "42[[\"message\"]]".to_owned()),
            ("an event name that is a number", "42[1]".to_owned()),
            ("a reserved event name", "42[\"disconnect\"]".to_owned()),
            ("5,000 arrays in each other", nested(5_000)),
            ("30,000 arrays in each other", nested(30_000)),
            ("JSON that goes on", "42[\"message\",{}]x".to_owned()),
            ("a namespace without end", format!("40/{}", "x".repeat(60_000))),
        ];
        for _ in 0..5 {
            post_each(&server, &cases[..cases.len() - 1], &[400]).await;
            post_each(&server, &cases[cases.len() - 1..], &[200, 400]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn placeholders_of_any_kind_reach_nobody_as_something_else() {
    nobody_minds(&[], async |server: TestServer| {
        let listener = Poller::connect(&server).await;
        assert_eq!(listener.post("420[\"join\",{\"room\":\"r\"}]").await.0, 200);
        assert!(listener.poll().await.1.starts_with("430["));
        for num in ["-1", "1", "7", "1.5", "1e99", "\"length\"", "\"0\"", "{}", "[]", "null", "true"] {
            let client = Poller::connect(&server).await;
            let data = format!("{{\"_placeholder\":true,\"num\":{num}}}");
            let packet =
                format!("451-0[\"publish\",{{\"room\":\"r\",\"event\":\"e\",\"data\":{data}}}]{SEPARATOR}bAA==");
            assert_eq!(client.post(&packet).await.0, 200, "{num}");
            let answer = client.poll().await.1;
            assert!(answer.starts_with("430[{\"error\":{\"code\":\"bad-packet\""), "num {num}: {answer}");
            client.post("1").await;
        }
        let speaker = Poller::connect(&server).await;
        speaker.post("42[\"publish\",{\"room\":\"r\",\"event\":\"last\",\"data\":1}]").await;
        assert_eq!(listener.poll().await.1, "42[\"last\",1]");
        speaker.post("1").await;
        listener.post("1").await;
    })
    .await;
}

#[tokio::test]
async fn a_session_that_never_polls_keeps_a_bounded_amount() {
    nobody_minds(&["--packets-per-second", "0"], async |server: TestServer| {
        let large = "x".repeat(60_000);
        for _ in 0..4 {
            let client = Poller::connect(&server).await;
            client.post("42[\"join\",{\"room\":\"r\"}]").await;
            let mut taken = 0;
            // Far more than an outbox holds; the server cuts the slow consumer at some point.
            while taken < 100
                && client.post(&format!("42[\"message\",{{\"room\":\"r\",\"x\":\"{large}\"}}]")).await.0 == 200
            {
                taken += 1;
            }
            assert!(taken < 100, "6 MB wait for a client that does not poll");
        }
    })
    .await;
}
