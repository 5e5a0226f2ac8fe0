//! Broadcasts: written straight from the event, without an [`Envelope`].

use super::text::{Object, opts, quoted};
use super::{Content, Envelope, Format};
use crate::protocol::event::Event;
use crate::protocol::request::RawEvent;
use crate::protocol::{DecodeError, pack};

/// An event for the sessions on other nodes, borrowed.
#[derive(Debug)]
pub struct Broadcast<'a, S> {
    /// The node that says it.
    pub uid: &'a str,
    /// The namespace with its slash.
    pub namespace: &'a str,
    /// The event. Its `ack` is a matter of each node.
    pub event: Event<'a>,
    /// The rooms; none are all.
    pub rooms: &'a [S],
    /// Rooms whose members are left out.
    pub except: &'a [S],
    /// Whether it may be lost where a connection is not ready for it.
    pub volatile: bool,
    /// When the recipients' answers are wanted: under which id.
    pub request: Option<&'a str>,
}

impl Broadcast<'_, Box<str>> {
    /// The payload of an envelope that holds one.
    pub(super) fn encode(envelope: &Envelope, format: Format) -> Result<Vec<u8>, DecodeError> {
        let Envelope { uid, namespace, content } = envelope;
        let Content::Broadcast { targets, volatile, name, arguments, request } = content else {
            return Err(DecodeError::PacketType);
        };
        let raw = RawEvent { name, args: arguments.args(), arity: arguments.arity() };
        let broadcast = Broadcast {
            uid,
            namespace,
            event: Event { raw, attachments: arguments.attachments(), ack: None, offset: None },
            rooms: &targets.rooms,
            except: &targets.except,
            volatile: *volatile,
            request: request.as_deref(),
        };
        let mut out = Vec::new();
        broadcast.write(format, &mut out)?;
        Ok(out)
    }
}

impl<S: AsRef<str>> Broadcast<'_, S> {
    /// Appends the payload in `format`.
    ///
    /// # Errors
    /// When the event is not the JSON that it is known to be, or a placeholder has no attachment. `out` is as before then.
    pub fn write(&self, format: Format, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let start = out.len();
        let outcome = match format {
            Format::Classic => self.write_classic(out),
            Format::Sharded if self.event.attachments.is_empty() => {
                self.write_sharded_text(out);
                Ok(())
            }
            Format::Sharded => self.write_sharded(out),
        };
        if outcome.is_err() {
            out.truncate(start);
        }
        outcome
    }

    /// A list of three; a map where answers are wanted, as that goes to the channel of requests.
    fn write_classic(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.reserve(self.room_for_it());
        match self.request {
            None => {
                pack::array_head(3, out);
                pack::text(self.uid, out);
            }
            Some(request) => {
                pack::map_head(5, out);
                text(out, "uid", self.uid);
                text(out, "requestId", request);
                number(out, "type", super::classic::BROADCAST);
                pack::text("packet", out);
            }
        }
        pack::map_head(3, out);
        self.packet(out)?;
        text(out, "nsp", self.namespace);
        if self.request.is_some() {
            pack::text("opts", out);
        }
        self.opts(out);
        Ok(())
    }

    fn write_sharded(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.reserve(self.room_for_it());
        pack::map_head(4, out);
        number(out, "type", super::sharded::BROADCAST);
        pack::text("data", out);
        pack::map_head(2 + u8::from(self.request.is_some()), out);
        pack::text("packet", out);
        pack::map_head(2, out);
        self.packet(out)?;
        if let Some(request) = self.request {
            text(out, "requestId", request);
        }
        pack::text("opts", out);
        self.opts(out);
        text(out, "uid", self.uid);
        text(out, "nsp", self.namespace);
        Ok(())
    }

    /// JSON, where an event without binary values stays as it is.
    fn write_sharded_text(&self, out: &mut Vec<u8>) {
        let (raw, flags) = (self.event.raw, if self.volatile { r#"{"volatile":true}"# } else { "{}" });
        let behind = Object::new()
            .text_if("requestId", self.request)
            .raw("opts", &opts(self.rooms, self.except, Some(flags)))
            .end();
        let (uid, namespace) = (quoted(self.uid), quoted(self.namespace));
        let comma = if raw.args.is_empty() { "" } else { "," };
        let parts = [
            r#"{"type":3,"data":{"packet":{"type":2,"data":["#,
            raw.name,
            comma,
            raw.args,
            "]},",
            &behind[1..],
            r#","uid":"#,
            &uid,
            r#","nsp":"#,
            &namespace,
            "}",
        ];
        out.reserve(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }

    /// Two entries of a packet: what kind it is, and what it holds.
    fn packet(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        number(out, "type", EVENT);
        pack::text("data", out);
        pack::event(self.event.raw.name, self.event.raw.args, self.event.attachments, out)
    }

    fn opts(&self, out: &mut Vec<u8>) {
        pack::map_head(3, out);
        pack::text("rooms", out);
        pack::texts(self.rooms, out);
        pack::text("except", out);
        pack::texts(self.except, out);
        pack::text("flags", out);
        pack::map_head(u8::from(self.volatile), out);
        if self.volatile {
            pack::text("volatile", out);
            out.push(0xc3);
        }
    }

    /// About as many bytes as it takes.
    fn room_for_it(&self) -> usize {
        let event = &self.event;
        let binary: usize = event.attachments.iter().map(|bytes| bytes.len()).sum();
        event.raw.name.len() + event.raw.args.len() + binary + 128
    }
}

/// Socket.IO's packet type of an event. Nodes say it of events with binary values, too.
pub(super) const EVENT: u8 = 2;

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    pack::text(key, out);
    pack::text(value, out);
}

/// A number below 128.
fn number(out: &mut Vec<u8>, key: &str, value: u8) {
    pack::text(key, out);
    out.push(value);
}
