//! What members of a dashboard see, as JSON.

use super::scope;
use crate::hub::{Broadcast, Census, NamespaceId};
use crate::protocol::event::Event;
use crate::protocol::request::RawEvent;
use crate::store::{DashboardScope, Figures, Severity, Took};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::Instant;

/// The event that carries a snapshot.
pub(super) const SNAPSHOT: &str = "\"dashboard.snapshot\"";

/// What nodes tell each other when something has happened; members do not hear it.
pub(super) const CHANGED: &str = "\"dashboard.changed\"";

/// How far the clock of another node may be ahead, in microseconds. What has a greater number no node has said.
const AHEAD_MAX_US: i64 = 60_000_000;

/// The names of [`Figures::WINDOWS`].
const WINDOWS: [&str; Figures::WINDOWS.len()] = ["1h", "24h", "7d"];

/// A snapshot of a scope.
#[derive(Debug)]
pub struct Snapshot {
    /// As JSON.
    pub text: Arc<str>,
    /// Grows from one to the next: when it was taken, in microseconds since 1970.
    pub seq: i64,
    /// When it was seen, here or by another node, or heard of.
    pub(super) seen_at: Instant,
    /// The same for whoever joins: encoded once.
    pub(super) said: Arc<Broadcast>,
}

impl Snapshot {
    pub(super) fn new(scope: &DashboardScope, text: &str, seq: i64, seen_at: Instant) -> Arc<Self> {
        let said = Arc::new(broadcast(vec![scope::room(scope).into()], SNAPSHOT, text));
        Arc::new(Self { text: text.into(), seq, seen_at, said })
    }

    /// A snapshot that another node has taken. `None`: it is none, or it was taken in a future that clocks do not differ by;
    /// `unix` is now, in microseconds since 1970.
    pub(super) fn heard(scope: &DashboardScope, text: &str, seen_at: Instant, unix: i64) -> Option<Arc<Self>> {
        #[derive(Deserialize)]
        struct Head {
            seq: i64,
        }
        let Head { seq } = serde_json::from_str(text).ok()?;
        (seq <= unix.saturating_add(AHEAD_MAX_US)).then(|| Self::new(scope, text, seq, seen_at))
    }
}

/// An event of dashboards.
pub(super) fn broadcast(rooms: Vec<Box<str>>, name: &str, args: &str) -> Broadcast {
    let raw = RawEvent { name, args, arity: u32::from(!args.is_empty()) };
    Broadcast::new(NamespaceId::DEFAULT, rooms, Vec::new(), Event { raw, attachments: &[], ack: None, offset: None })
}

/// The text of a snapshot.
pub(super) fn write(scope: &DashboardScope, figures: &Figures, seq: i64, online: &Census) -> String {
    let open = Figures::OPEN.iter().zip(figures.open);
    let open = open.map(|(status, counts)| (status.as_str().to_owned(), by_severity(counts)));
    let total = [("total".to_owned(), json!(figures.open_total()))];
    let top = figures.top.iter().map(|(service, open)| json!({"service": service, "open": open}));
    let named: u64 = figures.top.iter().map(|(_, open)| open).sum();
    let waited = figures.outbox_oldest.map_or(0, |oldest| (figures.at - oldest).max(0) / 1_000);
    let snapshot = Form {
        scope: scope::show(scope),
        as_of: show_time(figures.at),
        seq,
        services: figures.services,
        open: total.into_iter().chain(open).collect(),
        open_by_service: json!({
            "top": top.collect::<Vec<_>>(),
            "rest": {
                "services": figures.open_services.saturating_sub(figures.top.len() as u64),
                "open": figures.open_total().saturating_sub(named),
            },
        }),
        unacknowledged_over_target: figures.over_target,
        mtta: by_window(&figures.acknowledged),
        mttr: by_window(&figures.resolved),
        per_minute: json!({
            "from": show_time(figures.minutes_from),
            "triggered": figures.triggered_per_minute,
            "resolved": figures.resolved_per_minute,
        }),
        outbox: json!({"depth": figures.outbox_depth, "oldest_age_ms": waited}),
        online: json!({"nodes": online.nodes, "sockets": online.sockets, "members": online.members}),
    };
    serde_json::to_string(&snapshot).unwrap_or_default()
}

