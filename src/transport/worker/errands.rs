//! What the doors want of a worker: new sockets, and the requests of sessions that poll.

use super::{Worker, with};
use crate::hub::{OutboxId, Sid};
use crate::lifecycle;
use crate::metrics::{self, Upgrade};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::payload::{self, Part};
use crate::protocol::websocket::{Incoming, write_close};
use crate::session::{Context, Handshake, Session};
use crate::transport::connection::Guest;
use crate::transport::entry::{Carrier, Entry};
use crate::transport::gate::Place;
use crate::transport::listener::lost_on_the_way;
use crate::transport::polling::{Polled, Polling, Refusal};
use crate::transport::socket::Socket;
use crate::transport::stream::Detached;
use bytes::Bytes;
use std::future::poll_fn;
use tokio::sync::oneshot;

/// How long a WebSocket may take to become the transport of a session that polls.
const UPGRADE_MS: u64 = 10_000;

/// What a door wants of a worker, and the way back for the answer.
#[derive(Debug)]
pub enum Errand {
    /// A socket has been taken over.
    Arrive(Box<Arrival>),
    /// Is a session of this id open?
    Knock(Sid, oneshot::Sender<bool>),
    /// A session that polls is to be opened, and has its place among the open sockets; the answer is its first payload.
    OpenPolling(Box<Handshake>, Place, oneshot::Sender<Polled>),
    /// A poll waits.
    Poll(Sid, oneshot::Sender<Polled>),
    /// The body of a POST is about to be read.
    BeginPost(Sid, oneshot::Sender<Result<(), Refusal>>),
    /// The body of a POST.
    Post(Sid, Bytes, oneshot::Sender<Result<(), Refusal>>),
    /// A request ended before its time, and the session ends with it.
    Abandon(Sid, Disconnect),
}

/// A socket on its way to its worker.
#[derive(Debug)]
pub struct Arrival {
    /// The connection; its request has been checked and not been answered.
    pub(in crate::transport) stream: Detached,
    /// What came behind the request already.
    pub(in crate::transport) early: Vec<u8>,
    /// What the answer begins with.
    pub(in crate::transport) head: Vec<u8>,
    /// Who comes.
    pub(in crate::transport) guest: Guest,
}

impl Worker {
    pub(super) fn run_errand(&mut self, errand: Errand) {
        let marked = self.hub.dirty_len();
        match errand {
            Errand::Arrive(arrival) => self.arrive(*arrival),
            Errand::Knock(sid, reply) => send(reply, self.knows(sid)),
            Errand::OpenPolling(handshake, seat, reply) => self.open_polling(*handshake, seat, reply),
            Errand::Poll(sid, reply) if self.is_upgrading(sid) => poll_after_reading(sid, reply),
            Errand::Poll(sid, reply) => self.poll(sid, reply),
            Errand::BeginPost(sid, reply) => {
                let begun = self.begin_post(sid);
                send(reply, begun);
            }
            Errand::Post(sid, body, reply) => {
                let taken = self.post(sid, &body);
                send(reply, taken);
            }
            Errand::Abandon(sid, disconnect) => {
                if let Some(id) = self.polling_at(sid) {
                    self.end(id, disconnect);
                }
            }
        }
        self.write_fresh(marked);
    }

    fn arrive(&mut self, arrival: Arrival) {
        let Arrival { stream, mut early, head, guest } = arrival;
        let stream = match stream.attach(&mut early) {
            Ok(stream) => stream,
            Err(error) => return lost_on_the_way(&self.stats, &error),
        };
        if self.send_buffer > 0
            && let Err(error) = stream.set_send_buffer_size(self.send_buffer)
        {
            tracing::debug!(%error, "the send buffer could not be set");
        }
        self.generation = self.generation.wrapping_add(1);
        let socket = Socket::new(stream, self.generation);
        match guest {
            Guest::New(handshake, seat) => self.open_socket(*handshake, seat, socket, head, early),
            Guest::Upgrade(sid) => self.probe(sid, socket, &head, early),
        }
    }

