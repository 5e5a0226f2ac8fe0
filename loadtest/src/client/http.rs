//! Carries a session by HTTP: Engine.IO long-polling, and event streams. One connection for each client.
//!
//! A client that polls asks and posts in turn on its connection, so that nothing but its waiting poll is open while it is
//! idle. One that listens to a stream sends one request and nothing more.

use std::fmt::Write;

use clap::ValueEnum;
use memchr::memmem;
use serde::Serialize;

use super::dialect::{Dialect, Wire};
use super::{Client, Failure, Stage};
use crate::fleet::tally::Tally;

/// An answer's head longer than this is not a room server's.
const MAX_HEAD: usize = 16 * 1024;
/// Stands between the packets of a payload.
const SEPARATOR: char = '\x1e';

/// How a client's session is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// one WebSocket
    #[default]
    Websocket,
    /// long-polling, each client with its poll waiting
    Polling,
    /// long-polling, each client between two polls, its connection closed (for less than the server's ping timeout)
    PollingBetween,
    /// Server-Sent Events
    Sse,
}

/// The texts of all clients' requests.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    path: String,
    /// What follows the path of every request: version and headers, without the empty line.
    tail: String,
}

/// What a client that polls remembers.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    sid: String,
    /// Packets for the next POST.
    says: String,
    /// Whether the request under way is a POST.
    posting: bool,
    connection: Connection,
}

/// How the connection of a client that polls stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Connection {
    #[default]
    Open,
    /// The server ends it with the answer that has come: the next request needs another one.
    Ending,
    /// Another one is being made.
    Opening,
    /// None is needed any more.
    Done,
}

/// Where an answer's parts lie, and what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    start: usize,
    end: usize,
    is_last: bool,
}

impl Transport {
    /// Default path of the endpoint where this transport carries this wire; `None`: it cannot.
    pub(crate) fn path(self, wire: Wire) -> Option<&'static str> {
        match (self, wire) {
            (Self::Websocket, wire) => Some(wire.path()),
            (Self::Polling | Self::PollingBetween, Wire::Socketio) => Some("/socket.io/?EIO=4&transport=polling"),
            (Self::Sse, Wire::Socketio) => Some("/sse"),
            _ => None,
        }
    }
}

impl Requests {
    /// Requests for `path`, with a bearer token when there is one.
    pub(crate) fn new(host: &str, path: &str, token: Option<&str>) -> Self {
        let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        Self { path: path.to_owned(), tail: format!(" HTTP/1.1\r\nHost: {host}\r\n{authorization}") }
    }

    /// Listens to a room.
    pub(crate) fn listen(&self, room: &str) -> String {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        format!("GET {}{sign}room={room}{}\r\n", self.path, self.tail)
    }
}

impl Polling {
    /// Takes the session's id out of its open packet.
    pub(crate) fn opened(&mut self, packet: &[u8]) -> Result<(), Failure> {
        let open = packet.get(1..).and_then(|json| serde_json::from_slice::<serde_json::Value>(json).ok());
        let sid = open.as_ref().and_then(|open| open["sid"].as_str());
        sid.ok_or_else(|| Failure::protocol("the open packet names no session"))?.clone_into(&mut self.sid);
        Ok(())
    }

    /// Keeps a packet for the next POST.
    pub(crate) fn say(&mut self, packet: &str) {
        if !self.says.is_empty() {
            self.says.push(SEPARATOR);
        }
        self.says.push_str(packet);
    }

    /// Whether anything waits for the next POST.
    pub(crate) fn has_to_say(&self) -> bool {
        !self.says.is_empty()
    }

