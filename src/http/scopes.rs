//! What each request of the API needs its key to be allowed.

use crate::config::Scope;
use axum::http::Method;

/// Method, path, scope. What is not here needs `admin`.
pub(super) const SCOPES: [(&str, &str, Scope); 37] = [
    ("POST", "/api/v1/events", Scope::RoomsPublish),
    ("GET", "/api/v1/rooms", Scope::RoomsRead),
    ("GET", "/api/v1/rooms/{room}", Scope::RoomsRead),
    ("POST", "/api/v1/rooms/{room}/events", Scope::RoomsPublish),
    ("GET", "/api/v1/rooms/{room}/members", Scope::RoomsRead),
    ("GET", "/api/v1/nodes", Scope::SessionsRead),
    ("GET", "/api/v1/sessions", Scope::SessionsRead),
    ("DELETE", "/api/v1/sessions/{sid}", Scope::SessionsWrite),
    ("POST", "/api/v1/sessions/{sid}/events", Scope::SessionsWrite),
    ("GET", "/api/v1/sessions/{sid}/tap", Scope::Admin),
    ("POST", "/api/v1/users/{user}/disconnect", Scope::SessionsWrite),
    ("POST", "/api/v1/users/{user}/join", Scope::SessionsWrite),
    ("POST", "/api/v1/users/{user}/leave", Scope::SessionsWrite),
    ("POST", "/api/v1/tokens/{jti}/revoke", Scope::TokensRevoke),
    ("GET", "/api/v1/incidents", Scope::IncidentsRead),
    ("POST", "/api/v1/incidents", Scope::IncidentsWrite),
    ("GET", "/api/v1/incidents/{id}", Scope::IncidentsRead),
    ("PATCH", "/api/v1/incidents/{id}", Scope::IncidentsWrite),
    ("POST", "/api/v1/incidents/{id}/acknowledge", Scope::IncidentsWrite),
    ("POST", "/api/v1/incidents/{id}/unacknowledge", Scope::IncidentsWrite),
    ("POST", "/api/v1/incidents/{id}/resolve", Scope::IncidentsWrite),
    ("POST", "/api/v1/incidents/{id}/snooze", Scope::IncidentsWrite),
    ("GET", "/api/v1/incidents/{id}/notes", Scope::IncidentsRead),
    ("POST", "/api/v1/incidents/{id}/notes", Scope::IncidentsWrite),
    ("GET", "/api/v1/incidents/{id}/timeline", Scope::IncidentsRead),
    ("GET", "/api/v1/incidents/{id}/alerts", Scope::IncidentsRead),
    ("GET", "/api/v1/dashboards/global", Scope::IncidentsRead),
    ("GET", "/api/v1/dashboards/service/{slug}", Scope::IncidentsRead),
    ("GET", "/api/v1/dashboards/team/{team}", Scope::IncidentsRead),
    ("GET", "/api/v1/services", Scope::IncidentsRead),
    ("POST", "/api/v1/services", Scope::Admin),
    ("GET", "/api/v1/services/{slug}", Scope::IncidentsRead),
    ("PUT", "/api/v1/services/{slug}", Scope::Admin),
    ("DELETE", "/api/v1/services/{slug}", Scope::Admin),
    ("GET", "/api/v1/services/{slug}/keys", Scope::Admin),
    ("POST", "/api/v1/services/{slug}/keys", Scope::Admin),
    ("DELETE", "/api/v1/services/{slug}/keys/{key}", Scope::Admin),
];

/// What a request to a route needs.
pub(super) fn scope_of(method: &Method, route: &str) -> Scope {
    // A HEAD is a GET without its body.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let known = SCOPES.iter().find(|(known, path, _)| *known == method && *path == route);
    known.map_or(Scope::Admin, |(_, _, scope)| *scope)
}
