//! REST for services and operators.
//!
//! The public address has the API under `/api/v1`, its description, and the probes; the operators' address has health
//! and metrics. Every error answer is a [`problem`], whoever found the error.

mod crowd;
mod dashboards;
mod events;
mod health;
mod incidents;
mod input;
mod keys;
mod leftover;
mod monitoring;
mod nodes;
mod openapi;
mod page;
mod problem;
mod rates;
mod rooms;
mod scopes;
mod services;
mod sessions;
mod tap;
mod users;

pub use keys::ApiKeys;
pub use page::Page;

use crate::config::Settings;
use crate::dashboard::Dashboards;
use crate::hub::{Hub, Policies};
use crate::incidents::Incidents;
use crate::lifecycle;
use crate::limiter::Limiter;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use crowd::Places;
use futures_util::FutureExt as _;
use problem::Problem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct Api {
    hub: Hub,
    metrics: Metrics,
    guards: Guards,
    policies: Arc<Policies>,
    taps: tap::Taps,
    kept: Option<Kept>,
    /// The live page, if it is served.
    page: Option<Page>,
    limits: Limits,
    places: Places,
    /// The issuers whose key sets have a name.
    issuers: Arc<[Arc<str>]>,
    node: Arc<str>,
    started: Instant,
}

/// What a database is for.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Incidents.
    pub incidents: Incidents,
    /// How they stand.
    pub dashboards: Dashboards,
}

/// What decides who may ask for what, and how often.
#[derive(Debug, Clone)]
pub struct Guards {
    /// The keys of services.
    pub keys: ApiKeys,
    /// How often they may ask.
    pub limiter: Limiter,
}

/// The limits that requests meet.
#[derive(Debug, Clone, Copy)]
struct Limits {
    body_bytes: usize,
    packet_bytes: usize,
    json_depth: u8,
    /// Rooms that one event may name.
    rooms: usize,
    ack_timeout: Duration,
    revoked_token_ttl: Duration,
    token_leeway: Duration,
}

impl Api {
    /// The API of this node.
    #[must_use]
    pub fn new(
        settings: &Settings,
        hub: Hub,
        metrics: Metrics,
        guards: Guards,
        kept: Option<Kept>,
        node: &str,
    ) -> Self {
        let limits = Limits {
            body_bytes: settings.limits.max_body_bytes,
            packet_bytes: settings.limits.max_packet_bytes,
            json_depth: settings.limits.max_json_depth,
            rooms: settings.limits.max_rooms_per_session,
            ack_timeout: settings.delivery.ack_timeout,
            revoked_token_ttl: settings.auth.revoked_token_ttl,
            token_leeway: settings.auth.auth_leeway,
        };
        // Who may do what is no question here: services may. Only sizes are looked at.
        let policies = Arc::new(Policies::new(&settings.rooms, &settings.delivery, false));
        let taps = tap::Taps::new(&settings.taps);
        let named = settings.auth.auth_jwks_urls.iter().filter_map(|set| set.issuer.as_deref());
        let issuers = named.map(Arc::from).collect();
        let (node, started) = (node.into(), lifecycle::now());
        let places = Places::new(settings.limits.max_requests);
        Self { hub, metrics, guards, policies, taps, kept, page: None, limits, places, issuers, node, started }
    }

    /// The same with the live page, if there is one.
    #[must_use]
    pub fn with_page(self, page: Option<Page>) -> Self {
        Self { page, ..self }
    }

    fn is_draining(&self) -> bool {
        self.metrics.node().draining.get() > 0
    }
}

/// What needs a key.
fn api_routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/api/v1/events", post(events::publish_batch)),
        ("/api/v1/nodes", get(nodes::list)),
        ("/api/v1/rooms", get(rooms::list)),
        ("/api/v1/rooms/{room}", get(rooms::one)),
        ("/api/v1/rooms/{room}/events", post(events::publish)),
        ("/api/v1/rooms/{room}/members", get(rooms::members)),
        ("/api/v1/sessions", get(sessions::list)),
        ("/api/v1/sessions/{sid}", delete(sessions::end)),
        ("/api/v1/sessions/{sid}/events", post(sessions::emit)),
        ("/api/v1/users/{user}/disconnect", post(users::disconnect)),
        ("/api/v1/users/{user}/join", post(users::join)),
        ("/api/v1/users/{user}/leave", post(users::leave)),
        ("/api/v1/tokens/{jti}/revoke", post(users::revoke)),
        ("/api/v1/sessions/{sid}/tap", get(tap::watch)),
        ("/api/v1/incidents", get(incidents::list).post(incidents::create)),
        ("/api/v1/incidents/{id}", get(incidents::one).patch(incidents::edit)),
        ("/api/v1/incidents/{id}/acknowledge", post(incidents::acknowledge)),
        ("/api/v1/incidents/{id}/unacknowledge", post(incidents::unacknowledge)),
        ("/api/v1/incidents/{id}/resolve", post(incidents::resolve)),
        ("/api/v1/incidents/{id}/snooze", post(incidents::snooze)),
        ("/api/v1/incidents/{id}/notes", get(incidents::notes).post(incidents::annotate)),
        ("/api/v1/incidents/{id}/timeline", get(incidents::timeline)),
        ("/api/v1/incidents/{id}/alerts", get(incidents::alerts)),
        ("/api/v1/dashboards/global", get(dashboards::global)),
        ("/api/v1/dashboards/service/{slug}", get(dashboards::service)),
        ("/api/v1/dashboards/team/{team}", get(dashboards::team)),
        ("/api/v1/services", get(services::list).post(services::create)),
        ("/api/v1/services/{slug}", get(services::one).put(services::change).delete(services::remove)),
        ("/api/v1/services/{slug}/keys", get(services::keys).post(services::create_key)),
        ("/api/v1/services/{slug}/keys/{key}", delete(services::revoke_key)),
    ]
}

