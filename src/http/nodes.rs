//! Which nodes there are.

use super::Api;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// A roomcast node
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeEntry {
    /// What the ids of its sessions begin with
    node: String,
    /// Where other nodes reach its public address, if there are others
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Box<str>>,
    /// Its release
    version: Box<str>,
    /// Open sockets
    sockets: u64,
    /// Rooms with members on it
    rooms: u64,
    /// How long ago it was heard, in milliseconds; the node that answers has none
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_ms_ago: Option<u64>,
}

/// The roomcast nodes that are known, the one that answers first
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeEntry>,
}

/// List nodes
///
/// Each says every 5 s how it is. Servers of other kinds that share the cluster are not among them.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "nodes", operation_id = "list_nodes",
    responses((status = 200, description = "The nodes", body = NodeList)),
)]
pub(super) async fn list(State(api): State<Api>) -> Json<NodeList> {
    let entry = |info: crate::hub::NodeInfo| NodeEntry {
        node: info.node,
        address: info.address,
        version: info.version,
        sockets: info.sockets,
        rooms: info.rooms,
        heard_ms_ago: info.heard.map(|heard| u64::try_from(heard.as_millis()).unwrap_or(u64::MAX)),
    };
    Json(NodeList { nodes: api.hub.nodes().into_iter().map(entry).collect() })
}
