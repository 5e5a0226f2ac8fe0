//! A member of rooms who only listens: by plain WebSocket or by an event stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pipe::Pipe;
use super::rest::Requests;
use super::{Listening, answer};
use crate::client::{frame, handshake};

/// How far an ear has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The TCP connection is being made.
    Connecting,
    /// The request was sent.
    Asking,
    /// So many rooms were asked for.
    Joining(usize),
    /// In all rooms.
    Joined,
    /// Its connection has ended.
    Ended,
}

/// A member who listens.
#[derive(Debug)]
pub(super) struct Ear {
    listening: Listening,
    /// How far it has come.
    pub(super) stage: Stage,
    /// Its connection.
    pub(super) pipe: Option<Pipe>,
    /// Why it has ended.
    pub(super) failure: Option<String>,
    /// The name of the event whose data comes next on a stream.
    name: String,
}

/// What the server says on a plain WebSocket, and as the data of an event on a stream.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    hello: Option<&'a RawValue>,
    id: Option<u64>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Ear {
    pub(super) fn new(listening: Listening) -> Self {
        Self { listening, stage: Stage::Connecting, pipe: None, failure: None, name: String::new() }
    }

    /// Something came, or it can be written to. Hands events to `hear`: the name and the data.
    pub(super) fn ready(
        &mut self,
        requests: &Requests,
        buffer: &mut Vec<u8>,
        to_end: bool,
        mut hear: impl FnMut(&str, &[u8]),
    ) -> Result<(), String> {
        let Some(mut pipe) = self.pipe.take() else { return Ok(()) };
        if self.stage == Stage::Connecting {
            self.stage = Stage::Asking;
            pipe.out = if self.listening.is_stream {
                requests.stream(&self.listening.rooms).into_bytes()
            } else {
                requests.upgrade()
            };
        }
        pipe.flush()?;
        pipe.read(buffer, to_end, |bytes, out| {
            if self.listening.is_stream { self.streamed(bytes, &mut hear) } else { self.framed(bytes, out, &mut hear) }
        })?;
        pipe.flush()?;
        self.pipe = Some(pipe);
        Ok(())
    }

    fn framed(&mut self, bytes: &[u8], out: &mut Vec<u8>, hear: &mut impl FnMut(&str, &[u8])) -> Result<usize, String> {
        let mut at = 0;
        if self.stage == Stage::Asking {
            let Some(head) = handshake::answer(bytes).map_err(|failure| failure.to_string())? else { return Ok(0) };
            at = head;
            self.stage = Stage::Joining(0);
        }
        while let Some(head) = frame::head(&bytes[at..]).map_err(|failure| failure.to_string())? {
            let Some(payload) = bytes.get(at + head.start..at + head.end) else { break };
            at += head.end;
            match head.opcode {
                frame::TEXT => self.text(payload, out, hear)?,
                frame::PING => frame::append(out, frame::PONG, payload),
                frame::CLOSE => return Err(format!("closed: {}", String::from_utf8_lossy(payload))),
                _ => {}
            }
        }
        Ok(at)
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>, hear: &mut impl FnMut(&str, &[u8])) -> Result<(), String> {
        let said: Said<'_> = serde_json::from_slice(text).map_err(|error| format!("no JSON: {error}"))?;
        if let Some(error) = said.error {
            return Err(format!("refused: {error}"));
        }
        if let (Some(name), Some(data)) = (&said.event, said.data) {
            hear(name, data.get().as_bytes());
        } else if said.hello.is_some() || said.id.is_some() {
            // one room after the other: the answer to one asks for the next
            if let Stage::Joining(joined) = self.stage {
                match self.listening.rooms.get(joined) {
                    None => self.stage = Stage::Joined,
                    Some(room) => {
                        let join = serde_json::json!({"id": joined + 1, "join": room}).to_string();
                        frame::append(out, frame::TEXT, join.as_bytes());
                        self.stage = Stage::Joining(joined + 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn streamed(&mut self, bytes: &[u8], hear: &mut impl FnMut(&str, &[u8])) -> Result<usize, String> {
        let mut at = 0;
        if self.stage == Stage::Asking {
            let Some((head, length)) = answer::head(bytes)? else { return Ok(0) };
            if !head.starts_with("HTTP/1.1 200") {
                return Err(format!("{head} {}", String::from_utf8_lossy(&bytes[length..])));
            }
            at = length;
            self.stage = Stage::Joining(0);
        }
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            let line = &bytes[at..at + length];
            at += length + 1;
            if let Some(name) = line.strip_prefix(b"event: ") {
                self.name = String::from_utf8_lossy(name).into_owned();
                if self.name == "server.hello" {
                    self.stage = Stage::Joined;
                }
            } else if let Some(data) = line.strip_prefix(b"data: ") {
                let said: Said<'_> = serde_json::from_slice(data).map_err(|error| format!("no JSON: {error}"))?;
                if let Some(data) = said.data {
                    hear(&self.name, data.get().as_bytes());
                }
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_line_by_line_however_it_is_cut() {
        let text = b"HTTP/1.1 200 OK\r\n\r\n1f\r\nevent: server.hello\ndata: {}\n\n\r\n31\r\nevent: x\ndata: {\"room\":\"r\",\"data\":{\"a\":1}}\n\n\r\n";
        for cut in 1..text.len() {
            let mut ear = Ear::new(Listening { rooms: Vec::new(), is_stream: true });
            ear.stage = Stage::Asking;
            let mut heard = Vec::new();
            let mut hear = |name: &str, data: &[u8]| heard.push(format!("{name} {}", String::from_utf8_lossy(data)));
            let used = ear.streamed(&text[..cut], &mut hear).unwrap();
            ear.streamed(&text[used..], &mut hear).unwrap();
            assert_eq!(heard, ["x {\"a\":1}"], "cut at {cut}");
        }
    }

    #[test]
    fn rooms_are_joined_one_after_the_other() {
        let mut ear = Ear::new(Listening { rooms: vec!["a".into(), "b".into()], is_stream: false });
        ear.stage = Stage::Joining(0);
        let mut heard = 0;
        for (text, stage) in [
            (r#"{"hello":{}}"#, Stage::Joining(1)),
            (r#"{"id":1,"ok":{}}"#, Stage::Joining(2)),
            (r#"{"room":"a","event":"e","data":{}}"#, Stage::Joining(2)),
            (r#"{"id":2,"ok":{}}"#, Stage::Joined),
        ] {
            ear.text(text.as_bytes(), &mut Vec::new(), &mut |_, _| heard += 1).unwrap();
            assert_eq!(ear.stage, stage, "{text}");
        }
        assert_eq!(heard, 1);
        assert!(ear.text(br#"{"id":3,"error":{}}"#, &mut Vec::new(), &mut |_, _| ()).is_err());
    }
}
