//! Reading what another node wrote: both formats become JSON text first, with the binary values beside it.

use super::{Content, Limits, RemoteSocket, Targets};
use crate::protocol::DecodeError;
use crate::protocol::arguments::Arguments;
use crate::protocol::event::{check_placeholders, with_base64};
use crate::protocol::json::{DEPTH_MAX, Scanner};
use crate::protocol::msgpack::{Transcoded, to_json_of_notepack};
use crate::protocol::name::is_reserved;
use crate::protocol::pack::text_of;
use bytes::Bytes;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, DecodeError>;

/// Levels of nesting around an event's data, or a session's.
const LEVELS: u8 = 4;

/// What a packet holds: see [`PACKET`].
pub(super) type Packet<'a> = [Option<&'a str>; 3];

/// The keys of a packet.
pub(super) const PACKET: [&str; 3] = ["\"type\"", "\"data\"", "\"nsp\""];

/// What a packet that has to be there holds.
pub(super) fn packet_of(raw: Option<&str>) -> Result<Packet<'_>> {
    keys(raw.ok_or(DecodeError::Packet)?, PACKET)
}

/// One payload as JSON text, known to be valid.
pub(super) struct Text<'a> {
    json: Cow<'a, str>,
    attachments: Vec<Bytes>,
    limits: &'a Limits,
}

impl<'a> Text<'a> {
    /// JSON when it begins with a brace, MessagePack otherwise: in MessagePack a brace is a number, with which nothing begins.
    pub(super) fn read(payload: &'a [u8], limits: &'a Limits) -> Result<Self> {
        if payload.first() != Some(&b'{') {
            return Self::unpack(payload, limits);
        }
        check_size(payload, limits)?;
        let json = std::str::from_utf8(payload).map_err(|_| DecodeError::Json)?;
        let mut scanner = Scanner::new(json, depth_around(limits));
        scanner.value()?;
        scanner.end()?;
        Ok(Self { json: json.into(), attachments: Vec::new(), limits })
    }

    /// MessagePack, whatever it begins with.
    pub(super) fn unpack(payload: &'a [u8], limits: &'a Limits) -> Result<Self> {
        check_size(payload, limits)?;
        let Transcoded { json, attachments } = to_json_of_notepack(payload, depth_around(limits), limits.attachments)?;
        Ok(Self { json: json.into(), attachments, limits })
    }

    pub(super) fn raw(&self) -> &str {
        &self.json
    }

    /// Who is meant.
    pub(super) fn targets(&self, opts: Option<&str>) -> Result<Targets> {
        let [rooms, except] = keys(opts.ok_or(DecodeError::Packet)?, ["\"rooms\"", "\"except\""])?;
        Ok(Targets { rooms: self.names(rooms)?, except: self.names(except)? })
    }

    /// The names in a list of rooms; no list is an empty one, as it is for Node's sets.
    pub(super) fn names<T: for<'s> From<Cow<'s, str>>>(&self, list: Option<&str>) -> Result<Vec<T>> {
        self.entries(list.unwrap_or("[]"))?.into_iter().map(|raw| Ok(name(raw)?.into())).collect()
    }

