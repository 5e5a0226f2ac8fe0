//! How many requests are answered at once: each may have a body in memory and wait for something.
//!
//! A place is taken when the whole request is there, so that whoever sends half of one takes none. Requests about rooms have
//! places of their own: a database that does not answer costs them nothing.

use super::Api;
use super::monitoring::in_the_form_of;
use super::problem::Problem;
use crate::metrics::LimitHit;
use crate::protocol::refusal::{Code, Refusal};
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What paths begin with whose requests ask the database.
const KEPT: [&str; 5] = ["/api/v1/incidents", "/api/v1/services", "/api/v1/dashboards", "/api/v1/integrations", "/v2/"];

/// The places for requests that are being answered.
#[derive(Debug, Clone)]
pub(super) struct Places {
    rooms: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

impl Places {
    /// So many for requests about rooms and sessions, and as many for those that ask the database.
    pub(super) fn new(most: u32) -> Self {
        let places = || Arc::new(Semaphore::new(most as usize));
        Self { rooms: places(), kept: places() }
    }

    fn of(&self, path: &str) -> &Arc<Semaphore> {
        if KEPT.iter().any(|kept| path.starts_with(kept)) { &self.kept } else { &self.rooms }
    }
}

impl Api {
    /// A place for a request at this path, held until it is answered.
    pub(super) fn place(&self, path: &str) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(self.places.of(path)).try_acquire_owned().map_err(|_| {
            self.metrics.node().limit_hit(LimitHit::RequestsAtOnce);
            Refusal::new(Code::Unavailable, "as many requests are being answered as may be (max-requests)").into()
        })
    }
}

/// Takes a place for requests that are whole as they come; whoever reads the body of another takes it then.
pub(super) async fn only_so_many(State(api): State<Api>, request: Request, next: Next) -> Response {
    if !request.body().is_end_stream() {
        return next.run(request).await;
    }
    match api.place(request.uri().path()) {
        Ok(_place) => next.run(request).await,
        Err(problem) => in_the_form_of(request.uri().path(), problem),
    }
}
