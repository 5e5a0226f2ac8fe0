//! JSON objects, written key by key.

use super::RemoteSocket;
use crate::protocol::DecodeError;
use crate::protocol::arguments::Arguments;
use crate::protocol::json::{DEPTH_MAX, Scanner, write_string};
use crate::protocol::msgpack::from_json;
use bytes::Bytes;

/// An object that is being written.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self(String::from("{"))
    }

    /// Adds a key with raw JSON as its value.
    pub(super) fn raw(mut self, key: &str, raw: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write_string(key, &mut self.0);
        self.0.push(':');
        self.0.push_str(raw);
        self
    }

    /// The same where there may be none.
    pub(super) fn raw_if(self, key: &str, raw: Option<&str>) -> Self {
        match raw {
            Some(raw) => self.raw(key, raw),
            None => self,
        }
    }

    pub(super) fn text(self, key: &str, text: &str) -> Self {
        self.raw(key, &quoted(text))
    }

    pub(super) fn number(self, key: &str, number: u64) -> Self {
        self.raw(key, &number.to_string())
    }

    pub(super) fn text_if(self, key: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(key, text),
            None => self,
        }
    }

    pub(super) fn texts<S: AsRef<str>>(self, key: &str, texts: &[S]) -> Self {
        self.raw(key, &list(texts))
    }

    /// The first argument, if there is one: nodes answer with no more.
    pub(super) fn first(self, key: &str, arguments: &Arguments) -> Result<Self, DecodeError> {
        if arguments.arity() == 0 {
            return Ok(self);
        }
        let first = Scanner::new(arguments.args(), DEPTH_MAX).value()?;
        Ok(self.raw(key, first))
    }

    /// The name and the arguments of an event.
    pub(super) fn event(self, key: &str, name: &str, arguments: &Arguments) -> Self {
        let comma = if arguments.args().is_empty() { "" } else { "," };
        self.raw(key, &["[", name, comma, arguments.args(), "]"].concat())
    }

    /// The sessions of an answer, none of which holds binary values.
    pub(super) fn sockets(self, sockets: &[RemoteSocket]) -> Self {
        let socket = |socket: &RemoteSocket| {
            let object = Self::new().text("id", &socket.id).raw("handshake", &socket.handshake);
            object.texts("rooms", &socket.rooms).raw("data", &socket.data).end()
        };
        let sockets: Vec<_> = sockets.iter().map(socket).collect();
        self.raw("sockets", &format!("[{}]", sockets.join(",")))
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// The bytes: JSON, or MessagePack where there are binary values.
    pub(super) fn bytes_with(self, attachments: &[Bytes]) -> Result<Vec<u8>, DecodeError> {
        if attachments.is_empty() { Ok(self.end().into_bytes()) } else { from_json(&self.end(), attachments) }
    }
}

/// Who is meant, and how it is said; requests have no flags.
pub(super) fn opts<S: AsRef<str>>(rooms: &[S], except: &[S], flags: Option<&str>) -> String {
    Object::new().texts("rooms", rooms).texts("except", except).raw_if("flags", flags).end()
}

/// A list of strings.
fn list<S: AsRef<str>>(texts: &[S]) -> String {
    let mut out = String::from("[");
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(text.as_ref(), &mut out);
    }
    out.push(']');
    out
}

pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    out
}
