//! The format of `createAdapter` of `@socket.io/redis-adapter` 8 and of `@socket.io/redis-emitter` 5.
//!
//! A broadcast is a MessagePack list `[uid, packet, opts]`. Everything else is one object: JSON, or MessagePack where it
//! holds binary values, which nodes read as well, and always for types 7 and 9. Answers say neither who gives them nor, but
//! for some, what they answer: that follows from the keys they have.

use super::fields::{PACKET, Text, count, keys, needed, nullable, optional, packet_of};
use super::text::{Object, opts};
use super::{Broadcast, Content, Envelope, Format, Limits, Place, Targets, plain};
use crate::protocol::DecodeError;
use crate::protocol::msgpack::from_json;

type Result<T> = std::result::Result<T, DecodeError>;

const SOCKETS: u8 = 0;
const ALL_ROOMS: u8 = 1;
const JOIN: u8 = 2;
const LEAVE: u8 = 3;
const DISCONNECT: u8 = 4;
const FETCH: u8 = 5;
const SERVER_EMIT: u8 = 6;
pub(super) const BROADCAST: u8 = 7;
const COUNT: u8 = 8;
const ANSWER: u8 = 9;

/// Decodes what came on a channel of `namespace`, which counts where the payload names none.
///
/// # Errors
/// When it is broken, of an unknown kind, or beyond a limit.
pub fn decode(place: Place<'_>, namespace: &str, payload: &[u8], limits: &Limits) -> Result<Envelope> {
    match place {
        Place::Main | Place::Room(_) => match plain::broadcast(payload, limits) {
            Some(envelope) => Ok(envelope),
            None => broadcast(&Text::unpack(payload, limits)?),
        },
        Place::Request => request(&Text::read(payload, limits)?, namespace),
        Place::Response => response(&Text::read(payload, limits)?, namespace),
    }
}

/// Whether a broadcast, as this node writes it, is what `uid` says; false when that takes more than a look at its beginning.
pub fn is_said_by(uid: &str, payload: &[u8]) -> bool {
    let [0x90..=0x9f, marker @ 0xa0..=0xbf, rest @ ..] = payload else { return false };
    usize::from(marker & 0x1f) == uid.len() && rest.starts_with(uid.as_bytes())
}

pub(super) fn broadcast(text: &Text<'_>) -> Result<Envelope> {
    // Some nodes say more behind these three, which others do not look at.
    let [uid, packet, opts, ..] = text.entries(text.raw())?[..] else { return Err(DecodeError::Packet) };
    let uid = optional(Some(uid).filter(|uid| *uid != "null"))?;
    let packet @ [.., namespace] = keys(packet, PACKET)?;
    let namespace = optional(namespace)?.unwrap_or_else(|| "/".into());
    let content = text.broadcast(packet, Some(opts), None)?;
    Ok(Envelope { uid: uid.unwrap_or_default(), namespace, content })
}

fn request(text: &Text<'_>, namespace: &str) -> Result<Envelope> {
    let known =
        ["\"uid\"", "\"type\"", "\"requestId\"", "\"opts\"", "\"rooms\"", "\"close\"", "\"data\"", "\"packet\""];
    let [uid, kind, request, opts, rooms, close, data, packet] = keys(text.raw(), known)?;
    let kind = kind.and_then(|kind| kind.parse().ok()).ok_or(DecodeError::PacketType)?;
    let id = || needed(request);
    let content = match kind {
        SOCKETS => Content::Sockets { request: id()?, rooms: text.names(rooms)? },
        ALL_ROOMS => Content::AllRooms { request: id()? },
        JOIN | LEAVE | DISCONNECT if opts.is_none() => old_request(text, kind, close)?,
        JOIN => Content::Join { targets: text.targets(opts)?, rooms: text.names(rooms)?, request: None },
        LEAVE => Content::Leave { targets: text.targets(opts)?, rooms: text.names(rooms)?, request: None },
        DISCONNECT => Content::Disconnect { targets: text.targets(opts)?, close: close == Some("true"), request: None },
        FETCH => Content::Fetch { request: id()?, targets: text.targets(opts)? },
        SERVER_EMIT => {
            let (name, arguments) = text.event(data)?;
            Content::ServerEmit { name, arguments, request: optional(request)? }
        }
        BROADCAST => text.broadcast(packet_of(packet)?, opts, Some(id()?))?,
        _ => return Err(DecodeError::PacketType),
    };
    Ok(Envelope { uid: optional(uid)?.unwrap_or_default(), namespace: namespace.into(), content })
}

