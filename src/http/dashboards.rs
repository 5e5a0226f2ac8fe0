//! Dashboards: what their rooms show, for whoever asks once.

use super::Api;
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::dashboard::{Shown, scope_of};
use crate::store::DashboardScope;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

/// How long whoever asked may keep the answer: as old may a snapshot be anyway.
const CACHED: HeaderValue = HeaderValue::from_static("private, max-age=5");

/// See how everything stands
///
/// What the room `dashboard:global` shows: open incidents by status, severity and service, how long it takes until somebody
/// takes care of them, what happened in the last hour, and who is online.
#[utoipa::path(
    get, path = "/api/v1/dashboards/global", tag = "dashboards", operation_id = "global_dashboard",
    responses(
        (status = 200, description = "The newest snapshot", body = serde_json::Value),
        (status = 304, description = "It is the one that `If-None-Match` names"),
    ),
)]
pub(super) async fn global(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    api.dashboard(DashboardScope::Global, &headers).await
}

/// See how a service stands
///
/// What the room `dashboard:service:{slug}` shows.
#[utoipa::path(
    get, path = "/api/v1/dashboards/service/{slug}", tag = "dashboards", operation_id = "service_dashboard",
    params(("slug" = String, Path, description = "Slug of the service")),
    responses(
        (status = 200, description = "The newest snapshot", body = serde_json::Value),
        (status = 304, description = "It is the one that `If-None-Match` names"),
        (status = 404, description = "There is no such service", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn service(
    State(api): State<Api>,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.dashboard(scope_of("service", &slug).ok_or_else(nothing)?, &headers).await
}

/// See how the services of a team stand
///
/// What the room `dashboard:team:{team}` shows.
#[utoipa::path(
    get, path = "/api/v1/dashboards/team/{team}", tag = "dashboards", operation_id = "team_dashboard",
    params(("team" = String, Path, description = "The team that services name")),
    responses(
        (status = 200, description = "The newest snapshot", body = serde_json::Value),
        (status = 304, description = "It is the one that `If-None-Match` names"),
        (status = 404, description = "No service names this team", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn team(
    State(api): State<Api>,
    Path(team): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.dashboard(scope_of("team", &team).ok_or_else(nothing)?, &headers).await
}

impl Api {
    async fn dashboard(&self, scope: DashboardScope, headers: &HeaderMap) -> Result<Response, Problem> {
        let Some(kept) = &self.kept else { return Err(Problem::not_found("this server has no database")) };
        let snapshot = match kept.dashboards.show(&scope).await {
            Shown::Snapshot(snapshot) => snapshot,
            Shown::Missing => return Err(nothing()),
            Shown::Unavailable => return Err(Problem::database_unavailable("there is no snapshot at the moment")),
        };
        let version = format!("\"{}\"", snapshot.seq);
        let is_known = |header: &HeaderValue| {
            header.to_str().is_ok_and(|known| known.split(',').any(|known| known.trim() == version || known == "*"))
        };
        let fresh = headers.get_all(IF_NONE_MATCH).iter().any(is_known);
        let mut answer: Vec<(HeaderName, HeaderValue)> = vec![(CACHE_CONTROL, CACHED)];
        answer.extend(HeaderValue::from_str(&version).map(|version| (ETAG, version)));
        let mut response = if fresh {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            answer.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
            String::from(&*snapshot.text).into_response()
        };
        response.headers_mut().extend(answer);
        Ok(response)
    }
}

fn nothing() -> Problem {
    Problem::not_found("there is no such service, or no service of such a team")
}