/// In the order in which people read it.
#[derive(Serialize)]
struct Form {
    scope: String,
    as_of: String,
    seq: i64,
    services: u64,
    open: serde_json::Map<String, Value>,
    open_by_service: Value,
    unacknowledged_over_target: u64,
    mtta: Value,
    mttr: Value,
    per_minute: Value,
    outbox: Value,
    online: Value,
}

fn by_severity(counts: [u64; Severity::ALL.len()]) -> Value {
    Severity::ALL.iter().zip(counts).map(|(severity, count)| (severity.as_str().to_owned(), json!(count))).collect()
}

fn by_window(took: &[Took; Figures::WINDOWS.len()]) -> Value {
    let seconds = |micros: Option<i64>| micros.map(|micros| millis_as_seconds(micros / 1_000));
    let window = |took: &Took| {
        json!({
            "count": took.count, "mean_secs": seconds(took.mean), "p50_secs": seconds(took.p50),
            "p95_secs": seconds(took.p95),
        })
    };
    WINDOWS.iter().zip(took).map(|(name, took)| ((*name).to_owned(), window(took))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people; a year has 3.2e10 milliseconds")]
fn millis_as_seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}

fn show_time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::FIGURES_MINUTES;

    #[test]
    fn a_snapshot_says_what_was_counted_and_another_node_reads_it() {
        let took = Took { count: 2, mean: Some(1_500_000), p50: Some(1_000_000), p95: Some(2_000_000) };
        let figures = Figures {
            at: 1_700_000_000_000_000,
            services: 3,
            open: [[2, 0, 0, 0], [0, 0, 1, 0], [0; 4], [0; 4]],
            over_target: 1,
            top: vec![("api".into(), 2)],
            open_services: 2,
            acknowledged: [took; 3],
            minutes_from: 1_699_996_440_000_000,
            triggered_per_minute: vec![0; FIGURES_MINUTES],
            resolved_per_minute: vec![0; FIGURES_MINUTES],
            outbox_depth: 4,
            outbox_oldest: Some(1_699_999_999_000_000),
            ..Figures::default()
        };
        let text = write(&DashboardScope::Service("api".into()), &figures, 17, &Census::default());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["scope"], &value["seq"]), (&json!("service:api"), &json!(17)));
        assert_eq!(value["as_of"], "2023-11-14T22:13:20Z");
        assert_eq!(value["open"]["triggered"], json!({"critical": 2, "error": 0, "warning": 0, "info": 0}));
        assert_eq!(value["open"]["total"], 3);
        let rest = json!({"top": [{"service": "api", "open": 2}], "rest": {"services": 1, "open": 1}});
        assert_eq!(value["open_by_service"], rest);
        let hour = json!({"count": 2, "mean_secs": 1.5, "p50_secs": 1.0, "p95_secs": 2.0});
        assert_eq!(value["mtta"]["1h"], hour);
        assert_eq!(value["mttr"]["7d"], json!({"count": 0, "mean_secs": null, "p50_secs": null, "p95_secs": null}));
        assert_eq!(value["per_minute"]["triggered"].as_array().unwrap().len(), 60);
        assert_eq!(value["outbox"], json!({"depth": 4, "oldest_age_ms": 1_000}));
        assert!(text.len() < 4_096, "{}", text.len());
        let heard = Snapshot::heard(&DashboardScope::Global, &text, Instant::now(), 0).unwrap();
        assert_eq!((heard.seq, &*heard.text), (17, text.as_str()));
        assert!(Snapshot::heard(&DashboardScope::Global, "{}", Instant::now(), 0).is_none());
    }

    #[test]
    fn a_snapshot_from_the_future_is_none() {
        let heard = |seq: i64| {
            let text = format!("{{\"seq\":{seq}}}");
            Snapshot::heard(&DashboardScope::Global, &text, Instant::now(), 1_000).map(|heard| heard.seq)
        };
        assert_eq!(heard(1_000 + AHEAD_MAX_US), Some(1_000 + AHEAD_MAX_US), "clocks differ");
        assert_eq!((heard(1_001 + AHEAD_MAX_US), heard(i64::MAX)), (None, None));
    }
}
