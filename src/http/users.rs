//! All sessions of a user, or of a token: ending them, moving them between rooms, and refusing the token from now on.

use super::Api;
use super::events::NamespaceParam;
use super::input::{JsonText, Params, TokenId, UserName, is_whole, parse};
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use crate::hub::{Tally, View};
use crate::lifecycle;
use crate::protocol::name::check_room_name;
use crate::protocol::peers::Order;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How far ahead a revocation may say that its token expires. Later than that is no time in seconds.
const REVOCATION_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// How many sessions it was
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reached {
    /// Sessions that it was done to
    sessions: usize,
    /// Sessions that have to stay as they are, since the room or they are full
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<usize>,
    /// True when a node has not said that it has done it
    #[serde(skip_serializing_if = "is_whole")]
    partial: bool,
}

impl From<View<Tally>> for Reached {
    fn from(View { found, missing_nodes }: View<Tally>) -> Self {
        let refused = Some(found.refused).filter(|refused| *refused > 0);
        Self { sessions: found.done, refused, partial: missing_nodes > 0 }
    }
}

/// A room
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomBody {
    /// Its name
    room: String,
    /// Of this issuer's user alone, as `auth-jwks-url` names it; unless given of any
    issuer: Option<String>,
}

/// Whose user is meant
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserBody {
    /// Of this issuer's user alone, as `auth-jwks-url` names it; unless given of any
    issuer: Option<String>,
}

impl Api {
    /// An issuer that the settings name. One that they do not name is a mistake that would be paid for later.
    fn issuer(&self, named: Option<String>) -> Result<Option<Arc<str>>, Problem> {
        let Some(named) = named else { return Ok(None) };
        let known = self.issuers.iter().find(|known| ***known == *named);
        let unknown = || Problem::bad_request("auth-jwks-url names no such issuer");
        known.cloned().map(Some).ok_or_else(unknown)
    }
}

/// A revocation
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeBody {
    /// When the token expires, in seconds since 1970, in the future and at most a year ahead: so long it has to be remembered
    expires_at: Option<u64>,
    /// Of this issuer's token alone, as `auth-jwks-url` names it; unless given of any
    issuer: Option<String>,
}

/// A token was revoked
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedToken {
    /// Sessions that were ended
    sessions: usize,
    /// Until when it is refused, in seconds since 1970
    until: u64,
    /// True when a node has not said that it refuses it
    #[serde(skip_serializing_if = "is_whole")]
    partial: bool,
}

/// End all sessions of a user
///
/// Their clients are told not to come back by themselves.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/disconnect", tag = "users", operation_id = "disconnect_user",
    params(("user" = String, Path, description = "The user, as tokens name it")),
    request_body(content = Option<UserBody>, description = "Whose user it is, if there are several issuers"),
    responses((status = 200, description = "How many sessions have ended", body = Reached)),
)]
pub(super) async fn disconnect(
    State(api): State<Api>,
    UserName(user): UserName,
    body: JsonText,
) -> Result<Json<Reached>, Problem> {
    let UserBody { issuer } = body.or_empty(api.limits)?;
    let issuer = api.issuer(issuer)?;
    Ok(Json(api.hub.each(&user, issuer, Order::End).await?.into()))
}

/// Let all sessions of a user join a room
///
/// Whoever else may join it; sessions that are members already stay members.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/join", tag = "users", operation_id = "join_user",
    params(("user" = String, Path, description = "The user, as tokens name it"), NamespaceParam),
    request_body = RoomBody,
    responses((status = 200, description = "How many sessions are members now", body = Reached)),
)]
pub(super) async fn join(
    State(api): State<Api>,
    UserName(user): UserName,
    Params(params): Params<NamespaceParam>,
    body: JsonText,
) -> Result<Json<Reached>, Problem> {
    move_user(&api, &user, &params, &body, Order::Join).await
}

/// Make all sessions of a user leave a room
#[utoipa::path(
    post, path = "/api/v1/users/{user}/leave", tag = "users", operation_id = "leave_user",
    params(("user" = String, Path, description = "The user, as tokens name it"), NamespaceParam),
    request_body = RoomBody,
    responses((status = 200, description = "How many sessions were members", body = Reached)),
)]
pub(super) async fn leave(
    State(api): State<Api>,
    UserName(user): UserName,
    Params(params): Params<NamespaceParam>,
    body: JsonText,
) -> Result<Json<Reached>, Problem> {
    move_user(&api, &user, &params, &body, Order::Leave).await
}

/// Has all sessions of a user do something about the room that the body names.
async fn move_user(
    api: &Api,
    user: &str,
    params: &NamespaceParam,
    body: &JsonText,
    order: fn(Box<str>, Box<str>) -> Order,
) -> Result<Json<Reached>, Problem> {
    let namespace = api.namespace(params.namespace.as_deref())?;
    let RoomBody { room, issuer } = parse(body.text()?, api.limits)?;
    check_room_name(&room)?;
    let (issuer, namespace) = (api.issuer(issuer)?, api.hub.name_of(namespace));
    Ok(Json(api.hub.each(user, issuer, order(namespace, room.into())).await?.into()))
}

/// Revoke a token
///
/// Sessions that came with it end with close code 4401, and it is refused until it has expired.
#[utoipa::path(
    post, path = "/api/v1/tokens/{jti}/revoke", tag = "tokens", operation_id = "revoke_token",
    params(("jti" = String, Path, description = "Id of the token: its claim `jti`")),
    request_body(content = Option<RevokeBody>, description = "When the token expires, if that is known"),
    responses(
        (status = 200, description = "It is refused from now on", body = RevokedToken),
        (status = 503, description = "Too many revoked tokens are remembered already, or a worker does not answer",
            body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn revoke(
    State(api): State<Api>,
    TokenId(token): TokenId,
    body: JsonText,
) -> Result<Json<RevokedToken>, Problem> {
    let RevokeBody { expires_at, issuer } = body.or_empty(api.limits)?;
    let issuer = api.issuer(issuer)?;
    let now = lifecycle::unix_millis();
    let until = match expires_at {
        Some(at) => end_of(at, millis(api.limits.token_leeway), now)?,
        None => now.saturating_add(millis(api.limits.revoked_token_ttl)),
    };
    let (until, View { found, missing_nodes }) = api.hub.revoke(&token, issuer, until).await?;
    api.metrics.node().revocations.add_shared(1);
    Ok(Json(RevokedToken { sessions: found.done, until: until.div_ceil(1_000), partial: missing_nodes > 0 }))
}

/// Until when a token is remembered that expires at `seconds` since 1970, in milliseconds. What has expired needs no
/// revocation, and what never seems to is milliseconds: both would be answered well and mean nothing.
fn end_of(seconds: u64, leeway: u64, now: u64) -> Result<u64, Problem> {
    let until = seconds.saturating_mul(1_000).saturating_add(leeway);
    let latest = now.saturating_add(millis(REVOCATION_AHEAD_MAX)).saturating_add(leeway);
    let fine = now < until && until <= latest;
    let days = REVOCATION_AHEAD_MAX.as_secs() / (24 * 3_600);
    fine.then_some(until).ok_or_else(|| {
        Problem::bad_request(format!(
            "\"expires_at\" is in seconds since 1970, in the future, and at most {days} days ahead"
        ))
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
