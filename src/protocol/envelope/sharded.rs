//! The format of `createShardedAdapter` of `@socket.io/redis-adapter` 8: an object `{type, data, uid, nsp}`, in JSON, or in
//! MessagePack where it holds binary values.

use super::fields::{Text, count, keys, needed, nullable, optional, packet_of};
use super::text::{Object, opts};
use super::{Broadcast, Content, Envelope, Format, Limits, Targets};
use crate::protocol::DecodeError;
use crate::protocol::arguments::Arguments;

type Result<T> = std::result::Result<T, DecodeError>;

const INITIAL_HEARTBEAT: u8 = 1;
const HEARTBEAT: u8 = 2;
pub(super) const BROADCAST: u8 = 3;
const JOIN: u8 = 4;
const LEAVE: u8 = 5;
const DISCONNECT: u8 = 6;
const FETCH: u8 = 7;
const FOUND: u8 = 8;
const SERVER_EMIT: u8 = 9;
const SERVER_ANSWER: u8 = 10;
const COUNT: u8 = 11;
const ANSWER: u8 = 12;
const CLOSE: u8 = 13;

/// Decodes what came on any channel.
///
/// # Errors
/// When it is broken, of an unknown kind, or beyond a limit.
pub fn decode(payload: &[u8], limits: &Limits) -> Result<Envelope> {
    let text = Text::read(payload, limits)?;
    let [uid, namespace, kind, data] = keys(text.raw(), ["\"uid\"", "\"nsp\"", "\"type\"", "\"data\""])?;
    let kind = kind.and_then(|kind| kind.parse().ok()).ok_or(DecodeError::PacketType)?;
    let content = content(&text, kind, data.unwrap_or("{}"))?;
    Ok(Envelope { uid: optional(uid)?.unwrap_or_default(), namespace: needed(namespace)?, content })
}

fn content(text: &Text<'_>, kind: u8, data: &str) -> Result<Content> {
    let known = ["\"requestId\"", "\"opts\"", "\"rooms\"", "\"close\"", "\"packet\"", "\"sockets\"", "\"clientCount\""];
    let [request, opts, rooms, close, packet, sockets, clients] = keys(data, known)?;
    let id = || needed(request);
    let answer = || text.answer(nullable(data, "\"packet\"")?);
    Ok(match kind {
        INITIAL_HEARTBEAT | HEARTBEAT | CLOSE => Content::Heartbeat,
        BROADCAST => text.broadcast(packet_of(packet)?, opts, optional(request)?)?,
        JOIN => Content::Join { targets: text.targets(opts)?, rooms: text.names(rooms)?, request: None },
        LEAVE => Content::Leave { targets: text.targets(opts)?, rooms: text.names(rooms)?, request: None },
        DISCONNECT => Content::Disconnect { targets: text.targets(opts)?, close: close == Some("true"), request: None },
        FETCH => Content::Fetch { request: id()?, targets: text.targets(opts)? },
        FOUND => Content::Found { request: id()?, sockets: text.sockets(sockets.ok_or(DecodeError::Packet)?)? },
        SERVER_EMIT => {
            let (name, arguments) = text.event(packet)?;
            Content::ServerEmit { name, arguments, request: optional(request)? }
        }
        SERVER_ANSWER => Content::ServerAnswer { request: id()?, arguments: answer()? },
        COUNT => Content::Count { request: id()?, clients: count(clients)? },
        ANSWER => Content::Answer { request: id()?, arguments: answer()? },
        _ => return Err(DecodeError::PacketType),
    })
}

/// Encodes what one node says.
///
/// # Errors
/// When this format has no such content, or a placeholder has no attachment.
pub fn encode(envelope: &Envelope) -> Result<Vec<u8>> {
    let none = Arguments::none();
    let targets = |targets: &Targets| Object::new().raw("opts", &opts(&targets.rooms, &targets.except, Some("{}")));
    let answer = |request: &str| Object::new().text("requestId", request);
    let (kind, data, arguments) = match &envelope.content {
        Content::Broadcast { .. } => return Broadcast::encode(envelope, Format::Sharded),
        Content::Join { targets: meant, rooms, .. } => (JOIN, targets(meant).texts("rooms", rooms), &none),
        Content::Leave { targets: meant, rooms, .. } => (LEAVE, targets(meant).texts("rooms", rooms), &none),
        Content::Disconnect { targets: meant, close, .. } => {
            (DISCONNECT, targets(meant).raw("close", if *close { "true" } else { "false" }), &none)
        }
        Content::Fetch { request, targets: meant } => (FETCH, targets(meant).text("requestId", request), &none),
        Content::Found { request, sockets } => (FOUND, answer(request).sockets(sockets), &none),
        Content::ServerEmit { name, arguments, request } => {
            let data = Object::new().text_if("requestId", request.as_deref());
            (SERVER_EMIT, data.event("packet", name, arguments), arguments)
        }
        Content::ServerAnswer { request, arguments } => {
            (SERVER_ANSWER, answer(request).first("packet", arguments)?, arguments)
        }
        Content::Count { request, clients } => (COUNT, answer(request).number("clientCount", *clients), &none),
        Content::Answer { request, arguments } => (ANSWER, answer(request).first("packet", arguments)?, arguments),
        Content::Heartbeat => (HEARTBEAT, Object::new(), &none),
        Content::AllRooms { .. }
        | Content::Sockets { .. }
        | Content::Rooms { .. }
        | Content::Sids { .. }
        | Content::Done { .. } => return Err(DecodeError::PacketType),
    };
    let message = Object::new().number("type", kind.into()).raw("data", &data.end());
    let message = message.text("uid", &envelope.uid).text("nsp", &envelope.namespace);
    message.bytes_with(arguments.attachments())
}
