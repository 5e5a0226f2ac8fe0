//! Goal: whoever looks at a dashboard sees how things stand within a moment, and the database is asked as often for one as for
//! five hundred. Method: whole servers on a database of their own, members in the rooms, and the server's own count of what it
//! asked its database.

mod cluster;
mod crowds;
mod requests;
mod rooms;

use crate::http::post;
use crate::store::new_folder;
use crate::support::postgres::Postgres;
use crate::support::{Client, TestServer, eventually, within};
use roomcast::app::{App, Bus, DEV_ROUTING_KEY, Mode};
use roomcast::config::{Secret, Settings};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Longer than any test: dashboards are refreshed because something has happened, and for no other reason.
const NEVER: Duration = Duration::from_secs(600);

/// A server for development whose dashboards anybody may look at: there is a service `demo`, and its key.
struct Board {
    server: TestServer,
    folder: Option<PathBuf>,
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // A folder that stays is no fault of the test.
            let _left = std::fs::remove_dir_all(folder);
        }
    }
}

impl Board {
    async fn on(url: &str, bus: Option<&Bus>, change: impl FnOnce(&mut Settings)) -> Self {
        let builder = bus.map_or_else(App::builder, |bus| App::builder().bus(bus));
        let server = TestServer::start_with(builder, Mode::Open, |settings| {
            settings.limits.packets_per_second = 0;
            settings.rooms.room_policies = vec!["dashboard:* join=anyone".parse().unwrap()];
            settings.database.database_url = Some(Secret::new(url));
            settings.dashboard.dashboard_floor = Duration::from_millis(50);
            settings.dashboard.dashboard_debounce = Duration::from_millis(20);
            settings.dashboard.dashboard_ceiling = NEVER;
            change(settings);
        });
        eventually!(crate::http::request(server.public, "GET", "/api/v1/services/demo", "", "").await.status == 200);
        Self { server, folder: None }
    }

    async fn sqlite(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = new_folder();
        let mut board = Self::on(&format!("sqlite:{}", folder.join("ops.sqlite").display()), None, change).await;
        board.folder = Some(folder);
        board
    }

    /// `None`: there is no PostgreSQL here.
    async fn postgres(change: impl FnOnce(&mut Settings)) -> Option<Self> {
        let (direct, _) = Postgres::here().await?.database().await;
        Some(Self::on(&direct, None, change).await)
    }

    /// Posts an event of monitoring.
    async fn event(&self, action: &str, dedup_key: &str) {
        let payload = json!({"summary": "disk full", "source": "db-1", "severity": "critical"});
        let event =
            json!({"routing_key": DEV_ROUTING_KEY, "event_action": action, "dedup_key": dedup_key, "payload": payload});
        assert_eq!(post(&self.server, "/v2/enqueue", event).await.status, 202);
    }

    async fn look(&self, room: &str) -> Client {
        Client::member(&self.server, Wire::Json, room).await
    }

    /// How often the database was asked for a dashboard.
    async fn looks(&self) -> u64 {
        let operations = "roomcast_db_operations_total";
        let text = crate::support::http_get(self.server.admin, "/metrics").await.1;
        let asked = text.lines().any(|line| line.starts_with(operations) && line.contains("\"dashboard\""));
        if asked { self.server.metric(operations, "operation=\"dashboard\"").await } else { 0 }
    }

    async fn avoided(&self) -> u64 {
        self.server.metric("roomcast_dashboard_queries_avoided_total", "").await
    }
}

/// The next snapshot that a member is shown.
async fn snapshot(member: &mut Client) -> Value {
    let heard = within("a snapshot", member.heard()).await;
    assert_eq!((heard.event.as_str(), heard.args.len()), ("dashboard.snapshot", 1));
    heard.args[0].clone()
}

/// The first snapshot with so many open incidents.
async fn open(member: &mut Client, total: u64) -> Value {
    loop {
        let snapshot = snapshot(member).await;
        if snapshot["open"]["total"] == total {
            return snapshot;
        }
    }
}