/// What shows the key of a service.
fn monitoring_routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        (monitoring::ENQUEUE, post(monitoring::enqueue)),
        ("/api/v1/integrations/alertmanager/{key}", post(monitoring::alertmanager)),
    ]
}

/// What anybody may see.
fn open_routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/", get(page::root)),
        ("/openapi.json", get(openapi::document)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
    ]
}

/// What browsers ask for besides the page itself, which is at `/`.
fn page_routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![("/page.json", get(page::about)), ("/ui/{build}/{*path}", get(page::file))]
}

fn admin_routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/health", get(health::health)),
        ("/metrics", get(health::metrics)),
    ]
}

/// Routes on the public address.
pub fn public_router(api: Api) -> Router {
    let guard = from_fn_with_state(api.clone(), keys::require_key);
    let count = from_fn_with_state(api.clone(), monitoring::count);
    let own_name = from_fn_with_state(api.clone(), keys::require_own_name);
    let monitoring = router(monitoring_routes()).route_layer(count).route_layer(own_name);
    let open = router(open_routes()).merge(router(page_routes()));
    let crowd = from_fn_with_state(api.clone(), crowd::only_so_many);
    let answered = router(api_routes()).route_layer(guard).merge(monitoring).route_layer(crowd);
    finish(answered.merge(open), api)
}

/// Routes on the operators' address.
pub fn admin_router(api: Api) -> Router {
    finish(router(admin_routes()), api)
}

fn router(routes: Vec<(&'static str, MethodRouter<Api>)>) -> Router<Api> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

fn finish(router: Router<Api>, api: Api) -> Router {
    router
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .layer(DefaultBodyLimit::max(api.limits.body_bytes))
        .layer(from_fn_with_state(api.clone(), watch))
        .with_state(api)
}

/// Counts requests and refusals, keeps answers out of caches, and turns a panic into an answer.
async fn watch(State(api): State<Api>, request: Request, next: Next) -> Response {
    let probe = matches!(request.uri().path(), "/livez" | "/readyz");
    let (method, began) = (request.method().clone(), lifecycle::now());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (request, body) = leftover::lend(request);
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = outcome.unwrap_or_else(|_| Problem::internal("a handler panicked").into_response());
    let took = u64::try_from(lifecycle::now().saturating_duration_since(began).as_micros()).unwrap_or(u64::MAX);
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    api.metrics.node().http.answered(route, method.as_str(), response.status().as_str(), took);
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && !probe {
        api.metrics.node().http_refused.add_shared(1);
        // What did not come in time was waited for long enough.
        if response.status() != StatusCode::REQUEST_TIMEOUT {
            body.read_on().await;
        }
    }
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::extract::FromRequest as _;
    use axum::http::header::CONTENT_TYPE;
    use clap::Parser as _;
    use futures_util::stream;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    #[derive(Debug, clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        settings: Settings,
    }

    /// An open API without workers: who asks one is answered at once that there is none.
    pub(super) fn api() -> Api {
        let metrics = Metrics::new(1);
        let settings = Defaults::parse_from(["test"]).settings;
        let (hub, _no_workers) =
            Hub::new(vec!["/".into()], 1, &settings, metrics.clone(), crate::adapter::Adapter::alone());
        let limiter = Limiter::new(&settings, metrics.node().clone(), None);
        Api::new(&settings, hub, metrics, Guards { keys: ApiKeys::open(&[]), limiter }, None, "test")
    }

    #[test]
    fn every_route_is_counted_by_name() {
        let open = open_routes().into_iter().chain(page_routes()).chain(admin_routes());
        for (path, _) in api_routes().into_iter().chain(monitoring_routes()).chain(open) {
            assert!(crate::metrics::ROUTES.contains(&path), "{path}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_counted() {
        let api = api();
        let faulty = router(vec![(
            "/",
            get(async || {
                if true {
                    panic!("a test")
                }
            }),
        )]);
        let router = TowerToHyperService::new(finish(faulty, api.clone()));
        let response = router.call(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], problem::PROBLEM_JSON);
        assert_eq!(api.metrics.node().http_refused.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::builder().header(CONTENT_TYPE, "application/json").body(body).unwrap();
        let problem = input::JsonText::from_request(request, &api()).await.unwrap_err();
        assert_eq!(problem.into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