    fn open_socket(&mut self, handshake: Handshake, seat: Place, socket: Socket, head: Vec<u8>, mut early: Vec<u8>) {
        let generation = socket.generation;
        let id = self.open(handshake, head, seat, generation, |_| Carrier::Socket(socket));
        if !early.is_empty() {
            // Bytes that came right behind the handshake.
            self.receive(id, &mut early);
        }
        spawn_reader(id, generation);
    }

    fn open_polling(&mut self, handshake: Handshake, seat: Place, reply: oneshot::Sender<Polled>) {
        self.generation = self.generation.wrapping_add(1);
        let carrier = |sid: Sid| {
            let mut polling = Polling::new(sid);
            polling.wait(reply);
            Carrier::Polling(Box::new(polling))
        };
        let id = self.open(handshake, Vec::new(), seat, self.generation, carrier);
        self.write_one(id);
    }

    /// Opens a session, puts it into the table, and lets it say hello.
    fn open(
        &mut self,
        mut handshake: Handshake,
        head: Vec<u8>,
        seat: Place,
        generation: u32,
        carrier: impl FnOnce(Sid) -> Carrier,
    ) -> OutboxId {
        let rooms = std::mem::take(&mut handshake.rooms);
        let transport = handshake.transport;
        let now = self.now;
        let mut cx = Context { hub: &mut self.hub, rules: &self.rules, now, questions: &mut self.questions };
        let session = Session::new(handshake, &mut cx);
        let id = session.outbox();
        let place = id.0 as usize;
        if self.entries.len() <= place {
            self.entries.resize_with(place + 1, || None);
        }
        let sid = self.hub.fresh_sid(id);
        self.entries[place] = Some(Box::new(Entry::new(session, carrier(sid), generation, seat)));
        self.open += 1;
        self.hub.stats().open_sockets[transport.index()].add(1);
        self.with_session(id, |session, cx| session.say_hello(head, sid, rooms, cx));
        if self.hub.outbox(id).is_some_and(|outbox| outbox.closing().is_none()) {
            self.stats.handshake(metrics::Handshake::Accepted);
        }
        self.schedule(id);
        if self.draining {
            self.hub.close(id, Disconnect::RESTART);
        }
        id
    }

    /// Whether a WebSocket may have become a session's transport, and nobody has read yet that it has.
    fn is_upgrading(&mut self, sid: Sid) -> bool {
        let id = self.polling_at(sid);
        id.and_then(|id| self.polling(id)).is_some_and(|polling| polling.candidate.is_some())
    }

    fn poll(&mut self, sid: Sid, reply: oneshot::Sender<Polled>) {
        let Some(id) = self.polling_at(sid) else { return send(reply, Polled::Refused(Refusal::Unknown)) };
        let waits = self.hub.outbox(id).is_some_and(|outbox| !outbox.is_empty());
        let Some(polling) = self.polling(id) else { return };
        let alone = polling.wait(reply);
        if alone && polling.candidate.is_some() && !waits {
            self.release_soon(id);
        }
        if !alone {
            self.end(id, Disconnect::PROTOCOL);
        }
        self.write_one(id);
    }

    fn begin_post(&mut self, sid: Sid) -> Result<(), Refusal> {
        let id = self.polling_at(sid).ok_or(Refusal::Unknown)?;
        if self.hub.outbox(id).is_none_or(|outbox| outbox.closing().is_some()) {
            return Err(Refusal::Unknown);
        }
        let polling = self.polling(id).ok_or(Refusal::Unknown)?;
        if std::mem::replace(&mut polling.posting, true) {
            self.end(id, Disconnect::PROTOCOL);
            return Err(Refusal::Bad);
        }
        Ok(())
    }

