//! The connection that listens.

use super::commands::Commands;
use super::resp::{Reader, Reply};
use super::server::Server;
use super::socket::{Socket, Stream, broken, fill};
use crate::adapter::broker::{Incoming, Listener};
use crate::adapter::client::SILENCE;
use crate::lifecycle;
use bytes::{Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::Sleep;

/// Pause between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(50);

/// Without a word for so long the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(2);

/// Reads what comes in, and connects again for ever.
pub(crate) struct Inlet {
    server: Server,
    commands: Arc<Commands>,
    open: Option<Open>,
    /// Whether it has been said that there is no connection.
    complained: bool,
}

/// A connection that is up.
struct Open {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    input: Reader,
    /// Commands that are being sent.
    output: BytesMut,
    heard: Instant,
    look: Pin<Box<Sleep>>,
}

impl Inlet {
    pub(super) fn new(server: Server, commands: Arc<Commands>) -> Self {
        Self { server, commands, open: None, complained: false }
    }

    /// Connects, however often it takes.
    async fn connect(&mut self) {
        loop {
            match Socket::connect(&self.server).await {
                Ok(Socket { stream, input, .. }) => {
                    let (read, write) = tokio::io::split(stream);
                    let look = Box::pin(tokio::time::sleep(QUIET));
                    let heard = lifecycle::now();
                    self.open = Some(Open { read, write, input, output: BytesMut::new(), heard, look });
                    self.complained = false;
                    self.commands.up();
                    return;
                }
                Err(error) if self.complained => tracing::debug!(%error, "cannot connect to listen"),
                Err(error) => {
                    self.complained = true;
                    tracing::warn!(%error, "cannot connect to Redis; this goes on trying");
                }
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

impl Listener for Inlet {
    async fn next(&mut self) -> Incoming {
        let Some(open) = &mut self.open else {
            self.connect().await;
            return Incoming::Up;
        };
        match open.next(&self.commands).await {
            Ok(incoming) => incoming,
            Err(error) => {
                tracing::debug!(%error, "the listening connection");
                self.open = None;
                self.commands.down();
                Incoming::Down
            }
        }
    }
}

impl Open {
    async fn next(&mut self, commands: &Commands) -> io::Result<Incoming> {
        loop {
            // Many may have come at once: others on this thread get their turn between them.
            tokio::task::consume_budget().await;
            while let Some(reply) = self.input.next().map_err(|_| broken())? {
                if let Some(incoming) = take(reply, commands) {
                    return Ok(incoming);
                }
            }
            self.exchange(commands).await?;
        }
    }

    /// Sends and reads what there is. Cancel safe.
    async fn exchange(&mut self, commands: &Commands) -> io::Result<()> {
        let Self { read, write, input, output, heard, look } = self;
        let idle = output.is_empty();
        tokio::select! {
            filled = fill(read, input) => {
                *heard = lifecycle::now();
                filled
            }
            () = commands.waiting(), if idle => {
                commands.take(output);
                Ok(())
            }
            written = write.write_buf(output), if !idle => match written? {
                0 => Err(io::ErrorKind::WriteZero.into()),
                _ => write.flush().await,
            },
            () = look.as_mut() => {
                let quiet = lifecycle::now().duration_since(*heard);
                look.as_mut().reset((lifecycle::now() + QUIET).into());
                if quiet >= SILENCE {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                if quiet >= QUIET {
                    commands.ask_whether_it_is_there();
                }
                Ok(())
            }
        }
    }
}

/// What a reply means to the node; answers to commands go to who waits for them.
fn take(reply: Reply, commands: &Commands) -> Option<Incoming> {
    match reply {
        Reply::Push(entries) => payload(&entries, None),
        // What has come of it makes no sense, and is counted as that.
        Reply::TooLong(entries) => payload(&entries, Some(Bytes::new())),
        Reply::Text(text) => {
            commands.answered(&text);
            None
        }
        Reply::Error(text) => {
            commands.refused(&text);
            None
        }
        Reply::Other => None,
    }
}

fn payload(entries: &[Bytes], payload: Option<Bytes>) -> Option<Incoming> {
    let (kind, rest) = entries.split_first()?;
    let by_prefix = match &**kind {
        b"message" | b"smessage" => false,
        b"pmessage" => true,
        _ => return None,
    };
    let rest = if by_prefix { rest.get(1..)? } else { rest };
    let channel = String::from_utf8_lossy(rest.first()?).into_owned();
    let payload = match payload {
        Some(payload) => payload,
        None => rest.get(1)?.clone(),
    };
    Some(Incoming::Payload { channel, by_prefix, payload })
}