    /// The packets of an answer; none in the answer to a POST.
    pub(crate) fn packets<'a>(&mut self, body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let body = if std::mem::take(&mut self.posting) { &[][..] } else { body };
        body.split(|&byte| byte == SEPARATOR as u8).filter(|packet| !packet.is_empty())
    }

    /// What is asked next: a POST while there is something to say, or a poll.
    pub(crate) fn next(&mut self, requests: &Requests) -> String {
        let Requests { path, tail } = requests;
        let method = if self.has_to_say() { "POST" } else { "GET" };
        let mut request = format!("{method} {path}");
        if !self.sid.is_empty() {
            write!(request, "&sid={}", self.sid).ok();
        }
        request.push_str(tail);
        if self.has_to_say() {
            self.posting = true;
            write!(request, "Content-Length: {}\r\n", self.says.len()).ok();
        }
        request.push_str("\r\n");
        request.push_str(&std::mem::take(&mut self.says));
        request
    }
}

impl Client {
    /// Sends the next request of a client that polls, unless it is to stay between two polls.
    pub(super) fn ask(&mut self, dialect: &Dialect) {
        let Some(polling) = &mut self.polling else { return };
        let pauses = dialect.transport == Transport::PollingBetween && self.stage == Stage::Joined;
        if pauses && !polling.has_to_say() {
            polling.connection = Connection::Done;
        } else if polling.connection == Connection::Open {
            let requests = &dialect.door(self.node).requests;
            self.out.extend_from_slice(polling.next(requests).as_bytes());
        }
    }

    /// Consumes the complete answers of a client that polls.
    pub(super) fn answered(&mut self, dialect: &Dialect, bytes: &[u8], tally: &mut Tally) -> Result<usize, Failure> {
        let mut at = 0;
        while let Some(answer) = answer(&bytes[at..])? {
            let body = &bytes[at + answer.start..at + answer.end];
            at += answer.end;
            let Some(polling) = &mut self.polling else { break };
            if answer.is_last {
                polling.connection = Connection::Ending;
            }
            for packet in polling.packets(body) {
                self.text(dialect, packet, tally)?;
            }
            self.ask(dialect);
        }
        Ok(at)
    }

    /// Whether this client's connection is over, though not its session.
    pub(crate) fn leaves_connection(&self) -> bool {
        let connection = self.polling.as_ref().map_or(Connection::Open, |polling| polling.connection);
        matches!(connection, Connection::Ending | Connection::Done)
    }

    /// Its connection is closed; returns whether it needs another one.
    pub(crate) fn reconnects(&mut self) -> bool {
        self.rest.clear();
        match &mut self.polling {
            Some(polling) if polling.connection == Connection::Ending => {
                polling.connection = Connection::Opening;
                true
            }
            _ => false,
        }
    }

    /// Goes on where the last connection ended; false: this is the first.
    pub(super) fn connected_again(&mut self, dialect: &Dialect) -> bool {
        let Some(polling) = &mut self.polling else { return false };
        polling.connection = Connection::Open;
        self.ask(dialect);
        true
    }

    /// Whether a connection is being made, the first or another one.
    pub(crate) fn is_connecting(&self) -> bool {
        let again = self.polling.as_ref().is_some_and(|polling| polling.connection == Connection::Opening);
        again || self.stage == Stage::Connecting
    }

    /// Consumes the complete lines of an event stream; it is in its room when it says hello.
    pub(super) fn streamed(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<usize, Failure> {
        let mut at = 0;
        if self.stage == Stage::Upgrading {
            let Some((head, _)) = head(bytes)? else { return Ok(0) };
            at = head;
            self.stage = Stage::Greeting;
        }
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            match &bytes[at..at + length] {
                b"event: server.hello" => self.stage = Stage::Joined,
                b":" => tally.counts.heartbeats += 1,
                _ => {}
            }
            at += length + 1;
        }
        Ok(at)
    }
}

/// Length of an answer's head once it is complete and fine, and its fields.
fn head(bytes: &[u8]) -> Result<Option<(usize, String)>, Failure> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD { Err(Failure::protocol("an answer's head has no end")) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        let body = String::from_utf8_lossy(&bytes[end + 4..]);
        return Err(Failure::refused(format!("answered: {} {body}", head.lines().next().unwrap_or_default())));
    }
    Ok(Some((end + 4, head)))
}