/// Requests that name one session and want to know that it was there.
fn old_request(text: &Text<'_>, kind: u8, close: Option<&str>) -> Result<Content> {
    let [request, sid, room] = keys(text.raw(), ["\"requestId\"", "\"sid\"", "\"room\""])?;
    let targets = Targets { rooms: vec![needed(sid)?], except: Vec::new() };
    let request = optional(request)?;
    let rooms = || text.names(Some(&format!("[{}]", room.ok_or(DecodeError::Packet)?)));
    Ok(match kind {
        JOIN => Content::Join { targets, rooms: rooms()?, request },
        LEAVE => Content::Leave { targets, rooms: rooms()?, request },
        _ => Content::Disconnect { targets, close: close == Some("true"), request },
    })
}

fn response(text: &Text<'_>, namespace: &str) -> Result<Envelope> {
    let known = ["\"type\"", "\"requestId\"", "\"rooms\"", "\"sockets\"", "\"clientCount\""];
    let [kind, request, rooms, sockets, clients] = keys(text.raw(), known)?;
    let request = needed(request)?;
    let content = match (kind.map(str::parse), rooms, sockets) {
        (Some(Ok(SERVER_EMIT)), ..) => {
            Content::ServerAnswer { request, arguments: text.answer(nullable(text.raw(), "\"data\"")?)? }
        }
        (Some(Ok(COUNT)), ..) => Content::Count { request, clients: count(clients)? },
        (Some(Ok(ANSWER)), ..) => {
            Content::Answer { request, arguments: text.answer(nullable(text.raw(), "\"packet\"")?)? }
        }
        (Some(_), ..) => return Err(DecodeError::PacketType),
        (None, _, Some(sockets)) if sockets.trim_start_matches('[').trim_start().starts_with('"') => {
            Content::Sids { request, sids: text.names(Some(sockets))? }
        }
        (None, _, Some(sockets)) => Content::Found { request, sockets: text.sockets(sockets)? },
        (None, Some(_), None) => Content::Rooms { request, rooms: text.names(rooms)? },
        (None, None, None) => Content::Done { request },
    };
    Ok(Envelope { uid: "".into(), namespace: namespace.into(), content })
}

/// Encodes what one node says.
///
/// # Errors
/// When this format has no such content, or a placeholder has no attachment.
pub fn encode(envelope: &Envelope) -> Result<Vec<u8>> {
    let Envelope { uid, content, .. } = envelope;
    let question = |kind: u8, request: Option<&str>| {
        let uid = Some(&**uid).filter(|uid| !uid.is_empty());
        Object::new().text_if("uid", uid).text_if("requestId", request).number("type", kind.into())
    };
    let said = |kind| question(kind, None);
    let asked = |kind, request| question(kind, Some(request));
    let told = |kind: u8, request: &str| Object::new().number("type", kind.into()).text("requestId", request);
    let targets = |targets: &Targets| opts(&targets.rooms, &targets.except, None);
    let answer = |request: &str| Object::new().text("requestId", request);
    let object = match content {
        Content::Broadcast { .. } => return Broadcast::encode(envelope, Format::Classic),
        Content::ServerEmit { name, arguments, request } => {
            let object = question(SERVER_EMIT, request.as_deref()).event("data", name, arguments);
            return object.bytes_with(arguments.attachments());
        }
        Content::Answer { request, arguments } => {
            let object = told(ANSWER, request).first("packet", arguments)?;
            return from_json(&object.end(), arguments.attachments());
        }
        Content::ServerAnswer { request, arguments } => {
            return told(SERVER_EMIT, request).first("data", arguments)?.bytes_with(arguments.attachments());
        }
        Content::Sockets { request, rooms } => asked(SOCKETS, request).texts("rooms", rooms),
        Content::AllRooms { request } => asked(ALL_ROOMS, request),
        Content::Fetch { request, targets: meant } => asked(FETCH, request).raw("opts", &targets(meant)),
        Content::Join { targets: meant, rooms, .. } => said(JOIN).raw("opts", &targets(meant)).texts("rooms", rooms),
        Content::Leave { targets: meant, rooms, .. } => said(LEAVE).raw("opts", &targets(meant)).texts("rooms", rooms),
        Content::Disconnect { targets: meant, close, .. } => {
            said(DISCONNECT).raw("opts", &targets(meant)).raw("close", if *close { "true" } else { "false" })
        }
        Content::Rooms { request, rooms } => answer(request).texts("rooms", rooms),
        Content::Found { request, sockets } => answer(request).sockets(sockets),
        Content::Sids { request, sids } => answer(request).texts("sockets", sids),
        Content::Count { request, clients } => told(COUNT, request).number("clientCount", *clients),
        Content::Done { request } => answer(request),
        Content::Heartbeat => return Err(DecodeError::PacketType),
    };
    Ok(object.end().into_bytes())
}
