//! Goal: lists of incidents have what was asked for, and a question that means nothing is answered with the name of its field.

use super::incidents::{Ops, event};
use super::{get, post, request};
use serde_json::json;

/// Titles in a list.
async fn titles(ops: &Ops, query: &str) -> Vec<String> {
    let answer = get(&ops.server, &format!("/api/v1/incidents?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    let list = answer.json();
    list["data"].as_array().unwrap().iter().map(|incident| incident["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn incidents_are_found_by_text_team_and_time() {
    let ops = Ops::start().await;
    for title in ["Disk at 100%", "disk at 1000", "rain"] {
        let mut body = event("trigger", title);
        body["payload"]["summary"] = json!(title);
        assert_eq!(post(&ops.server, "/v2/enqueue", body).await.status, 202);
    }
    assert_eq!(titles(&ops, "q=DISK").await, ["disk at 1000", "Disk at 100%"]);
    assert_eq!(titles(&ops, "q=100%25").await, ["Disk at 100%"]);
    assert_eq!(titles(&ops, "q=disk&limit=1&status=open").await, ["disk at 1000"]);
    assert!(titles(&ops, "q=%25x").await.is_empty());
    let first = get(&ops.server, "/api/v1/incidents?q=disk&limit=1").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(titles(&ops, &format!("q=disk&cursor={cursor}")).await, ["Disk at 100%"]);

    assert!(titles(&ops, "team=core").await.is_empty());
    let change = json!({"name": "Demo", "team": "core"}).to_string();
    let headers = "Content-Type: application/json\r\n";
    assert_eq!(request(ops.server.public, "PUT", "/api/v1/services/demo", headers, &change).await.status, 200);
    assert_eq!(titles(&ops, "team=core").await.len(), 3);

    let rain = get(&ops.server, "/api/v1/incidents?q=rain").await.json()["data"][0].clone();
    let last = rain["last_event_at"].as_str().unwrap();
    assert!(titles(&ops, &format!("updated_after={last}")).await.is_empty());
    ops.event("trigger", "Disk at 100%").await;
    assert_eq!(titles(&ops, &format!("updated_after={last}")).await, ["Disk at 100%"], "it has happened again");
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_named() {
    let ops = Ops::start().await;
    let long = "x".repeat(201);
    for (field, value) in
        [("q", ""), ("q", &long), ("q", "a%00"), ("team", ""), ("updated_after", "today"), ("updated_after", "")]
    {
        let answer = get(&ops.server, &format!("/api/v1/incidents?{field}={value}")).await;
        assert_eq!(answer.problem(), (400, "bad-packet".into()), "{field}={value}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("\"{field}\"")), "{answer:?}");
    }
}
