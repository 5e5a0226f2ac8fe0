//! Bodies of which a refusal leaves a part unread. A connection that is closed while its client writes is reset, and the answer may be
//! lost with it, or become a 502 of the proxy in between: so the rest is read first, up to a bound.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes of a body that are read and thrown away.
const READ_MAX: usize = 1024 * 1024;

/// For how long they are waited for.
const READ_FOR: Duration = Duration::from_secs(2);

/// The body of a request that is being answered, and comes back from there.
pub(super) struct Lent(Option<oneshot::Receiver<Body>>);

/// Lends a body to whoever answers. One that its client sends only when it is asked for (RFC 9110, 10.1.1) is not asked for.
pub(super) fn lend(request: Request) -> (Request, Lent) {
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return (request, Lent(None));
    }
    let (back, returned) = oneshot::channel();
    let lent = |body| Body::new(Borrowed { body, back: Some(back) });
    (request.map(lent), Lent(Some(returned)))
}

impl Lent {
    /// Reads what is left of it.
    pub(super) async fn read_on(self) {
        let Some(Ok(body)) = self.0.map(|mut returned| returned.try_recv()) else { return };
        let (mut body, mut read) = (body.into_data_stream(), 0);
        let reading = async {
            while let Some(Ok(data)) = body.next().await
                && read < READ_MAX
            {
                read += data.len();
            }
        };
        // What takes longer is not worth it.
        let _late = tokio::time::timeout(READ_FOR, reading).await;
    }
}

struct Borrowed {
    body: Body,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Borrowed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            // Nobody waits for a body when the answer was given up.
            let _given_up = back.send(std::mem::take(&mut self.body));
        }
    }
}
