//! REST for services and operators.

use crate::config::Settings;
use crate::hub::Hub;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

/// What the handlers need.
#[derive(Debug, Clone)]
pub struct Api {
    hub: Hub,
    metrics: Metrics,
}

impl Api {
    /// The API of this node.
    #[must_use]
    pub fn new(_settings: &Settings, hub: Hub, metrics: Metrics) -> Self {
        Self { hub, metrics }
    }
}

/// Routes on the public address.
pub fn public_router(api: Api) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(api)
}

/// Routes on the operators' address.
pub fn admin_router(api: Api) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(api)
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(api): State<Api>) -> (StatusCode, &'static str) {
    let _rooms = api.hub.namespaces();
    if api.metrics.node().draining.get() > 0 { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") } else { (StatusCode::OK, "ready\n") }
}

async fn metrics(State(api): State<Api>) -> String {
    api.metrics.render()
}
