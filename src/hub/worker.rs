//! What other threads can ask of a worker, and the bounded inbox they ask through.

use super::NamespaceId;
use super::address::Sid;
use super::broadcast::Broadcast;
use super::cluster::{Action, Selection, SocketInfo};
use super::gather::Heard;
use super::permission::Whom;
use super::presence::MemberInfo;
use super::recovery::RecoveryStep;
use crate::metrics::Cell;
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::raw_name;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait in an inbox, whatever their size.
const INBOX_COMMANDS: usize = 65_536;

/// How often, and with what pause, a command is tried that must not be lost: for a second altogether.
const INSIST_TRIES: u32 = 1_000;
const INSIST_PAUSE: Duration = Duration::from_millis(1);

/// A request from another thread.
#[derive(Debug)]
pub enum Command {
    /// Fan this out to the members here.
    Broadcast(Arc<Broadcast>),
    /// Hand this to one session, if it is in the room.
    Hand {
        /// Which one.
        sid: Sid,
        /// What is said.
        broadcast: Arc<Broadcast>,
    },
    /// List members of a room.
    Members {
        /// Namespace of the room.
        namespace: NamespaceId,
        /// Its name.
        room: Box<str>,
        /// Only sids after this one.
        cursor: Option<Sid>,
        /// Most entries, plus one to tell that there are more.
        limit: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<MemberInfo>>,
    },
    /// List sessions.
    Sessions {
        /// Which ones.
        query: SessionQuery,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<MemberInfo>>,
    },
    /// Show somebody what a session says and hears.
    Tap {
        /// Which one.
        sid: Sid,
        /// Where it is shown.
        sender: mpsc::Sender<super::TapRecord>,
        /// Whether it was found.
        reply: oneshot::Sender<bool>,
    },
    /// End a session.
    Kick {
        /// Which one.
        sid: Sid,
        /// How.
        kick: Kick,
        /// Whether it was found.
        reply: oneshot::Sender<bool>,
    },
    /// Do something to every session of a user or of a token.
    Each {
        /// Whose sessions.
        whom: Whom,
        /// What.
        deed: Deed,
        /// What became of it.
        reply: oneshot::Sender<Tally>,
    },
    /// Send an event to one session.
    Emit {
        /// Which one.
        sid: Sid,
        /// What.
        event: SessionEvent,
        /// The way to its answer, if the session was found and takes it.
        reply: oneshot::Sender<Result<Option<oneshot::Receiver<Arguments>>, Refusal>>,
    },
    /// Hand a session the answer to its request.
    Answer {
        /// Which one.
        sid: Sid,
        /// Where the answer belongs.
        reply_to: ReplyTo,
        /// The arguments of the ack.
        answer: Arguments,
    },
    /// Fan this out to the members here, and gather what they answer.
    Gather {
        /// What is said.
        broadcast: Arc<Broadcast>,
        /// How long they have.
        timeout: Duration,
        /// Where the answers go.
        reply: mpsc::Sender<Heard>,
    },
    /// List the sessions here that an application means.
    Fetch {
        /// Which ones.
        selection: Arc<Selection>,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<SocketInfo>>,
    },
    /// Have the sessions here that an application means do something.
    Manage {
        /// Which ones.
        selection: Arc<Selection>,
        /// What.
        action: Arc<Action>,
        /// How many there were.
        reply: oneshot::Sender<usize>,
    },
    /// Something about a session that comes back.
    Recover(RecoveryStep),
    /// Close all sessions.
    Drain(DrainOrder),
}

/// Which request an answer belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// The id of a Socket.IO event.
    SocketIo(u64),
    /// The raw id of a plain packet.
    Native(Box<str>),
    /// The same, of a packet that is refused after all: the answer is the refusal.
    NativeRefusal(Box<str>),
}

/// What a service does to sessions.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Ends them.
    End(Disconnect),
    /// Lets them join a room, whoever else may.
    Join(NamespaceId, Box<str>),
    /// Makes them leave a room.
    Leave(NamespaceId, Box<str>),
}

/// What became of a deed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sessions that it was done to.
    pub done: usize,
    /// Sessions for which a limit was in the way.
    pub refused: usize,
    /// When the last of their tokens expires, in milliseconds since 1970; 0 if none says.
    pub expires_at: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            done: self.done + other.done,
            refused: self.refused + other.refused,
            expires_at: self.expires_at.max(other.expires_at),
        }
    }
}

