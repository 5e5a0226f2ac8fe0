//! Incidents as monitoring posts them, as people take care of them, and as their rooms hear of them.

use super::{Answer, get, post, post_text, request};
use crate::store::new_folder;
use crate::support::postgres::database;
use crate::support::{Client, Heard, SECRET, TestServer, eventually, grant, signed};
use roomcast::app::{App, Bus, Claims, DEV_ROUTING_KEY, Mode};
use roomcast::config::Secret;
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::path::PathBuf;

/// When tokens expire.
const LATER: u64 = 4_000_000_000;

/// A server for development with a file of its own: there is a service `demo`, and its key.
pub(super) struct Ops {
    pub(super) server: TestServer,
    pub(super) folder: PathBuf,
}

impl Ops {
    pub(super) async fn start() -> Self {
        let folder = new_folder();
        let server = TestServer::start(|settings| {
            settings.limits.packets_per_second = 0;
            settings.auth.auth_secret = Some(Secret::new(SECRET));
            settings.database.database_url = Some(Secret::new(&file(&folder)));
        });
        eventually!(get(&server, "/api/v1/services").await.json()["data"][0]["slug"] == "demo");
        Self { server, folder }
    }

    /// Somebody who may listen in the rooms of incidents and services, and is in one.
    async fn responder(&self, wire: Wire, room: &str) -> Client {
        let rooms = vec![grant("incident:*", "join"), grant("service:*", "join")];
        let token = signed(&Claims { sub: "ada".into(), exp: LATER, rooms, ..Claims::default() });
        let mut client = Client::with_token(&self.server, wire, &token).await;
        client.join(room).await.unwrap();
        client
    }

