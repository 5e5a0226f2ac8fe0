//! Which rooms there are, and who is in them.

use super::Api;
use super::input::{Params, RoomName, is_whole, page_limit, reach, session_cursor};
use super::problem::{PROBLEM_JSON, Problem, ProblemBody};
use super::sessions::SessionInfo;
use crate::hub::{RoomListing, View};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which rooms to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RoomsParams {
    /// Socket.IO namespace; `/` unless given
    namespace: Option<String>,
    /// Only rooms whose names start with this
    prefix: Option<String>,
    /// Most entries, 1 to 1,000; 100 unless given
    limit: Option<usize>,
    /// Where to go on: the `next` of the page before
    cursor: Option<String>,
    /// Whether only the node that answers is looked at
    local: Option<bool>,
}

/// Which room is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RoomParams {
    /// Socket.IO namespace; `/` unless given
    namespace: Option<String>,
    /// Whether only the node that answers is looked at
    local: Option<bool>,
}

/// Which members to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MembersParams {
    /// Socket.IO namespace; `/` unless given
    namespace: Option<String>,
    /// Most entries, 1 to 1,000; 100 unless given
    limit: Option<usize>,
    /// Where to go on: the `next` of the page before
    cursor: Option<String>,
    /// Whether only the node that answers is looked at
    local: Option<bool>,
}

/// A room
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoomInfo {
    /// Its name
    room: String,
    /// How many members it has
    members: usize,
    /// True when a node has not said how many it has
    #[serde(skip_serializing_if = "is_whole")]
    partial: bool,
}

/// A page of rooms, in the order of their names
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoomList {
    rooms: Vec<RoomInfo>,
    /// The `cursor` of the next page, if there is one
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// True when a node has not said what it has
    #[serde(skip_serializing_if = "is_whole")]
    partial: bool,
}

/// A page of the members of a room
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberList {
    /// The room
    room: String,
    /// How many members it has
    count: usize,
    /// The members of this page
    members: Vec<SessionInfo>,
    /// The `cursor` of the next page, if there is one
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// True when a node has not said whom it has
    #[serde(skip_serializing_if = "is_whole")]
    partial: bool,
}

/// List rooms that have members
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms", operation_id = "list_rooms",
    params(RoomsParams),
    responses((status = 200, description = "A page of rooms", body = RoomList)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<RoomsParams>,
) -> Result<Json<RoomList>, Problem> {
    let namespace = api.namespace(params.namespace.as_deref())?;
    let (prefix, limit) = (params.prefix.as_deref().unwrap_or_default(), page_limit(params.limit)?);
    let reach = reach(params.local);
    let View { found: page, missing_nodes } =
        api.hub.rooms(namespace, prefix, params.cursor.as_deref(), limit, reach).await;
    let next = page.rooms.last().filter(|_| page.more).map(|last| last.room.to_string());
    let info = |listing: RoomListing| RoomInfo {
        room: listing.room.into(),
        members: listing.members as usize,
        partial: false,
    };
    Ok(Json(RoomList { rooms: page.rooms.into_iter().map(info).collect(), next, partial: missing_nodes > 0 }))
}

/// Look at one room
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "get_room",
    params(("room" = String, Path, description = "Name of the room"), RoomParams),
    responses(
        (status = 200, description = "The room", body = RoomInfo),
        (status = 404, description = "It has no members", body = ProblemBody, content_type = PROBLEM_JSON),
    ),
)]
pub(super) async fn one(
    State(api): State<Api>,
    RoomName(room): RoomName,
    Params(params): Params<RoomParams>,
) -> Result<Json<RoomInfo>, Problem> {
    let namespace = api.namespace(params.namespace.as_deref())?;
    let View { found, missing_nodes } = api.hub.member_count(namespace, &room, reach(params.local)).await;
    match (found, missing_nodes) {
        (0, 0) => Err(Problem::not_found("this room has no members")),
        (members, _) => Ok(Json(RoomInfo { room, members, partial: missing_nodes > 0 })),
    }
}

/// List the members of a room
///
/// A room without members has an empty list.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/members", tag = "rooms", operation_id = "list_members",
    params(("room" = String, Path, description = "Name of the room"), MembersParams),
    responses((status = 200, description = "A page of members, in the order of their sids", body = MemberList)),
)]
pub(super) async fn members(
    State(api): State<Api>,
    RoomName(room): RoomName,
    Params(params): Params<MembersParams>,
) -> Result<Json<MemberList>, Problem> {
    let namespace = api.namespace(params.namespace.as_deref())?;
    let (cursor, limit) = (session_cursor(params.cursor.as_deref())?, page_limit(params.limit)?);
    let reach = reach(params.local);
    let View { found: presence, missing_nodes } = api.hub.presence(namespace, &room, cursor, limit, reach).await;
    let members = presence.members.into_iter().map(SessionInfo::from).collect();
    let next = presence.next.map(|sid| sid.to_string());
    Ok(Json(MemberList { room, count: presence.count, members, next, partial: missing_nodes > 0 }))
}
