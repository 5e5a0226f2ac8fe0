//! Groups of alerts as Alertmanager tells of them: one incident for each, if that is asked for.

use super::incidents::Ops;
use super::{Answer, get, post};
use roomcast::app::DEV_ROUTING_KEY;
use serde_json::{Value, json};

fn notification(group: &str, status: &str, alerts: &[(&str, &str)]) -> Value {
    let alert = |(status, fingerprint): &(&str, &str)| json!({"status": status, "fingerprint": fingerprint, "labels": {"alertname": "Disk", "severity": "error"}});
    json!({
        "version": "4", "groupKey": group, "status": status, "commonAnnotations": {"summary": "disks are full"},
        "groupLabels": {"cluster": "a"}, "alerts": alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

async fn notify(ops: &Ops, query: &str, body: Value) -> Answer {
    post(&ops.server, &format!("/api/v1/integrations/alertmanager/{DEV_ROUTING_KEY}{query}"), body).await
}

async fn outcome(ops: &Ops, body: Value) -> (String, String) {
    let answer = notify(ops, "?group_by=group", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 1, "one for all alerts");
    let text = |field: &str| results[0][field].as_str().unwrap().to_owned();
    (text("dedup_key"), text("action"))
}

#[tokio::test]
async fn a_group_of_alerts_is_one_incident_until_all_are_resolved() {
    let ops = Ops::start().await;
    let long = format!("{{}}:{{cluster=\"{}\"}}", "a".repeat(1_000));
    let (key, action) = outcome(&ops, notification(&long, "firing", &[("firing", "f1"), ("firing", "f2")])).await;
    assert_eq!((action.as_str(), key.len() <= 255), ("triggered", true));
    let one_left = notification(&long, "firing", &[("resolved", "f1"), ("firing", "f2")]);
    assert_eq!(outcome(&ops, one_left).await, (key.clone(), "deduplicated".into()));
    let (other, _) = outcome(&ops, notification("other", "firing", &[("firing", "f1")])).await;
    assert_ne!(other, key);
    let open = get(&ops.server, "/api/v1/incidents?status=open").await.json();
    assert_eq!(open["data"].as_array().unwrap().len(), 2);
    let incident = &open["data"][1];
    assert_eq!(
        (&incident["title"], &incident["severity"], &incident["trigger_count"]),
        (&json!("disks are full"), &json!("error"), &json!(2))
    );
    assert_eq!((&incident["dedup_key"], &incident["details"]["groupKey"]), (&json!(key), &json!(long)));
    let over = notification(&long, "resolved", &[("resolved", "f1"), ("resolved", "f2")]);
    assert_eq!(outcome(&ops, over.clone()).await, (key.clone(), "resolved".into()));
    assert_eq!(outcome(&ops, over).await, (key, "ignored".into()));
}

#[tokio::test]
async fn what_cannot_be_grouped_is_named_and_alerts_stay_alone_unless_asked() {
    let ops = Ops::start().await;
    let body = || notification("g", "firing", &[("firing", "f1"), ("firing", "f2")]);
    for query in ["", "?group_by=alert"] {
        let answer = notify(&ops, query, body()).await.json();
        assert_eq!(
            (&answer["results"][0]["dedup_key"], &answer["results"][1]["dedup_key"]),
            (&json!("f1"), &json!("f2"))
        );
    }
    for (query, pointer, value, named) in [
        ("?group_by=label", "/status", json!("firing"), "group_by"),
        ("?group_by=group", "/status", json!("on"), "status"),
        ("?group_by=group", "/groupKey", json!(""), "groupKey"),
        ("?group_by=group&other=1", "/status", json!("firing"), "other"),
    ] {
        let mut bad = body();
        *bad.pointer_mut(pointer).unwrap() = value;
        let answer = notify(&ops, query, bad).await;
        assert_eq!(answer.problem().0, 400, "{named}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(named), "{answer:?}");
    }
}