    fn post(&mut self, sid: Sid, body: &[u8]) -> Result<(), Refusal> {
        let id = self.polling_at(sid).ok_or(Refusal::Unknown)?;
        if let Some(polling) = self.polling(id) {
            polling.posting = false;
        }
        self.look_at_clock();
        self.hub.stats().bytes_received.add(body.len() as u64);
        for part in payload::parts(body) {
            let outcome = match &part {
                Ok(Part::Text(text)) => self.hear(id, &Incoming::Text(text)),
                Ok(Part::Binary(bytes)) => self.hear(id, &Incoming::Binary(bytes)),
                Err(_) => Err(Disconnect::PROTOCOL),
            };
            if let Err(disconnect) = outcome {
                self.end(id, disconnect);
                return if disconnect == Disconnect::CLIENT_CLOSED { Ok(()) } else { Err(Refusal::Bad) };
            }
        }
        Ok(())
    }

    fn hear(&mut self, id: OutboxId, incoming: &Incoming<'_>) -> Result<(), Disconnect> {
        let Some(mut entry) = self.entries[id.0 as usize].take() else { return Ok(()) };
        let outcome = self.guarded(|cx| entry.session.receive(incoming, cx));
        self.hub.take_congestion();
        self.entries[id.0 as usize] = Some(entry);
        self.ask_questions();
        self.relieve();
        self.hurry(id);
        outcome
    }

    /// A WebSocket that wants to become the transport of a session that polls.
    fn probe(&mut self, sid: Sid, mut socket: Socket, head: &[u8], mut early: Vec<u8>) {
        let generation = socket.generation;
        let due = self.now.saturating_add(UPGRADE_MS);
        let free =
            self.polling_at(sid).filter(|id| self.polling(*id).is_some_and(|polling| polling.candidate.is_none()));
        let answered = socket.write_now(head);
        let Some(id) = free.filter(|_| answered) else {
            let mut close = Vec::new();
            write_close(Disconnect::POLICY, &mut close);
            socket.write_now(&close);
            return self.stats.upgrade(Upgrade::Failed);
        };
        if let Some(polling) = self.polling(id) {
            polling.candidate = Some(socket);
            polling.upgrade_due = due;
        }
        self.schedule(id);
        if !early.is_empty() {
            self.receive_probe(id, &mut early);
        }
        spawn_reader(id, generation);
    }

    /// Whether a session of this Engine.IO id is open, whatever its transport.
    fn knows(&mut self, sid: Sid) -> bool {
        let entry = self.hub.hub().place_of(sid).and_then(|id| self.entries.get(id.0 as usize)?.as_ref());
        entry.is_some_and(|entry| entry.is_known_as(sid))
    }

    /// The place of a session that polls under this id.
    fn polling_at(&mut self, sid: Sid) -> Option<OutboxId> {
        let id = self.hub.hub().place_of(sid)?;
        self.polling(id).is_some_and(|polling| polling.sid == sid).then_some(id)
    }

    pub(super) fn polling(&mut self, id: OutboxId) -> Option<&mut Polling> {
        self.entries.get_mut(id.0 as usize)?.as_mut()?.polling()
    }
}

/// Starts the task that reads a socket.
fn spawn_reader(id: OutboxId, generation: u32) {
    lifecycle::spawn_on_worker(poll_fn(move |cx| with(|worker| worker.poll_socket(id, generation, cx))));
}

fn send<T>(reply: oneshot::Sender<T>, answer: T) {
    // Whoever asked may have gone away.
    let _gone = reply.send(answer);
}

/// Looks at a poll once the sockets have been read: what the client said on its new way before comes first.
fn poll_after_reading(sid: Sid, reply: oneshot::Sender<Polled>) {
    lifecycle::spawn_on_worker(async move {
        tokio::task::yield_now().await;
        with(|worker| {
            worker.poll(sid, reply);
            worker.wake_turn();
        });
    });
}
