//! One simulated client: upgrade, greeting, join, and then a stream of deliveries to check.
//!
//! A client is a state machine over bytes. It owns no socket: the fleet's worker reads into a
//! shared buffer, lets the client consume what is complete, and writes what the client has queued
//! in `out`. What carries its session is a WebSocket; [`http`] knows the other ways.
//!
//! # Invariants
//! - Only what is incomplete is kept in `rest`; an idle client keeps no buffer.
//! - Publishes are queued only up to [`OUT_LIMIT`]; beyond, the schedule remembers what is owed.

pub(crate) mod dialect;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod http;
mod memory;
pub(crate) mod template;

use std::fmt;

use crate::checker::Sequence;
use crate::fleet::journal::Farewell;
use crate::fleet::tally::Tally;
use crate::mark::Mark;
use dialect::{Dialect, Said, Wire};
use http::{Polling, Transport};
use memory::Memory;

/// A client's unsent bytes above which due publishes wait in the schedule.
pub(crate) const OUT_LIMIT: usize = 256 * 1024;

/// How many bytes of a failure's text tell its kind.
const MAX_KIND_LEN: usize = 80;

/// How far a client has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not started, or the TCP connection is being made.
    #[default]
    Connecting,
    /// The upgrade was sent.
    Upgrading,
    /// Waits for the greeting of the protocol above WebSocket.
    Greeting,
    /// The join was sent.
    Joining,
    /// In its room.
    Joined,
    /// Ended, on purpose or not.
    Closed,
}

/// Why a client ended.
#[derive(Clone, Debug)]
pub(crate) struct Failure(String);

/// One simulated client.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// How far it has come.
    pub(crate) stage: Stage,
    /// Index of its room.
    pub(crate) room: u32,
    /// Index of the node it connects to.
    pub(crate) node: u32,
    /// Bytes to write.
    pub(crate) out: Vec<u8>,
    /// How many bytes of `out` are written.
    pub(crate) written: usize,
    /// Bytes of an incomplete frame.
    pub(crate) rest: Vec<u8>,
    /// One sequence per publisher of the room.
    pub(crate) sequences: Vec<Sequence>,
    /// What the server said about the end of this connection.
    pub(crate) farewell: Farewell,
    /// Whether it comes and goes: what it sees counts from its first delivery on, and nobody owes it any.
    pub(crate) visits: bool,
    /// Whether this connection went on with the session of the one before.
    pub(crate) recovered: bool,
    memory: Option<Box<Memory>>,
    polling: Option<Box<Polling>>,
    mark_at: usize,
}

impl Failure {
    /// The server broke the protocol.
    pub(crate) fn protocol(what: &str) -> Self {
        Self(format!("protocol: {what}"))
    }

    /// The server said no, or the connection failed.
    pub(crate) fn refused(what: String) -> Self {
        Self(what)
    }
}

