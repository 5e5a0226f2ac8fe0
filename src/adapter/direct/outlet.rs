//! The connection that publishes.

use super::resp::{self, Reply};
use super::server::Server;
use super::socket::Socket;
use crate::adapter::broker::{Publication, Published};
use crate::adapter::client::{PING_TIMEOUT, SILENCE};
use std::io;
use std::time::Duration;
use tokio::sync::Mutex;

/// Pause between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(50);

/// Errors that say that a server cannot take publications now, rather than that it does not want this one.
const AWAY: [&[u8]; 8] =
    [b"LOADING", b"BUSY", b"MASTERDOWN", b"OOM", b"READONLY", b"NOAUTH", b"NOREPLICAS", b"UNBLOCKED"];

/// The connection that publishes, while there is one.
#[derive(Debug)]
pub(super) struct Outlet {
    server: Server,
    /// Empty while somebody uses it: one that was given up halfway is not used again.
    socket: Mutex<Option<Socket>>,
}

impl Outlet {
    pub(super) fn new(server: Server) -> Self {
        Self { server, socket: Mutex::new(None) }
    }

    /// Publishes in order, all at once.
    pub(super) async fn publish(&self, batch: &[Publication]) -> Published {
        let mut place = self.socket.lock().await;
        let mut published = Published { taken: 0, refused: false };
        let Some(mut socket) = place.take() else { return published };
        let publishing = tokio::time::timeout(SILENCE, self.exchange(&mut socket, batch, &mut published));
        match publishing.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => *place = Some(socket),
            Err(error) => tracing::debug!(%error, "the publishing connection"),
        }
        published
    }

    async fn exchange(&self, socket: &mut Socket, batch: &[Publication], published: &mut Published) -> io::Result<()> {
        for Publication { channel, payload } in batch {
            resp::command(&mut socket.output, self.server.publish(), &[channel.as_bytes(), payload]);
        }
        socket.send().await?;
        let mut failed = false;
        for _ in batch {
            match socket.reply().await? {
                Reply::Error(text) if !failed => {
                    failed = true;
                    published.refused = !AWAY.iter().any(|word| text.starts_with(word));
                    tracing::debug!(error = %text.escape_ascii(), "a publication");
                }
                _ => published.taken += usize::from(!failed),
            }
        }
        Ok(())
    }

    /// Waits until there is a connection that answers.
    pub(super) async fn ready(&self) {
        let mut place = self.socket.lock().await;
        loop {
            let socket = match place.take() {
                Some(socket) => Ok(socket),
                None => Socket::connect(&self.server).await,
            };
            match socket {
                Ok(mut socket) => {
                    if matches!(tokio::time::timeout(PING_TIMEOUT, socket.ping()).await, Ok(Ok(()))) {
                        *place = Some(socket);
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "cannot connect to publish"),
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }
}
