//! Requests of the HTTP API and of operators: how many, how they were answered, how long that took, and keys refused.
//!
//! Routes are the templates of a fixed list, so strangers add no time series.

use super::NodeStats;
use super::cells::{Cell, Histogram};
use super::samples::{counters, histogram, labelled_counters};
use prometheus::proto::MetricFamily;
use std::array::from_fn;

/// The routes that are counted by name. Whatever is not here is `other`, the last.
pub const ROUTES: [&str; 41] = [
    "/api/v1/events",
    "/api/v1/nodes",
    "/api/v1/rooms",
    "/api/v1/rooms/{room}",
    "/api/v1/rooms/{room}/events",
    "/api/v1/rooms/{room}/members",
    "/api/v1/sessions",
    "/api/v1/sessions/{sid}",
    "/api/v1/sessions/{sid}/events",
    "/api/v1/sessions/{sid}/tap",
    "/api/v1/users/{user}/disconnect",
    "/api/v1/users/{user}/join",
    "/api/v1/users/{user}/leave",
    "/api/v1/tokens/{jti}/revoke",
    "/api/v1/incidents",
    "/api/v1/incidents/{id}",
    "/api/v1/incidents/{id}/acknowledge",
    "/api/v1/incidents/{id}/unacknowledge",
    "/api/v1/incidents/{id}/resolve",
    "/api/v1/incidents/{id}/snooze",
    "/api/v1/incidents/{id}/notes",
    "/api/v1/incidents/{id}/timeline",
    "/api/v1/incidents/{id}/alerts",
    "/api/v1/dashboards/global",
    "/api/v1/dashboards/service/{slug}",
    "/api/v1/dashboards/team/{team}",
    "/api/v1/services",
    "/api/v1/services/{slug}",
    "/api/v1/services/{slug}/keys",
    "/api/v1/services/{slug}/keys/{key}",
    "/api/v1/integrations/alertmanager/{key}",
    "/v2/enqueue",
    "/",
    "/openapi.json",
    "/page.json",
    "/ui/{build}/{*path}",
    "/livez",
    "/readyz",
    "/health",
    "/metrics",
    "other",
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];

const STATUSES: [&str; 22] = [
    "200", "201", "202", "204", "304", "400", "401", "403", "404", "405", "408", "409", "412", "413", "415", "422",
    "429", "500", "503", "504", "431", "other",
];

/// Why a key of the API was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRefusal {
    /// There was none.
    Missing,
    /// Nobody knows it.
    Unknown,
    /// It does not have the scope of the route.
    Scope,
}

impl KeyRefusal {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Missing, Self::Unknown, Self::Scope];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Scope => "scope",
        }
    }
}

/// What is counted of requests, from any thread.
#[derive(Debug)]
pub struct HttpStats {
    routes: Box<[RouteStats; ROUTES.len()]>,
    keys_refused: [Cell; KeyRefusal::ALL.len()],
}

#[derive(Debug, Default)]
struct RouteStats {
    requests: [[Cell; STATUSES.len()]; METHODS.len()],
    duration: Histogram,
}

impl Default for HttpStats {
    fn default() -> Self {
        Self { routes: Box::new(from_fn(|_| RouteStats::default())), keys_refused: from_fn(|_| Cell::default()) }
    }
}

impl HttpStats {
    /// Counts a request that was answered.
    pub fn answered(&self, route: &str, method: &str, status: &str, us: u64) {
        let stats = &self.routes[place(&ROUTES, route)];
        stats.requests[place(&METHODS, method)][place(&STATUSES, status)].add_shared(1);
        stats.duration.observe_shared(us);
    }

    /// Counts a key that was refused.
    pub fn key_refused(&self, why: KeyRefusal) {
        self.keys_refused[why as usize].add_shared(1);
    }
}

/// Where a word stands in a list whose last entry is for all others.
fn place(list: &[&str], word: &str) -> usize {
    list.iter().position(|known| *known == word).unwrap_or(list.len() - 1)
}

impl NodeStats {
    /// The metrics about HTTP requests.
    pub(super) fn requests(&self) -> Vec<MetricFamily> {
        let http = &self.http;
        let refused = KeyRefusal::ALL.map(|why| (why.label(), http.keys_refused[why as usize].get()));
        // Most combinations never occur. What is always there is a path with nothing at it.
        let always = (ROUTES.len() - 1, 0, place(&STATUSES, "404"));
        let mut requests = Vec::new();
        for (r, route) in http.routes.iter().enumerate() {
            for (m, method) in route.requests.iter().enumerate() {
                for (s, cell) in method.iter().enumerate().filter(|(s, cell)| cell.get() > 0 || (r, m, *s) == always) {
                    let labels = vec![("method", METHODS[m]), ("route", ROUTES[r]), ("status", STATUSES[s])];
                    requests.push((labels, cell.get()));
                }
            }
        }
        let durations = http.routes.iter().zip(ROUTES).filter(|(stats, route)| *route == "other" || stats.is_used());
        vec![
            labelled_counters("roomcast_http_requests_total", "HTTP requests answered, by route.", requests),
            histogram(
                "roomcast_http_request_duration_seconds",
                "From the head of an HTTP request to the head of its answer.",
                durations.map(|(stats, route)| (vec![("route", route)], vec![&stats.duration])),
            ),
            counters("roomcast_api_keys_refused_total", "Keys of the HTTP API refused.", "reason", refused),
        ]
    }
}

impl RouteStats {
    fn is_used(&self) -> bool {
        self.requests.iter().flatten().any(|cell| cell.get() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn requests_are_counted_by_template_and_strangers_add_no_series() {
        let metrics = Metrics::new(1);
        let http = &metrics.node().http;
        http.answered("/livez", "GET", "200", 300);
        http.answered("/livez", "GET", "200", 300);
        for i in 0..100 {
            http.answered(&format!("/{i}"), &format!("M{i}"), "599", 1);
        }
        http.key_refused(KeyRefusal::Unknown);
        let text = metrics.render(0);
        for line in [
            "roomcast_http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 2",
            "roomcast_http_requests_total{method=\"other\",route=\"other\",status=\"other\"} 100",
            "roomcast_http_request_duration_seconds_bucket{route=\"/livez\",le=\"0.001\"} 2",
            "roomcast_http_request_duration_seconds_count{route=\"other\"} 100",
            "roomcast_api_keys_refused_total{reason=\"unknown\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
        let series = text.lines().filter(|line| line.starts_with("roomcast_http_requests_total{")).count();
        assert_eq!(series, 3, "{text}");
    }
}
