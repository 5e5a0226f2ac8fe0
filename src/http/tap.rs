//! Watching one session: what it says and what it is told, as long as somebody looks.

use super::Api;
use super::input::{Params, SessionId, no_session};
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::config::TapSettings;
use crate::hub::{Direction, TapKind, TapRecord};
use crate::lifecycle::{self, LongAnswer};
use crate::metrics::{LimitHit, NodeStats};
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::utc::iso;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use utoipa::ToSchema;

/// Messages that may wait for whoever watches.
const TAP_QUEUE: usize = 1_024;

/// One JSON object a line.
const LINES: &str = "application/x-ndjson";

/// The taps that there may be.
#[derive(Debug, Clone)]
pub(super) struct Taps {
    places: Arc<Semaphore>,
    longest: Duration,
}

impl Taps {
    pub(super) fn new(settings: &TapSettings) -> Self {
        let places = Arc::new(Semaphore::new(settings.max_taps.min(Semaphore::MAX_PERMITS)));
        Self { places, longest: settings.tap_duration }
    }
}

/// How to watch.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TapParams {
    /// For how many seconds; `tap-duration` unless given, and at most that
    seconds: Option<u64>,
}

/// A message of the session, or, as the last line, why there are no more
#[derive(Debug, Serialize, ToSchema)]
struct TapLine<'a> {
    /// When, RFC 3339
    time: String,
    /// `in`: the client said it; `out`: the client is told it
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    /// The encoding that the session speaks
    #[serde(skip_serializing_if = "Option::is_none")]
    wire: Option<&'static str>,
    /// `text`, `binary`, `ping`, `pong` or `close`
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// How long the message is
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    /// How a text begins
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// How anything else begins
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Whether there is more of it than shown
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    /// How many messages before it were left out
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
    /// In the last line only: `session` has ended, or the `time` is up
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
}

/// Watch a session
///
/// One JSON object a line for everything that the session says and is told, until it ends or the time is up. Nobody waits for
/// whoever watches: what does not fit into the queue is counted and left out.
#[utoipa::path(
    get, path = "/api/v1/sessions/{sid}/tap", tag = "sessions", operation_id = "tap",
    params(("sid" = String, Path, description = "Id of the session"), TapParams),
    responses(
        (status = 200, description = "One JSON object a line", body = TapLine, content_type = "application/x-ndjson"),
        (status = 404, description = "There is no such session", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn watch(
    State(api): State<Api>,
    SessionId(sid): SessionId,
    Params(params): Params<TapParams>,
) -> Result<Response, Problem> {
    let longest = api.taps.longest;
    let time = params.seconds.map_or(longest, Duration::from_secs);
    if time.is_zero() || time > longest {
        return Err(Problem::bad_request(format!("\"seconds\" is a number from 1 to {}", longest.as_secs())));
    }
    let Ok(place) = Arc::clone(&api.taps.places).try_acquire_owned() else {
        api.guards.limiter.note(LimitHit::Taps, None, lifecycle::now());
        return Err(Refusal::new(Code::Unavailable, "as many sessions are watched as may be").into());
    };
    let (sender, records) = mpsc::channel(TAP_QUEUE);
    if !api.hub.tap(sid, sender).await? {
        return Err(no_session());
    }
    tracing::info!(%sid, seconds = time.as_secs(), "a session is watched");
    let watched = Watched::new(records, Instant::now() + time, place, Arc::clone(api.metrics.node()));
    let lines = stream::unfold(Some(watched), async |watched| {
        let mut watched = watched?;
        let (lines, goes_on) = watched.next_lines().await;
        Some((Ok::<_, Infallible>(lines), goes_on.then_some(watched)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(LINES));
    response.extensions_mut().insert(LongAnswer(time));
    Ok(response)
}

/// A session that is watched.
struct Watched {
    records: mpsc::Receiver<TapRecord>,
    until: Instant,
    _place: OwnedSemaphorePermit,
    stats: Arc<NodeStats>,
}

impl Watched {
    fn new(
        records: mpsc::Receiver<TapRecord>,
        until: Instant,
        place: OwnedSemaphorePermit,
        stats: Arc<NodeStats>,
    ) -> Self {
        stats.taps.add_shared(1);
        Self { records, until, _place: place, stats }
    }

    /// What has come, and whether more may come.
    async fn next_lines(&mut self) -> (Bytes, bool) {
        let mut lines = Vec::new();
        match tokio::time::timeout_at(self.until, self.records.recv()).await {
            Ok(Some(record)) => write_line(&record, &mut lines),
            Ok(None) => return (last_line("session"), false),
            Err(_) => return (last_line("time"), false),
        }
        while let Ok(record) = self.records.try_recv() {
            write_line(&record, &mut lines);
        }
        (lines.into(), true)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stats.taps.sub_shared(1);
    }
}

fn write_line(record: &TapRecord, out: &mut Vec<u8>) {
    let TapRecord { at_ms, direction, wire, kind, bytes, prefix, missed } = record;
    let text = matches!(kind, TapKind::Text).then(|| valid(prefix));
    let line = TapLine {
        time: iso(i64::try_from(*at_ms).unwrap_or(i64::MAX)),
        direction: Some(match direction {
            Direction::In => "in",
            Direction::Out => "out",
        }),
        wire: Some(wire.label()),
        kind: Some(match kind {
            TapKind::Text => "text",
            TapKind::Binary => "binary",
            TapKind::Ping => "ping",
            TapKind::Pong => "pong",
            TapKind::Close => "close",
        }),
        bytes: Some(*bytes),
        text,
        base64: (text.is_none() && !prefix.is_empty()).then(|| STANDARD.encode(prefix)),
        cut: *bytes > prefix.len(),
        missed: Some(*missed).filter(|missed| *missed > 0),
        end: None,
    };
    push(&line, out);
}

fn last_line(end: &'static str) -> Bytes {
    let time = iso(i64::try_from(lifecycle::unix_millis()).unwrap_or(i64::MAX));
    let nothing = (None, None, None, None);
    let (direction, wire, kind, bytes) = nothing;
    let line = TapLine {
        time,
        direction,
        wire,
        kind,
        bytes,
        text: None,
        base64: None,
        cut: false,
        missed: None,
        end: Some(end),
    };
    let mut out = Vec::new();
    push(&line, &mut out);
    out.into()
}

fn push(line: &TapLine<'_>, out: &mut Vec<u8>) {
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

/// The text up to where it stops being one: a prefix may end within a character.
fn valid(bytes: &[u8]) -> &str {
    let end = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}