/// How a session is ended by an operator.
#[derive(Debug, Clone, Copy)]
pub struct Kick {
    /// Code and reason. One that allows a reconnect closes the transport only.
    pub disconnect: Disconnect,
}

/// An event for one session.
#[derive(Debug)]
pub struct SessionEvent {
    /// Name, a raw JSON string.
    pub name: String,
    /// Its arguments.
    pub arguments: Arguments,
    /// How long to wait for the client's acknowledgement; `None` asks for none.
    pub ack_timeout: Option<Duration>,
}

impl SessionEvent {
    /// An event that asks for no answer.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself.
    pub fn new(event: &str, arguments: Arguments) -> Result<Self, Refusal> {
        Ok(Self { name: raw_name(event)?, arguments, ack_timeout: None })
    }
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct SessionQuery {
    /// Only those of this user.
    pub user: Option<String>,
    /// Only those in this room.
    pub room: Option<(NamespaceId, String)>,
    /// Only sids after this one.
    pub cursor: Option<Sid>,
    /// Most entries.
    pub limit: usize,
}

/// How to close all sessions.
#[derive(Debug, Clone, Copy)]
pub struct DrainOrder {
    /// Time over which they are spread.
    pub window: Duration,
    /// Time after which what is left is closed at once.
    pub deadline: Duration,
}

/// The sending side of a worker's inbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    sender: mpsc::Sender<Parcel>,
    waiting: Arc<Cell>,
    bytes_max: usize,
}

/// The receiving side of a worker's inbox.
#[derive(Debug)]
pub struct Inbox {
    receiver: mpsc::Receiver<Parcel>,
    waiting: Arc<Cell>,
}

#[derive(Debug)]
struct Parcel {
    command: Command,
    cost: usize,
}

/// Both sides of an inbox; `waiting` shows the bytes that wait in it.
pub(super) fn mailbox(bytes_max: usize, waiting: Arc<Cell>) -> (Mailbox, Inbox) {
    let (sender, receiver) = mpsc::channel(INBOX_COMMANDS);
    (Mailbox { sender, waiting: Arc::clone(&waiting), bytes_max }, Inbox { receiver, waiting })
}

impl Mailbox {
    /// Posts a command that takes `cost` bytes. Returns whether there was space.
    pub(super) fn post(&self, command: Command, cost: usize) -> bool {
        let waiting = usize::try_from(self.waiting.get()).unwrap_or(usize::MAX);
        if cost > 0 && waiting.saturating_add(cost) > self.bytes_max {
            return false;
        }
        self.waiting.add_shared(cost as u64);
        let posted = self.sender.try_send(Parcel { command, cost }).is_ok();
        if !posted {
            self.waiting.sub_shared(cost as u64);
        }
        posted
    }

    /// Posts a command that must not be lost to a full inbox, by trying again for a while. A worker that takes nothing for
    /// so long is stuck, and the drain's deadline ends it.
    pub(super) fn insist(&self, mut command: Command) {
        let mut tries = 0;
        while let Err(mpsc::error::TrySendError::Full(parcel)) = self.sender.try_send(Parcel { command, cost: 0 }) {
            command = parcel.command;
            tries += 1;
            if tries > INSIST_TRIES {
                return;
            }
            std::thread::sleep(INSIST_PAUSE);
        }
    }
}

impl Inbox {
    /// The next command, when there is one. `None`: every sender is gone.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Command>> {
        self.receiver.poll_recv(cx).map(|parcel| {
            parcel.map(|parcel| {
                self.waiting.sub_shared(parcel.cost as u64);
                parcel.command
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn an_inbox_takes_so_many_bytes_and_shows_them() {
        let waiting = Arc::new(Cell::default());
        let (mailbox, mut inbox) = mailbox(100, Arc::clone(&waiting));
        let order = || Command::Drain(DrainOrder { window: Duration::ZERO, deadline: Duration::ZERO });
        assert!(mailbox.post(order(), 60) && !mailbox.post(order(), 60) && mailbox.post(order(), 40));
        assert_eq!(waiting.get(), 100);
        assert!(mailbox.post(order(), 0), "what costs nothing always finds a place");
        let mut cx = Context::from_waker(Waker::noop());
        for left in [40, 0, 0] {
            assert!(matches!(inbox.poll_next(&mut cx), Poll::Ready(Some(_))));
            assert_eq!(waiting.get(), left);
        }
    }
}
