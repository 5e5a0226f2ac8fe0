//! How many requests are answered at once: each may have a body in memory and wait for the database.

use super::Api;
use super::monitoring::in_the_form_of;
use super::problem::Problem;
use crate::metrics::LimitHit;
use crate::protocol::refusal::{Code, Refusal};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// Answers so many at once, and one more in the form of its door that it should come again.
pub(super) async fn only_so_many(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Ok(_place) = api.places.try_acquire() else {
        api.metrics.node().limit_hit(LimitHit::RequestsAtOnce);
        let refusal = Refusal::new(Code::Unavailable, "as many requests are being answered as may be (max-requests)");
        return in_the_form_of(request.uri().path(), Problem::from(refusal));
    };
    next.run(request).await
}