    /// The raw elements of a list that is not too long.
    pub(super) fn entries<'b>(&self, list: &'b str) -> Result<Vec<&'b str>> {
        let (mut raws, mut count) = (Vec::new(), 0);
        Scanner::new(list, DEPTH_MAX).array(|raw| {
            if count < self.limits.entries {
                raws.push(raw);
            }
            count += 1;
        })?;
        if count > self.limits.entries { Err(DecodeError::Size) } else { Ok(raws) }
    }

    /// The name and the arguments of an event: a list whose first element is a string.
    pub(super) fn event(&self, data: Option<&str>) -> Result<(String, Arguments)> {
        let mut scanner = Scanner::new(data.ok_or(DecodeError::Packet)?, self.limits.depth);
        let (mut name, mut from, mut to, mut arity) = ("", 0, 0, 0);
        scanner.expect(b'[')?;
        scanner.nested(|scanner| {
            name = scanner.string()?;
            while scanner.eat(b',') {
                let value = scanner.value()?;
                to = scanner.position();
                from = if arity == 0 { to - value.len() } else { from };
                arity += 1;
            }
            scanner.expect(b']')
        })?;
        Ok((name.to_owned(), Arguments::relay(scanner.slice(from, to), arity, &self.attachments)?))
    }

    /// An event for sessions. Its name is one that their clients take; older nodes say of events with binary values that
    /// they are binary events.
    pub(super) fn broadcast(
        &self,
        [kind, data, _]: Packet<'_>,
        opts: Option<&str>,
        request: Option<Box<str>>,
    ) -> Result<Content> {
        if !matches!(kind, Some("2" | "5")) {
            return Err(DecodeError::PacketType);
        }
        let (name, arguments) = self.event(data)?;
        if is_reserved(&name) {
            return Err(DecodeError::Packet);
        }
        let [rooms, except, flags] = keys(opts.ok_or(DecodeError::Packet)?, ["\"rooms\"", "\"except\"", "\"flags\""])?;
        let targets = Targets { rooms: self.names(rooms)?, except: self.names(except)? };
        let [volatile] = keys(flags.unwrap_or("{}"), ["\"volatile\""])?;
        Ok(Content::Broadcast { targets, volatile: volatile == Some("true"), name, arguments, request })
    }

    /// What was answered, if anything was.
    pub(super) fn answer(&self, raw: Option<&str>) -> Result<Arguments> {
        let Some(raw) = raw else { return Ok(Arguments::none()) };
        Scanner::new(raw, self.limits.depth).value()?;
        Arguments::relay(raw, 1, &self.attachments)
    }

    /// The sessions that a node found.
    pub(super) fn sockets(&self, list: &str) -> Result<Vec<RemoteSocket>> {
        if !self.attachments.is_empty() {
            check_placeholders(list, &self.attachments)?;
        }
        self.entries(list)?.into_iter().map(|raw| self.socket(raw)).collect()
    }

    fn socket(&self, raw: &str) -> Result<RemoteSocket> {
        let [id, rooms, handshake, data] = keys(raw, ["\"id\"", "\"rooms\"", "\"handshake\"", "\"data\""])?;
        let json = |raw: Option<&str>| {
            let text = with_base64(raw.unwrap_or("null"), &self.attachments)?;
            Ok(text.into_owned())
        };
        let id = text(id.ok_or(DecodeError::Packet)?)?;
        Ok(RemoteSocket { id: id.into(), rooms: self.names(rooms)?, handshake: json(handshake)?, data: json(data)? })
    }
}

fn check_size(payload: &[u8], limits: &Limits) -> Result<()> {
    if payload.len() > limits.bytes { Err(DecodeError::Size) } else { Ok(()) }
}

fn depth_around(limits: &Limits) -> u8 {
    limits.depth.saturating_add(LEVELS).min(DEPTH_MAX)
}

/// The raw values of these keys of an object: of a key that comes twice the last one, as in JavaScript; none where it is
/// `null`.
pub(super) fn keys<'a, const N: usize>(object: &'a str, wanted: [&str; N]) -> Result<[Option<&'a str>; N]> {
    let mut found = [None; N];
    Scanner::new(object, DEPTH_MAX).object(|key, value| {
        if let Some(at) = wanted.iter().position(|wanted| *wanted == key) {
            found[at] = Some(value).filter(|value| *value != "null");
        }
    })?;
    Ok(found)
}

/// The raw value of one key, which may be `null`.
pub(super) fn nullable<'a>(object: &'a str, wanted: &str) -> Result<Option<&'a str>> {
    let mut found = None;
    Scanner::new(object, DEPTH_MAX).object(|key, value| found = if key == wanted { Some(value) } else { found })?;
    Ok(found)
}

/// The text of a raw string.
pub(super) fn text(raw: &str) -> Result<Cow<'_, str>> {
    if raw.starts_with('"') { Ok(text_of(raw)) } else { Err(DecodeError::Packet) }
}

/// The text of a string that has to be there.
pub(super) fn needed(raw: Option<&str>) -> Result<Box<str>> {
    Ok(text(raw.ok_or(DecodeError::Packet)?)?.into())
}

/// The text of a string that may be missing.
pub(super) fn optional(raw: Option<&str>) -> Result<Option<Box<str>>> {
    raw.map(|raw| Ok(text(raw)?.into())).transpose()
}

/// How many sessions.
pub(super) fn count(raw: Option<&str>) -> Result<u64> {
    raw.and_then(|raw| raw.parse().ok()).ok_or(DecodeError::Packet)
}

/// A room: numbers have their text as name, and what can be no room of anybody here has none.
fn name(raw: &str) -> Result<Cow<'_, str>> {
    match raw.as_bytes().first() {
        Some(b'"') => Ok(text_of(raw)),
        Some(b'-' | b'0'..=b'9') => Ok(raw.strip_suffix(".0").unwrap_or(raw).into()),
        Some(b'n' | b't' | b'f') => Ok("".into()),
        _ => Err(DecodeError::Packet),
    }
}
