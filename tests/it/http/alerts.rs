//! What monitoring said of an incident, as the API shows it.

use super::get;
use super::incidents::Ops;
use serde_json::{Value, json};

async fn alerts(ops: &Ops, incident: &str, query: &str) -> Value {
    let answer = get(&ops.server, &format!("/api/v1/incidents/{incident}/alerts{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn actions(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|alert| alert["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_monitoring_said_of_an_incident_is_there_word_by_word() {
    let ops = Ops::start().await;
    for action in ["resolve", "trigger", "trigger", "acknowledge", "resolve", "resolve"] {
        ops.event(action, "disk").await;
    }
    let listed = get(&ops.server, "/api/v1/incidents?limit=1").await.json();
    let incident = listed["data"][0]["id"].as_str().unwrap();
    let all = alerts(&ops, incident, "").await;
    assert_eq!(actions(&all), ["resolve", "acknowledge", "trigger", "trigger"], "two resolves found nothing open");
    assert_eq!(all["next_cursor"], Value::Null);
    let first = &all["data"][3];
    assert_eq!((&first["title"], &first["severity"]), (&json!("disk full"), &json!("critical")));
    assert_eq!(first["details"]["custom_details"], json!({"free": 0}));
    assert!(first["received_at"].as_str().unwrap().ends_with('Z') && first["key_id"].is_string(), "{first}");
    let page = alerts(&ops, incident, "?limit=3").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(actions(&alerts(&ops, incident, &format!("?limit=3&cursor={cursor}")).await), ["trigger"]);
    assert_eq!(ops.server.metric("roomcast_alerts_unkept_total", "").await, 0);

    let path = |rest: &str| format!("/api/v1/incidents/{rest}");
    let nobody = get(&ops.server, &path("018bcfe5-6800-7000-8000-000000000000/alerts")).await;
    assert_eq!(nobody.problem(), (404, "not-found".into()));
    for bad in ["?cursor=x", "?limit=0", "?limit=201", "?newest=1"] {
        assert_eq!(get(&ops.server, &path(&format!("{incident}/alerts{bad}"))).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn what_was_done_is_answered_so_even_where_it_cannot_be_kept_word_by_word() {
    let ops = Ops::start().await;
    ops.event("trigger", "disk").await;
    let file = rusqlite::Connection::open(ops.folder.join("ops.sqlite")).unwrap();
    file.execute("DROP TABLE alerts", []).unwrap();
    ops.event("acknowledge", "disk").await;
    let listed = get(&ops.server, "/api/v1/incidents?limit=1").await.json();
    assert_eq!(listed["data"][0]["status"], "acknowledged");
    assert_eq!(ops.server.metric("roomcast_alerts_unkept_total", "").await, 1);
}
