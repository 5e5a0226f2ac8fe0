//! Commands for the listening connection. Whoever gives one waits for its answer; the listener sends it, and reads answers.

use super::resp;
use crate::adapter::broker::Trouble;
use bytes::BytesMut;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Bytes of commands that may wait; with more the connection has long been stuck.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The commands that wait, and what has been answered.
#[derive(Debug)]
pub(super) struct Commands {
    queue: Mutex<Queue>,
    wake: Notify,
    done: watch::Sender<Done>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// The number of the last command.
    last: u64,
    /// The connection they are for; `None`: there is none.
    connection: Option<u64>,
    connections: u64,
    /// Why a command failed that was not answered as a whole yet.
    refusal: Option<String>,
}

/// How far the answers have come.
#[derive(Debug, Clone, Default)]
struct Done {
    connection: Option<u64>,
    number: u64,
    refusal: Option<String>,
}

impl Commands {
    pub(super) fn new() -> Self {
        Self { queue: Mutex::default(), wake: Notify::new(), done: watch::Sender::new(Done::default()) }
    }

    /// Gives a command; returns once everything it asks for is in force. What follows each command is a PING with its
    /// number: answers come in order, and one command may have many, or none.
    pub(super) async fn give(&self, name: &str, arguments: &[&[u8]]) -> Result<(), Trouble> {
        let mut done = self.done.subscribe();
        let (connection, number) = {
            let mut queue = self.queue();
            let connection = queue.connection.ok_or_else(away)?;
            if queue.bytes.len() > BYTES_MAX {
                return Err(Trouble("too many commands wait".to_owned()));
            }
            queue.last += 1;
            let number = queue.last;
            resp::command(&mut queue.bytes, name, arguments);
            resp::command(&mut queue.bytes, "PING", &[number.to_string().as_bytes()]);
            (connection, number)
        };
        self.wake.notify_one();
        let done = done.wait_for(|done| done.connection != Some(connection) || done.number >= number).await;
        match done.as_deref() {
            Ok(Done { connection: Some(at), refusal: None, .. }) if *at == connection => Ok(()),
            Ok(Done { connection: Some(at), refusal: Some(text), .. }) if *at == connection => {
                Err(Trouble(text.clone()))
            }
            _ => Err(away()),
        }
    }

    /// Waits until there are commands.
    pub(super) async fn waiting(&self) {
        while self.queue().bytes.is_empty() {
            self.wake.notified().await;
        }
    }

    /// Takes them.
    pub(super) fn take(&self, out: &mut BytesMut) {
        let mut queue = self.queue();
        out.extend_from_slice(&queue.bytes);
        queue.bytes = Vec::new();
    }

    /// Has the server say something.
    pub(super) fn ask_whether_it_is_there(&self) {
        let mut queue = self.queue();
        if queue.bytes.is_empty() {
            resp::command(&mut queue.bytes, "PING", &[b"0"]);
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// There is a connection.
    pub(super) fn up(&self) {
        let mut queue = self.queue();
        queue.connections += 1;
        let connection = Some(queue.connections);
        queue.connection = connection;
        self.done.send_replace(Done { connection, number: queue.last, refusal: None });
    }

    /// There is none any more: nobody gets an answer.
    pub(super) fn down(&self) {
        let mut queue = self.queue();
        (queue.connection, queue.refusal) = (None, None);
        queue.bytes = Vec::new();
        self.done.send_replace(Done::default());
    }

    /// The answer to a PING came.
    pub(super) fn answered(&self, text: &[u8]) {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        if number == 0 {
            return;
        }
        let (connection, refusal) = {
            let mut queue = self.queue();
            (queue.connection, queue.refusal.take())
        };
        self.done.send_replace(Done { connection, number, refusal });
    }

    /// A command failed.
    pub(super) fn refused(&self, text: &[u8]) {
        self.queue().refusal = Some(String::from_utf8_lossy(text).into_owned());
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn away() -> Trouble {
    Trouble("there is no connection".to_owned())
}