/// The answer to a poll or a POST, once it is complete.
fn answer(bytes: &[u8]) -> Result<Option<Answer>, Failure> {
    let Some((start, head)) = head(bytes)? else { return Ok(None) };
    let field = |name| head.lines().filter_map(|line| line.split_once(": ")).find(|line| line.0 == name);
    let length = field("content-length").and_then(|(_, value)| value.parse().ok());
    let length: usize = length.ok_or_else(|| Failure::protocol("an answer to a poll announces no length"))?;
    let end = start.saturating_add(length);
    let is_last = field("connection").is_some_and(|(_, value)| value == "close");
    Ok((end <= bytes.len()).then_some(Answer { start, end, is_last }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::dialect::Door;

    #[test]
    fn a_client_opens_posts_what_it_has_to_say_and_polls() {
        let requests = Requests::new("host", "/x?EIO=4", Some("t"));
        let mut polling = Polling::default();
        let headers = "HTTP/1.1\r\nHost: host\r\nAuthorization: Bearer t\r\n";
        assert_eq!(polling.next(&requests), format!("GET /x?EIO=4 {headers}\r\n"));
        polling.opened(br#"0{"sid":"abc","pingInterval":1}"#).unwrap();
        polling.say("40");
        polling.say("3");
        let post = format!("POST /x?EIO=4&sid=abc {headers}Content-Length: 4\r\n\r\n40\x1e3");
        assert_eq!(polling.next(&requests), post);
        assert_eq!(polling.packets(b"ok").count(), 0);
        assert_eq!(polling.next(&requests), format!("GET /x?EIO=4&sid=abc {headers}\r\n"));
        assert_eq!(polling.packets(b"2\x1e42[]").collect::<Vec<_>>(), [&b"2"[..], b"42[]"]);
    }

    #[test]
    fn an_answer_is_awaited_to_its_last_byte() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
        assert_eq!(answer(bytes).unwrap(), Some(Answer { start: 38, end: 40, is_last: false }));
        let last = b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(answer(last).unwrap().unwrap().is_last);
        assert!(answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "a poll's answer has a length");
    }

    #[test]
    fn a_session_outlives_its_connection() {
        let dialect = Dialect {
            wire: Wire::Socketio,
            transport: Transport::PollingBetween,
            tag: crate::mark::tag(1),
            doors: vec![Door { upgrade: Vec::new(), requests: Requests::new("host", "/x?EIO=4", None) }],
            connect: "40".to_owned(),
            recovers: false,
            room_prefix: String::new(),
        };
        let mut tally = Tally::new(crate::fleet::tally::Window::default(), None, 1, 1);
        let mut client = Client::new(0, 0, 0);
        let mut hear = |client: &mut Client, more: &str, body: &str| {
            let answer = format!("HTTP/1.1 200 OK\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len());
            client.out.clear();
            assert_eq!(client.receive(&dialect, answer.as_bytes(), 0, &mut tally).unwrap(), answer.len());
        };
        client.connected(&dialect);
        hear(&mut client, "Connection: close\r\n", "0{\"sid\":\"abc\"}");
        assert!(client.leaves_connection() && client.out.is_empty());
        assert!(client.reconnects() && client.is_connecting());
        client.connected(&dialect);
        assert!(client.out.starts_with(b"POST /x?EIO=4&sid=abc "));
        hear(&mut client, "", "ok");
        hear(&mut client, "", "40{}");
        assert!(client.out.ends_with(b"420[\"joinRoom\",{\"room\":\"0\"}]"));
        hear(&mut client, "", "ok");
        hear(&mut client, "", "430[{}]");
        assert!(client.stage == Stage::Joined && client.leaves_connection());
        assert!(!client.reconnects(), "it stays between two polls");
    }
}
