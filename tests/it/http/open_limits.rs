//! Goal: a service has only so many open incidents, and each door says so as its senders expect it.

use super::incidents::{Ops, event};
use super::{get, post, request};
use roomcast::app::DEV_ROUTING_KEY;
use serde_json::{Value, json};

/// The service `demo`, of which this many incidents may be open.
async fn limited(most: Value) -> (Ops, u16) {
    let ops = Ops::start().await;
    let change = json!({"name": "Demo", "max_open": most}).to_string();
    let headers = "Content-Type: application/json\r\n";
    let answer = request(ops.server.public, "PUT", "/api/v1/services/demo", headers, &change).await;
    (ops, answer.status)
}

#[tokio::test]
async fn one_more_is_refused_as_each_door_refuses() {
    let (ops, status) = limited(json!(1)).await;
    assert_eq!((status, &get(&ops.server, "/api/v1/services/demo").await.json()["max_open"]), (200, &json!(1)));
    ops.event("trigger", "disk").await;
    let pager_duty = post(&ops.server, "/v2/enqueue", event("trigger", "cpu")).await;
    assert_eq!((pager_duty.status, &pager_duty.json()["status"]), (429, &json!("throttle exceeded")));
    assert!(pager_duty.has("retry-after: 30") && pager_duty.json()["errors"].is_array(), "{pager_duty:?}");
    let body = json!({"service": "demo", "title": "by hand", "severity": "info"});
    assert_eq!(post(&ops.server, "/api/v1/incidents", body).await.problem(), (409, "too-many-open".into()));

    // One that is new, and behind it one that is open, and its end.
    let alert = |status: &str, fingerprint: &str| json!({"status": status, "fingerprint": fingerprint});
    let hook = format!("/api/v1/integrations/alertmanager/{DEV_ROUTING_KEY}");
    let alerts = [alert("firing", "cpu"), alert("firing", "disk"), alert("resolved", "disk")];
    let notification = json!({"version": "4", "alerts": alerts});
    let alertmanager = post(&ops.server, &hook, notification.clone()).await;
    assert_eq!(alertmanager.problem(), (503, "too-many-open".into()));
    assert!(alertmanager.has("retry-after: 30"));
    let disk = get(&ops.server, "/api/v1/incidents?limit=1").await.json()["data"][0].clone();
    assert_eq!((&disk["status"], &disk["trigger_count"]), (&json!("resolved"), &json!(2)), "the others were taken");
    assert_eq!(ops.server.metric("roomcast_incidents_refused_total", "").await, 3);
    assert_eq!(ops.event("trigger", "cpu").await["action"], "triggered", "there is room again");
}

#[tokio::test]
async fn a_limit_is_a_number_that_means_something() {
    for (most, expected) in
        [(json!(0), 400), (json!(50_001), 400), (json!(50_000), 200), (json!("many"), 400), (Value::Null, 200)]
    {
        assert_eq!(limited(most.clone()).await.1, expected, "{most}");
    }
}
