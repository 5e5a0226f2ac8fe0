//! A WebSocket whose session is on another node: bytes are copied both ways, and not looked at.

use super::UnderWay;
use crate::limiter::Held;
use crate::transport::stream::FrontStream;
use bytes::Bytes;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// What is on its way in one direction.
const COPY_BYTES: usize = 4 * 1024;

/// How long an end may take nothing.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one end may go on once the other has ended.
const LINGER: Duration = Duration::from_secs(2);

/// A WebSocket that the owner of its session has welcomed.
#[derive(Debug)]
pub(in crate::transport) struct Tunnel {
    /// The head of the owner's answer.
    pub(super) head: Vec<u8>,
    /// What the owner has said behind it already.
    pub(super) early: Bytes,
    pub(super) owner: TcpStream,
    /// Over how long such WebSockets are ended when this node drains.
    pub(super) drain_window: Duration,
    /// Its place among what is under way, and among the sockets of the client's address.
    pub(super) held: (UnderWay, Held),
}

impl Tunnel {
    /// Copies until both ends have ended, or `close` comes. `early` is what the client has said already.
    pub(in crate::transport) async fn run(self, client: FrontStream, early: Vec<u8>, close: CancellationToken) {
        let Self { mut head, early: welcome, owner, drain_window, held: _held } = self;
        head.extend(welcome);
        let (client_says, client_hears) = tokio::io::split(client);
        let (owner_says, owner_hears) = owner.into_split();
        // When the node drains, the owner is told that the client has gone: what it has said by then still arrives.
        let forth = pin!(copy(early, client_says, owner_hears, drained(close, drain_window)));
        let back = pin!(copy(head, owner_says, client_hears, std::future::pending()));
        let ended = futures_util::future::select(forth, back).await;
        let other_ended = async {
            match ended {
                futures_util::future::Either::Left(((), back)) => back.await,
                futures_util::future::Either::Right(((), forth)) => forth.await,
            }
        };
        // Whoever stays behind has had time enough.
        let _late = tokio::time::timeout(LINGER, other_ended).await;
    }
}

/// Resolves some time after `close`, so that not all clients come back at once.
async fn drained(close: CancellationToken, window: Duration) {
    close.cancelled().await;
    let mut byte = [0];
    // Without randomness all are ended at once.
    let _unknown = getrandom::fill(&mut byte);
    tokio::time::sleep(window.mul_f64(f64::from(byte[0]) / 256.0)).await;
}

/// Writes `first`, and then what one end says, to the other, until the one ends, the other takes nothing, or `stop` comes.
async fn copy(
    first: Vec<u8>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    stop: impl Future<Output = ()>,
) {
    let copied = async {
        write(&mut to, &first).await?;
        drop(first);
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            match from.read(&mut buffer).await? {
                0 => return io::Result::Ok(()),
                n => write(&mut to, &buffer[..n]).await?,
            }
        }
    };
    // An end that breaks has ended.
    let _broken = tokio::select! {
        copied = copied => copied,
        () = stop => Ok(()),
    };
    // The other end hears of it, unless it has gone too.
    let _gone = tokio::time::timeout(LINGER, to.shutdown()).await;
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    tokio::time::timeout(STALL_TIMEOUT, to.write_all(bytes)).await.map_err(io::Error::from)?
}
