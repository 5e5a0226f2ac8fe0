//! Single sessions: who is connected, the end of one, and an event for one.

use super::Api;
use super::events::{fields, present, raw_event};
use super::input::{JsonText, NotIdempotent, Params, SessionId};
use super::input::{is_whole, no_session, page_limit, parse, reach, session_cursor};
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::hub::{Emitted, MemberInfo, SessionEvent, SessionQuery, View};
use crate::protocol::arguments::Arguments;
use crate::protocol::name::check_room_name;
use crate::protocol::refusal::Refusal;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use utoipa::ToSchema;

/// Which sessions to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionsParams {
    /// Only the sessions of this user
    user: Option<String>,
    /// Only the sessions in this room
    room: Option<String>,
    /// Socket.IO namespace of the room; `/` unless given
    namespace: Option<String>,
    /// Most entries, 1 to 1,000; 100 unless given
    limit: Option<usize>,
    /// Where to go on: the `next` of the page before
    cursor: Option<String>,
    /// Whether only the node that answers is looked at
    local: Option<bool>,
}

/// A session in a namespace
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionInfo {
    /// Its id
    sid: String,
    /// The user that its token names
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// What its token says that others may see
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    info: Option<Box<RawValue>>,
}

impl From<MemberInfo> for SessionInfo {
    fn from(member: MemberInfo) -> Self {
        let identity = member.identity.as_deref();
        let info = identity.and_then(|identity| RawValue::from_string(identity.info.clone()?).ok());
        Self { sid: member.sid.to_string(), user: identity.and_then(|identity| identity.user.clone()), info }
    }
}

/// A page of sessions, in the order of their ids
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<SessionInfo>,
    /// The `cursor` of the next page, if there is one
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// True when a node has not said what it has
    #[serde(skip_serializing_if = "is_whole")]
    partial: bool,
}

/// An event for the session in the path
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SessionEvent)]
pub(super) struct EmitBody<'a> {
    /// Name of the event
    #[serde(borrow)]
    #[schema(value_type = String, example = "message")]
    event: &'a RawValue,
    /// Its argument, any JSON; passed on as the bytes it came in
    #[serde(borrow, default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<&'a RawValue>,
    /// Its arguments, when there is not exactly one; in place of `data`
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    args: Option<&'a RawValue>,
    /// Wait this long for the client's acknowledgement and answer with it
    ack_timeout_ms: Option<u64>,
}

/// An event was taken
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Emitted)]
pub(super) struct TakenEvent {
    /// The session
    sid: String,
}

/// What a client answered
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answer {
    /// The arguments of its acknowledgement
    #[schema(value_type = Vec<serde_json::Value>)]
    answer: Box<RawValue>,
}

/// List sessions of every namespace, or those in a room
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", operation_id = "list_sessions",
    params(SessionsParams),
    responses((status = 200, description = "A page of sessions", body = SessionList)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<SessionsParams>,
) -> Result<Json<SessionList>, Problem> {
    let (cursor, limit) = (session_cursor(params.cursor.as_deref())?, page_limit(params.limit)?);
    let namespace = api.namespace(params.namespace.as_deref())?;
    if params.namespace.is_some() && params.room.is_none() {
        return Err(Problem::bad_request("\"namespace\" says where \"room\" is; give both"));
    }
    params.room.as_deref().map_or(Ok(()), check_room_name)?;
    let room = params.room.map(|room| (namespace, room));
    // One more than asked for tells whether there is another page.
    let query = SessionQuery { user: params.user, room, cursor, limit: limit + 1 };
    let View { found, missing_nodes } = api.hub.sessions(&query, reach(params.local)).await;
    let mut sessions: Vec<_> = found.into_iter().map(SessionInfo::from).collect();
    let more = sessions.len() > limit;
    sessions.truncate(limit);
    let next = sessions.last().filter(|_| more).map(|last| last.sid.clone());
    Ok(Json(SessionList { sessions, next, partial: missing_nodes > 0 }))
}

/// End a session
///
/// Its client is told not to come back by itself.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{sid}", tag = "sessions", operation_id = "end_session",
    params(("sid" = String, Path, description = "Id of the session")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such session", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn end(State(api): State<Api>, SessionId(sid): SessionId) -> Result<StatusCode, Problem> {
    api.hub.end(sid).await?.then_some(StatusCode::NO_CONTENT).ok_or_else(no_session)
}

/// Send an event to one session
///
/// With `ack_timeout_ms` the answer waits for the client's acknowledgement.
#[utoipa::path(
    post, path = "/api/v1/sessions/{sid}/events", tag = "sessions", operation_id = "emit",
    params(("sid" = String, Path, description = "Id of the session")),
    request_body = EmitBody,
    responses(
        (status = 200, description = "The client acknowledged it", body = Answer),
        (status = 202, description = "On its way", body = TakenEvent),
        (status = 404, description = "There is no such session", body = ProblemBody, content_type = PROBLEM_JSON),
        (status = 504, description = "The client gave no answer", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn emit(
    State(api): State<Api>,
    SessionId(sid): SessionId,
    _: NotIdempotent,
    body: JsonText,
) -> Result<Response, Problem> {
    let EmitBody { event, data, args, ack_timeout_ms } = parse(body.text()?, api.limits)?;
    let raw = raw_event(&fields(event, data, args, None), api.limits)?;
    let ack_timeout = ack_timeout_ms.map(Duration::from_millis);
    let most = api.limits.ack_timeout;
    if ack_timeout.is_some_and(|timeout| timeout.is_zero() || timeout > most) {
        return Err(Problem::bad_request(format!("\"ack_timeout_ms\" is a number from 1 to {}", most.as_millis())));
    }
    let arguments = Arguments::relay(raw.args, raw.arity, &[]).map_err(Refusal::from)?;
    let event = SessionEvent { name: raw.name.into(), arguments, ack_timeout };
    match api.hub.emit_anywhere(sid, event).await? {
        Emitted::Gone => Err(no_session()),
        Emitted::Sent => Ok((StatusCode::ACCEPTED, Json(TakenEvent { sid: sid.to_string() })).into_response()),
        Emitted::Silent => Err(Problem::ack_timeout("the session gave no answer in time, or has ended")),
        Emitted::Answered(answer) => {
            let args = answer.to_text().map_err(|_| Problem::internal("an answer has a broken placeholder"))?;
            let answer =
                RawValue::from_string(format!("[{args}]")).map_err(|_| Problem::internal("an answer is not JSON"))?;
            Ok(Json(Answer { answer }).into_response())
        }
    }
}