    /// Posts an event of monitoring.
    pub(super) async fn event(&self, action: &str, dedup_key: &str) -> Value {
        let answer = post(&self.server, "/v2/enqueue", event(action, dedup_key)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()
    }

    /// The incident that was opened last.
    async fn newest(&self) -> Value {
        get(&self.server, "/api/v1/incidents?limit=1").await.json()["data"][0].clone()
    }

    async fn act(&self, incident: &Value, action: &str, body: Value) -> Answer {
        post(&self.server, &format!("{}/{action}", path(incident)), body).await
    }

    async fn timeline(&self, incident: &Value, after: i64) -> Vec<String> {
        let answer = get(&self.server, &format!("{}/timeline?after_seq={after}", path(incident))).await.json();
        let events = answer["data"].as_array().unwrap().iter();
        events.map(|event| event["type"].as_str().unwrap().trim_start_matches("incident.").to_owned()).collect()
    }
}

impl Drop for Ops {
    fn drop(&mut self) {
        // A folder that stays is no fault of the test.
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

fn file(folder: &std::path::Path) -> String {
    format!("sqlite:{}", folder.join("ops.sqlite").display())
}

fn path(incident: &Value) -> String {
    format!("/api/v1/incidents/{}", incident["id"].as_str().unwrap())
}

pub(super) fn event(action: &str, dedup_key: &str) -> Value {
    json!({
        "routing_key": DEV_ROUTING_KEY, "event_action": action, "dedup_key": dedup_key,
        "payload": {"summary": "disk full", "source": "db-1", "severity": "critical", "custom_details": {"free": 0}},
    })
}

fn kind(heard: &Heard) -> (String, i64) {
    (heard.event.clone(), heard.args[0]["seq"].as_i64().unwrap())
}

#[tokio::test]
async fn an_event_of_monitoring_is_heard_once_by_whoever_is_in_its_rooms() {
    let ops = Ops::start().await;
    let mut board = ops.responder(Wire::SocketIo, "incidents").await;
    board.join("service:demo").await.unwrap();
    let taken = ops.event("trigger", "disk").await;
    assert_eq!(
        (&taken["status"], &taken["dedup_key"], &taken["action"]),
        (&json!("success"), &json!("disk"), &json!("triggered"))
    );
    let heard = board.heard().await;
    assert_eq!(kind(&heard), ("incident.triggered".into(), 1));
    let (said, incident) = (&heard.args[0], ops.newest().await);
    assert_eq!(said["data"]["incident"], incident, "the event carries the incident");
    assert_eq!((&incident["title"], &incident["severity"]), (&json!("disk full"), &json!("critical")));
    assert_eq!(incident["details"]["custom_details"], json!({"free": 0}));
    let rooms = [format!("incident:{}", incident["id"].as_str().unwrap()), "service:demo".into(), "incidents".into()];
    assert_eq!(said["rooms"], json!(rooms));

    let mut witness = ops.responder(Wire::Json, &rooms[0]).await;
    board.join(&rooms[0]).await.unwrap();
    assert_eq!(ops.event("trigger", "disk").await["action"], "deduplicated");
    assert_eq!(ops.event("acknowledge", "disk").await["action"], "acknowledged");
    assert_eq!(ops.event("resolve", "disk").await["action"], "resolved");
    assert_eq!(ops.event("resolve", "disk").await["action"], "ignored");
    for client in [&mut board, &mut witness] {
        for expected in [("incident.retriggered", 2), ("incident.acknowledged", 3), ("incident.resolved", 4)] {
            let heard = client.heard().await;
            assert_eq!(kind(&heard), (expected.0.to_owned(), expected.1));
        }
    }
    assert_eq!(ops.event("trigger", "disk").await["action"], "triggered", "a new incident");
    assert_eq!(board.heard().await.args[0]["data"]["incident"]["previous_id"], incident["id"]);
    eventually!(ops.server.metric("roomcast_outbox_relayed_total", "").await == 5);
    let health = request(ops.server.admin, "GET", "/health", "", "").await.json();
    assert_eq!((&health["status"], &health["database"]["connected"]), (&json!("ok"), &json!(true)));
}

#[tokio::test]
async fn what_people_do_is_numbered_and_whoever_knows_less_changes_nothing() {
    let ops = Ops::start().await;
    ops.event("trigger", "disk").await;
    let incident = ops.newest().await;
    let found = get(&ops.server, &path(&incident)).await;
    assert!(found.has("etag: \"1\""), "{found:?}");
    let acknowledged = ops.act(&incident, "acknowledge", json!({"by": "Ada"})).await;
    assert_eq!((acknowledged.status, &acknowledged.json()["status"]), (200, &json!("acknowledged")));
    assert!(acknowledged.has("etag: \"2\""));
    assert_eq!(ops.act(&incident, "acknowledge", json!({})).await.json()["seq"], 2, "it is so already");
    let edit = |headers: &'static str, body: Value| {
        let (server, path) = (&ops.server, path(&incident));
        async move {
            let headers = format!("Content-Type: application/json\r\n{headers}");
            request(server.public, "PATCH", &path, &headers, &body.to_string()).await
        }
    };
    let stale = edit("If-Match: \"1\"\r\n", json!({"severity": "info"})).await;
    assert_eq!(stale.problem(), (412, "stale-version".into()));
    let edited = edit("If-Match: \"2\"\r\n", json!({"severity": "info", "assignee": "ada"})).await;
    assert_eq!((edited.status, &edited.json()["seq"], &edited.json()["assignee"]), (200, &json!(4), &json!("ada")));
    assert_eq!(edit("If-Match: soon\r\n", json!({"severity": "info"})).await.problem().0, 400);
    assert_eq!(edit("", json!({"severity": "bad"})).await.problem(), (400, "bad-packet".into()));
    assert_eq!(ops.act(&incident, "snooze", json!({"until": "2001-01-01T00:00:00Z"})).await.problem().0, 400);
    assert_eq!(ops.act(&incident, "snooze", json!({"until": "2100-01-01T00:00:00Z"})).await.problem().0, 400);
    assert_eq!(ops.act(&incident, "notes", json!({"text": "on it ☂", "by": "Ada"})).await.status, 201);
    assert_eq!(ops.act(&incident, "notes", json!({"text": ""})).await.problem().0, 400);
    assert_eq!(ops.act(&incident, "resolve", json!({})).await.json()["status"], "resolved");
    for (action, body) in [("acknowledge", json!({})), ("unacknowledge", json!({}))] {
        assert_eq!(ops.act(&incident, action, body).await.problem(), (409, "incident-state".into()), "{action}");
    }
    assert_eq!(ops.act(&incident, "resolve", json!({})).await.status, 200);
    let expected = ["triggered", "acknowledged", "severity_updated", "reassigned", "annotated", "resolved"];
    assert_eq!(ops.timeline(&incident, 0).await, expected);
    assert_eq!(ops.timeline(&incident, 4).await, expected[4..]);
    let notes = get(&ops.server, &format!("{}/notes", path(&incident))).await.json();
    assert_eq!(
        (&notes["data"][0]["data"], &notes["data"][0]["actor"]["name"]),
        (&json!({"text": "on it ☂"}), &json!("Ada"))
    );
    for missing in ["/api/v1/incidents/0", "/api/v1/incidents/0192a000-0000-7000-8000-000000000000/timeline"] {
        assert_eq!(get(&ops.server, missing).await.problem(), (404, "not-found".into()), "{missing}");
    }
}

#[tokio::test]
async fn an_incident_is_opened_once_for_a_request_and_once_for_a_key() {
    let ops = Ops::start().await;
    let open = |headers: &'static str, body: Value| {
        let server = &ops.server;
        async move {
            let headers = format!("Content-Type: application/json\r\n{headers}");
            request(server.public, "POST", "/api/v1/incidents", &headers, &body.to_string()).await
        }
    };
    let body =
        json!({"service": "demo", "title": "by hand", "severity": "warning", "dedup_key": "k", "details": {"n": 1}});
    let first = open("Idempotency-Key: a\r\n", body.clone()).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = open("Idempotency-Key: a\r\n", body.clone()).await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    let location = format!("location: {}", path(&first.json()));
    assert!(first.has(&location) && again.has(&location));
    let other = json!({"service": "demo", "title": "other", "severity": "info"});
    assert_eq!(open("Idempotency-Key: a\r\n", other.clone()).await.problem(), (422, "idempotency-mismatch".into()));
    let conflict = open("", body.clone()).await;
    assert_eq!(conflict.problem(), (409, "dedup-conflict".into()));
    assert_eq!(conflict.json()["incident"], first.json()["id"]);
    assert_eq!(open("", other).await.status, 201);
    for (field, value, status) in [
        ("service", json!("none"), 404),
        ("title", json!(""), 400),
        ("severity", json!("bad"), 400),
        ("dedup_key", json!("x".repeat(256)), 400),
        ("assignee", json!("a\u{0}"), 400),
        ("unknown", json!(1), 400),
    ] {
        let mut bad = body.clone();
        bad[field] = value;
        let problem = open("", bad).await;
        assert_eq!(problem.problem().0, status, "{field}");
        assert!(problem.body.contains(field), "the problem names {field}: {problem:?}");
    }
    let page = get(&ops.server, "/api/v1/incidents?limit=1&status=open").await.json();
    let next =
        get(&ops.server, &format!("/api/v1/incidents?limit=1&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((&page["data"][0]["title"], &next.json()["data"][0]["title"]), (&json!("other"), &json!("by hand")));
    assert_eq!(next.json()["next_cursor"], Value::Null);
    for bad in ["limit=0", "limit=201", "cursor=x", "status=bad", "since=today", "other=1"] {
        assert_eq!(get(&ops.server, &format!("/api/v1/incidents?{bad}")).await.problem().0, 400, "{bad}");
    }
}

#[tokio::test]
async fn services_have_keys_that_open_until_they_are_revoked() {
    let ops = Ops::start().await;
    let made = post(&ops.server, "/api/v1/services", json!({"slug": "api", "name": "The API"})).await;
    assert_eq!((made.status, &made.json()["maintenance_until"]), (201, &Value::Null));
    assert_eq!(post(&ops.server, "/api/v1/services", json!({"slug": "api"})).await.problem(), (409, "conflict".into()));
    for bad in ["", "API", "a/b", &"x".repeat(65)] {
        assert_eq!(post(&ops.server, "/api/v1/services", json!({"slug": bad})).await.problem().0, 400, "{bad}");
    }
    let key = post(&ops.server, "/api/v1/services/api/keys", json!({"name": "prometheus"})).await.json();
    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let listed = get(&ops.server, "/api/v1/services/api/keys").await;
    assert!(listed.body.contains(id) && !listed.body.contains(secret));

    let alert = |status: &str, fingerprint: &str| json!({"status": status, "fingerprint": fingerprint, "labels": {"alertname": "Disk"}, "startsAt": "2026-01-01T00:00:00Z"});
    let notify =
        |alerts: Vec<Value>| json!({"version": "4", "groupKey": "g", "status": "firing", "alerts": alerts, "new": 1});
    let hook = format!("/api/v1/integrations/alertmanager/{secret}");
    let results = |answer: Answer| {
        assert_eq!(answer.status, 202, "{answer:?}");
        let results = answer.json()["results"].as_array().unwrap().clone();
        results.into_iter().map(|result| result["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let both = notify(vec![alert("firing", "f1"), alert("firing", "f2")]);
    assert_eq!(results(post(&ops.server, &hook, both).await), ["triggered", "triggered"]);
    let more = notify(vec![alert("firing", "f1"), alert("resolved", "f2"), alert("resolved", "f3")]);
    assert_eq!(results(post(&ops.server, &hook, more).await), ["deduplicated", "resolved", "ignored"]);
    let old = json!({"version": "3", "alerts": []});
    assert_eq!(post(&ops.server, &hook, old).await.problem().0, 400);
    let open = get(&ops.server, "/api/v1/incidents?service=api&status=open").await.json();
    assert_eq!((open["data"].as_array().unwrap().len(), &open["data"][0]["title"]), (1, &json!("Disk")));

    let maintenance = json!({"name": "The API", "maintenance_until": "2100-01-01T00:00:00Z"}).to_string();
    let json_type = "Content-Type: application/json\r\n";
    let changed = request(ops.server.public, "PUT", "/api/v1/services/api", json_type, &maintenance).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let hidden = get(&ops.server, "/api/v1/incidents?service=api&status=suppressed").await.json();
    assert_eq!(hidden["data"][0]["id"], open["data"][0]["id"]);
    let over = json!({"name": "The API"}).to_string();
    request(ops.server.public, "PUT", "/api/v1/services/api", json_type, &over).await;
    eventually!(get(&ops.server, &path(&open["data"][0])).await.json()["status"] == "triggered");

    let remove = async |path: String| request(ops.server.public, "DELETE", &path, "", "").await;
    assert_eq!(remove(format!("/api/v1/services/api/keys/{id}")).await.status, 204);
    assert_eq!(remove(format!("/api/v1/services/api/keys/{id}")).await.problem().0, 404);
    assert_eq!(post(&ops.server, &hook, notify(vec![])).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(remove("/api/v1/services/api".into()).await.problem(), (409, "conflict".into()));
    post(&ops.server, "/api/v1/services", json!({"slug": "empty"})).await;
    assert_eq!(remove("/api/v1/services/empty".into()).await.status, 204);
}

#[tokio::test]
async fn what_is_no_event_is_refused_in_the_form_of_its_door() {
    let ops = Ops::start().await;
    let refused = async |body: &str, status: u16, word: &str| {
        let answer = post_text(&ops.server, "/v2/enqueue", body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["errors"].is_array() && answer.body.contains(word), "{word}: {answer:?}");
    };
    refused("", 400, "invalid event").await;
    refused("{}", 400, "routing_key").await;
    let changed = |pointer: &str, value: Value| {
        let mut body = event("trigger", "k");
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    refused(&changed("/routing_key", json!("unknown")), 400, "routing_key").await;
    let taken_up = ops.server.metric("roomcast_db_operations_total", "operation=\"ingest\"").await;
    assert_eq!(taken_up, 0, "strangers do not wait among those who are known");
    refused(&changed("/event_action", json!("page")), 400, "event_action").await;
    refused(&changed("/payload/severity", json!("bad")), 400, "severity").await;
    refused(&changed("/payload/summary", json!("")), 400, "summary").await;
    refused(&changed("/payload/custom_details", json!("x".repeat(513 * 1024))), 413, "bytes").await;
    let none = TestServer::start(|_| ());
    assert_eq!(get(&none, "/api/v1/incidents").await.problem(), (404, "not-found".into()));
    assert_eq!(post(&none, "/v2/enqueue", event("trigger", "k")).await.status, 404);
}

#[tokio::test]
async fn without_its_database_a_server_says_so_and_its_rooms_go_on() {
    let server = TestServer::start_as(Mode::Authenticated, |settings| {
        settings.auth.auth_secret = Some(Secret::new(SECRET));
        settings.auth.api_keys = vec!["0123456789abcdef".parse().unwrap()];
        settings.database = database("postgres://nobody@127.0.0.1:1/none?sslmode=disable");
    });
    let answer = post(&server, "/v2/enqueue", event("trigger", "k")).await;
    assert!(answer.status == 503 && answer.has("retry-after: 1"), "{answer:?}");
    let key = "Authorization: Bearer 0123456789abcdef\r\nContent-Type: application/json\r\n";
    let answer = request(server.public, "GET", "/api/v1/incidents", key, "").await;
    assert_eq!(answer.problem(), (503, "database-unavailable".into()));
    let body = json!({"event": "e", "data": 1}).to_string();
    assert_eq!(request(server.public, "POST", "/api/v1/rooms/r/events", key, &body).await.status, 202);
    assert_eq!(server.metric("roomcast_db_up", "").await, 0);
    let health = request(server.admin, "GET", "/health", "", "").await.json();
    assert_eq!((&health["status"], &health["database"]["connected"]), (&json!("degraded"), &json!(false)));
    assert_eq!(health["database"]["pool"]["max"], 10);
}

#[tokio::test]
async fn what_waited_in_the_outbox_is_said_after_a_restart() {
    use roomcast::lifecycle::Lifecycle;
    use roomcast::metrics::Metrics;
    use roomcast::store::Store;
    let (folder, bus) = (new_folder(), Bus::default());
    let settings = database(&file(&folder));
    // Written by a process that was killed before it could say so.
    let (metrics, lifecycle) = (Metrics::new(1), Lifecycle::default());
    let store = Box::pin(Store::open(&settings, &metrics.node().database, &lifecycle)).await.unwrap().unwrap();
    let service = crate::store::service("api");
    store.services.create_service(service.clone()).await.unwrap();
    store.services.create_key(crate::store::key(&service, crate::store::KEY)).await.unwrap();
    for n in 0..3 {
        store.incidents.ingest(crate::store::trigger("disk", crate::store::NOW + n)).await.unwrap().unwrap();
    }
    store.close();
    drop(store);
    assert!(lifecycle.drain(crate::support::PATIENCE).await.is_empty());

    let elsewhere = TestServer::on_bus(&bus);
    let mut member = Client::member(&elsewhere, Wire::SocketIo, "incidents").await;
    let again = TestServer::start_with(App::builder().bus(&bus), Mode::Open, |open| open.database = settings.clone());
    for (expected, seq) in [("incident.triggered", 1), ("incident.retriggered", 2), ("incident.retriggered", 3)] {
        assert_eq!(kind(&member.heard().await), (expected.to_owned(), seq));
    }
    eventually!(again.metric("roomcast_outbox_depth", "").await == 0);
    assert!(again.shutdown().await.is_empty(), "nothing of the database is left");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn an_incident_that_cannot_be_woken_keeps_no_other_asleep() {
    let ops = Ops::start().await;
    let mut incidents = Vec::new();
    for key in ["stuck", "behind"] {
        ops.event("trigger", key).await;
        let incident = ops.newest().await;
        let until = json!({"until": jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)});
        assert_eq!(ops.act(&incident, "snooze", until).await.json()["status"], "snoozed");
        incidents.push(incident);
    }
    let database = rusqlite::Connection::open(ops.folder.join("ops.sqlite")).unwrap();
    let due = "CREATE TRIGGER stuck BEFORE UPDATE OF status ON incidents WHEN old.dedup_key = 'stuck'
                 BEGIN SELECT raise(ABORT, 'stuck'); END;
               BEGIN;
               UPDATE incidents SET wakes_at = 2 WHERE dedup_key = 'behind';
               UPDATE incidents SET wakes_at = 1 WHERE dedup_key = 'stuck';
               COMMIT;";
    database.execute_batch(due).unwrap();
    eventually!(get(&ops.server, &path(&incidents[1])).await.json()["status"] == "triggered");
    assert_eq!(get(&ops.server, &path(&incidents[0])).await.json()["status"], "snoozed");
    database.execute_batch("DROP TRIGGER stuck").unwrap();
    eventually!(get(&ops.server, &path(&incidents[0])).await.json()["status"] == "triggered");
}
