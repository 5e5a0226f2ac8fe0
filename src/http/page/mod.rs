//! The live page: incidents, dashboards and rooms in a browser. Its files are in the binary, and `web/` is where they are written.

mod bundle;
mod headers;

use super::Api;
use super::incidents::check_text;
use super::input::Params;
use super::openapi::front_door;
use super::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bundle::Bundle;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Longest name that a visitor of a server for development may take, in characters.
const NAME_MAX: usize = 64;

type Sign = dyn Fn(&str) -> anyhow::Result<String> + Send + Sync;

/// That this server has the page, and what it gives to visitors.
#[derive(Clone)]
pub struct Page {
    sign: Option<Arc<Sign>>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.sign.is_some() { "Page(tokens)" } else { "Page" })
    }
}

impl Page {
    /// A page whose visitors bring their own tokens and keys.
    #[must_use]
    pub fn closed() -> Self {
        Self { sign: None }
    }

    /// A page whose visitors are who they say: each gets a token for its name.
    #[must_use]
    pub fn open(sign: impl Fn(&str) -> anyhow::Result<String> + Send + Sync + 'static) -> Self {
        Self { sign: Some(Arc::new(sign)) }
    }
}

/// Who wants to know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AboutParams {
    /// The name that a visitor takes
    user: Option<String>,
}

/// What the page has to know of its server.
#[derive(Debug, Serialize)]
struct About {
    version: &'static str,
    /// What the addresses of the files begin with: another one is another page.
    build: &'static str,
    /// Whether nobody needs a token or a key.
    open: bool,
    /// Whether there are incidents.
    incidents: bool,
    /// A token for the visitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// The page for browsers, and a few lines for everybody else.
pub(super) async fn root(State(api): State<Api>, headers: HeaderMap) -> Response {
    let mut response = match api.page {
        Some(_) if wants_html(&headers) => Bundle::get().index(&headers),
        Some(_) | None => front_door().await.into_response(),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

/// A file of the page.
pub(super) async fn file(
    State(api): State<Api>,
    Path((build, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = api.page.as_ref().and_then(|_| Bundle::get().file(&build, &path, &headers));
    found.ok_or_else(|| Problem::not_found("the page has no such file"))
}

/// What the page asks before it connects.
pub(super) async fn about(
    State(api): State<Api>,
    headers: HeaderMap,
    Params(AboutParams { user }): Params<AboutParams>,
) -> Result<Response, Problem> {
    let Some(page) = &api.page else { return Err(Problem::not_found("this server has no page")) };
    let open = api.guards.keys.are_open();
    if api.guards.keys.are_open_to_foreign(&headers) {
        return Err(Problem::foreign_name());
    }
    let user = user.as_deref().unwrap_or("dev");
    check_text("user", user, NAME_MAX)?;
    let token = page.sign.as_ref().filter(|_| open).map(|sign| sign(user)).transpose();
    let token = token.map_err(|error| Problem::internal(&error.to_string()))?;
    let (version, build) = (env!("CARGO_PKG_VERSION"), Bundle::get().build());
    let mut response = Json(About { version, build, open, incidents: api.incidents().is_ok(), token }).into_response();
    headers::harden(response.headers_mut());
    Ok(response)
}