impl Failure {
    /// What it has in common with others: the text, or with an error's code in place of its details.
    pub(crate) fn kind(&self) -> String {
        const CODE: &str = "\"code\":\"";
        let code = self.0.split_once(CODE).and_then(|(_, rest)| rest.split('"').next());
        match (code, self.0.split_once(": ")) {
            (Some(code), Some((what, _))) => format!("{what}: {code}"),
            _ => self.0[..self.0.floor_char_boundary(MAX_KIND_LEN)].to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Client {
    /// A client that will join `room`, where `publishers` publish, on `node`.
    pub(crate) fn new(room: u32, publishers: usize, node: u32) -> Self {
        Self { room, node, sequences: (0..publishers).map(|_| Sequence::default()).collect(), ..Self::default() }
    }

    /// The TCP connection stands: asks for the upgrade, for a session or for a stream.
    pub(crate) fn connected(&mut self, dialect: &Dialect) {
        if self.connected_again(dialect) {
            return;
        }
        self.stage = Stage::Upgrading;
        match dialect.transport {
            Transport::Websocket => self.out.extend_from_slice(&dialect.door(self.node).upgrade),
            Transport::Polling | Transport::PollingBetween => {
                self.stage = Stage::Greeting;
                self.polling = Some(Box::default());
                self.ask(dialect);
            }
            Transport::Sse => {
                let request = dialect.door(self.node).requests.listen(&dialect.room_name(self.room));
                self.out.extend_from_slice(request.as_bytes());
            }
        }
    }

    /// Forgets the connection that ended, not what was seen: ready for another one.
    pub(crate) fn renew(&mut self) {
        self.stage = Stage::Connecting;
        self.farewell = Farewell::default();
        self.recovered = false;
        self.rest.clear();
    }

    /// Bytes that wait for the socket.
    pub(crate) fn queued(&self) -> usize {
        self.out.len() - self.written
    }

    /// Consumes the complete frames of `bytes`; returns how many bytes that were.
    pub(crate) fn receive(
        &mut self,
        dialect: &Dialect,
        bytes: &[u8],
        now: u64,
        tally: &mut Tally,
    ) -> Result<usize, Failure> {
        match dialect.transport {
            Transport::Websocket => {}
            Transport::Polling | Transport::PollingBetween => return self.answered(dialect, bytes, tally),
            Transport::Sse => return self.streamed(bytes, tally),
        }
        let mut at = 0;
        if self.stage == Stage::Upgrading {
            let Some(head) = handshake::answer(bytes)? else {
                return Ok(0);
            };
            at = head;
            self.stage = Stage::Greeting;
            if dialect.wire == Wire::Json {
                self.join(dialect);
            }
        }
        while let Some(head) = frame::head(&bytes[at..])? {
            let Some(payload) = bytes.get(at + head.start..at + head.end) else {
                break;
            };
            at += head.end;
            if let Some(mark) = Mark::at(payload, self.mark_at, &dialect.tag) {
                self.delivered(mark, now, tally);
                if dialect.recovers {
                    self.note_offset(payload);
                }
            } else {
                self.other(dialect, head.opcode, payload, now, tally)?;
            }
        }
        Ok(at)
    }

    #[inline]
    fn delivered(&mut self, mark: Mark, now: u64, tally: &mut Tally) {
        match self.sequences.get_mut(mark.publisher as usize) {
            Some(sequence) if mark.room == self.room => {
                if self.visits {
                    tally.visited(sequence.observe_from_first(mark.sequence));
                    return;
                }
                tally.delivered(&mark, sequence.observe(mark.sequence), self.node, now);
            }
            _ => tally.counts.wrong_room += 1,
        }
    }

    /// Whatever is not a delivery at the place where the last one had its mark.
    #[cold]
    fn other(
        &mut self,
        dialect: &Dialect,
        opcode: u8,
        payload: &[u8],
        now: u64,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        match opcode {
            frame::TEXT => {
                if let Some(at) = Mark::find(payload, &dialect.tag)
                    && let Some(mark) = Mark::at(payload, at, &dialect.tag)
                {
                    self.mark_at = at;
                    self.delivered(mark, now, tally);
                } else {
                    self.text(dialect, payload, tally)?;
                }
                if dialect.recovers {
                    self.note_offset(payload);
                }
            }
            frame::PING => {
                tally.counts.heartbeats += 1;
                frame::append(&mut self.out, frame::PONG, payload);
            }
            frame::CLOSE => {
                let code = match payload {
                    [high, low, ..] => u16::from_be_bytes([*high, *low]),
                    _ => 1005,
                };
                self.farewell.close_code = Some(code);
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                return Err(Failure::refused(format!("server closed: {code} {reason}")));
            }
            frame::BINARY => tally.counts.foreign += 1,
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, dialect: &Dialect, payload: &[u8], tally: &mut Tally) -> Result<(), Failure> {
        let said = dialect.understand(payload);
        match said {
            Said::Open => {
                if let Some(polling) = &mut self.polling {
                    polling.opened(payload)?;
                }
                let packet = self.memory.as_ref().map(|memory| memory.connect_packet());
                self.say(packet.as_ref().unwrap_or(&dialect.connect));
            }
            Said::Connected if dialect.recovers && self.goes_on(payload) => self.stage = Stage::Joined,
            Said::Connected => self.join(dialect),
            Said::Joined if self.stage == Stage::Joining => self.stage = Stage::Joined,
            Said::Acked => tally.counts.acks += 1,
            Said::Ping => {
                tally.counts.heartbeats += 1;
                self.say("3");
            }
            Said::Error | Said::Disconnected => {
                self.farewell.disconnect_packet |= said == Said::Disconnected;
                let text = String::from_utf8_lossy(payload).into_owned();
                if self.stage < Stage::Joined {
                    return Err(Failure::refused(format!("join refused: {text}")));
                }
                tally.error(text);
            }
            Said::Draining => {
                self.farewell.draining = Some(Dialect::reconnect_hint(payload));
                tally.sample("the server is draining".to_owned());
            }
            Said::Joined => {}
            Said::Other if self.stage == Stage::Joined => tally.counts.foreign += 1,
            Said::Other => {}
        }
        Ok(())
    }

    /// Asks to join the room.
    pub(crate) fn join(&mut self, dialect: &Dialect) {
        self.stage = Stage::Joining;
        self.say(&dialect.join(self.room));
    }

    fn say(&mut self, text: &str) {
        match &mut self.polling {
            None => frame::append(&mut self.out, frame::TEXT, text.as_bytes()),
            Some(polling) => polling.say(text),
        }
    }
}
