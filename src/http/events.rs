//! Publishing: what services say to rooms.

use super::input::{JsonText, NotIdempotent, Params, RoomName, complain, parse};
use super::problem::Problem;
use super::{Api, Limits};
use crate::hub::{Broadcast, NamespaceId, Receipt};
use crate::protocol::event::Event;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent, Rooms};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Most events in one request.
const BATCH_MAX: usize = 1_000;

/// Where rooms are looked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NamespaceParam {
    /// Socket.IO namespace; `/` unless given
    pub(super) namespace: Option<String>,
}

/// An event for the room in the path
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomEvent<'a> {
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
    /// Members of these rooms are left out
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<String>>)]
    except: Option<&'a RawValue>,
}

/// An event for rooms
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchItem<'a> {
    /// Every member of any of these gets the event once
    #[serde(borrow)]
    #[schema(value_type = Vec<String>)]
    rooms: &'a RawValue,
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
    /// Members of these rooms are left out
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<String>>)]
    except: Option<&'a RawValue>,
}

/// A value that is there, even if it is `null`.
pub(super) fn present<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// An event was taken
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// The room
    room: String,
}

/// What became of each event, in the order of the request
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchOutcome {
    results: Vec<ItemOutcome>,
}

/// What became of one event
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
enum ItemOutcome {
    /// It is on its way
    Accepted,
    /// Nobody got it, unless `code` is `unavailable`: then some may have
    Refused {
        /// Machine-readable reason
        code: &'static str,
        /// One sentence for the developer
        detail: String,
    },
}

/// Publish an event to a room
///
/// Members get it at most once, in the order in which one service publishes one after the other.
#[utoipa::path(
    post, path = "/api/v1/rooms/{room}/events", tag = "events", operation_id = "publish",
    params(("room" = String, Path, description = "Name of the room"), NamespaceParam),
    request_body = RoomEvent,
    responses((status = 202, description = "On its way", body = Published)),
)]
pub(super) async fn publish(
    State(api): State<Api>,
    RoomName(room): RoomName,
    Params(params): Params<NamespaceParam>,
    _: NotIdempotent,
    body: JsonText,
) -> Result<(StatusCode, Json<Published>), Problem> {
    let namespace = api.namespace(params.namespace.as_deref())?;
    let RoomEvent { event, data, args, except } = parse(body.text()?, api.limits)?;
    let fields = fields(event, data, args, except);
    let receipt = api.say(namespace, &Rooms::from_iter([room.as_str().into()]), &fields)?;
    settled(receipt).await?;
    Ok((StatusCode::ACCEPTED, Json(Published { room })))
}

/// Publish many events
///
/// Each is taken or refused by itself; the answer says which.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "events", operation_id = "publish_batch",
    params(NamespaceParam),
    request_body(content = Vec<BatchItem>, description = "At most 1,000 events"),
    responses((status = 202, description = "What became of each event", body = BatchOutcome)),
)]
pub(super) async fn publish_batch(
    State(api): State<Api>,
    Params(params): Params<NamespaceParam>,
    _: NotIdempotent,
    body: JsonText,
) -> Result<(StatusCode, Json<BatchOutcome>), Problem> {
    let namespace = api.namespace(params.namespace.as_deref())?;
    let items: Vec<&RawValue> = serde_json::from_str(body.text()?).map_err(|error| complain(&error))?;
    if items.len() > BATCH_MAX {
        return Err(Refusal::new(Code::TooLarge, format!("a request has at most {BATCH_MAX} events")).into());
    }
    // All are said before any is waited for.
    let said: Vec<_> = items.into_iter().map(|item| api.say_item(namespace, item.get())).collect();
    let mut results = Vec::with_capacity(said.len());
    for outcome in said {
        let settled = match outcome {
            Ok(receipt) => settled(receipt).await,
            Err(refusal) => Err(refusal),
        };
        results.push(match settled {
            Ok(()) => ItemOutcome::Accepted,
            Err(Refusal { code, detail, .. }) => ItemOutcome::Refused { code: code.as_str(), detail },
        });
    }
    Ok((StatusCode::ACCEPTED, Json(BatchOutcome { results })))
}

/// Waits for what is held until Redis is back.
async fn settled(receipt: Option<Receipt>) -> Result<(), Refusal> {
    match receipt {
        Some(receipt) => receipt.outcome().await,
        None => Ok(()),
    }
}

impl Api {
    fn say_item(&self, namespace: NamespaceId, item: &str) -> Result<Option<Receipt>, Refusal> {
        let BatchItem { rooms, event, data, args, except } = parse(item, self.limits)?;
        let fields = Fields { rooms: Some(rooms.get()), ..fields(event, data, args, except) };
        self.say(namespace, &fields.target_rooms(self.limits.rooms)?, &fields)
    }

    fn say(&self, namespace: NamespaceId, rooms: &Rooms<'_>, fields: &Fields<'_>) -> Result<Option<Receipt>, Refusal> {
        let raw = raw_event(fields, self.limits)?;
        for room in rooms {
            self.policies.get(self.policies.of(room)).check_size(raw.name.len() + raw.args.len(), room)?;
        }
        let except = fields.excepted_rooms(self.limits.rooms)?;
        let own = |names: &Rooms<'_>| names.iter().map(|name| name.as_ref().into()).collect();
        let event = Event { raw, attachments: &[], ack: None, offset: None };
        let receipt = self.hub.broadcast(Broadcast::new(namespace, own(rooms), own(&except), event))?;
        self.metrics.node().http_published.add_shared(1);
        Ok(receipt)
    }
}

pub(super) fn fields<'a>(
    event: &'a RawValue,
    data: Option<&'a RawValue>,
    args: Option<&'a RawValue>,
    except: Option<&'a RawValue>,
) -> Fields<'a> {
    let [data, args, except] = [data, args, except].map(|raw| raw.map(RawValue::get));
    Fields { event: Some(event.get()), data, args, except, ..Fields::default() }
}

/// The event that a body describes, if a client may send one like it.
pub(super) fn raw_event<'a>(fields: &Fields<'a>, limits: Limits) -> Result<RawEvent<'a>, Refusal> {
    if fields.data.is_some() && fields.args.is_some() {
        return Err(Refusal::new(Code::BadPacket, "an event has \"data\" or \"args\", not both"));
    }
    let raw = RawEvent::from_fields(fields)?;
    if raw.name.len() + raw.args.len() > limits.packet_bytes {
        return Err(Refusal::new(Code::TooLarge, format!("an event has at most {} bytes", limits.packet_bytes)));
    }
    Ok(raw)
}
