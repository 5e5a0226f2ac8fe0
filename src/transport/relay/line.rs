//! One connection to another node, for one request at a time. Nothing runs on it by itself: whoever waits for an answer
//! drives it, and whoever stops waiting closes it.

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;

/// After how much silence the other machine is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection and the way to send on it.
#[derive(Debug)]
pub(super) struct Line {
    sender: SendRequest<Body>,
    wire: Wire,
}

/// The connection itself, which moves only while it is driven.
#[derive(Debug)]
struct Wire {
    connection: Connection<TokioIo<TcpStream>, Body>,
    is_over: bool,
}

impl Wire {
    /// Waits for something that the connection brings.
    async fn drive<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        loop {
            tokio::select! {
                biased;
                _ended = &mut self.connection, if !self.is_over => self.is_over = true,
                come = &mut wanted => return come,
            }
        }
    }
}

impl Line {
    /// A new connection. `None`: there is none to be had.
    pub(super) async fn connect(address: &str, tcp_user_timeout: Duration) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        if let Err(error) = prepare(&stream, tcp_user_timeout) {
            tracing::debug!(%error, "a socket option could not be set");
        }
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        Some(Self { sender, wire: Wire { connection, is_over: false } })
    }

    /// Sends a request and waits for the head of its answer. An error has the request if nothing of it has left.
    pub(super) async fn ask(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Option<Box<Request<Body>>>> {
        let answer = self.wire.drive(self.sender.try_send_request(request)).await;
        answer.map_err(|mut error| error.take_message().map(Box::new))
    }

    /// Reads the body of an answer. `None`: it broke off, or is too long.
    pub(super) async fn read(&mut self, body: Incoming, max: usize) -> Option<Bytes> {
        self.wire.drive(to_bytes(Body::new(body), max)).await.ok()
    }

    /// Whether another request can be sent, as far as is known at this moment.
    pub(super) async fn is_ready(&mut self) -> bool {
        let wire = &mut self.wire;
        poll_fn(|cx| {
            wire.is_over = wire.is_over || Pin::new(&mut wire.connection).poll(cx).is_ready();
            Poll::Ready(())
        })
        .await;
        !self.wire.is_over && self.sender.is_ready()
    }

    /// The connection after its last answer, and what has come behind that.
    pub(super) fn into_stream(self) -> (TcpStream, Bytes) {
        let parts = self.wire.connection.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
}

/// Small packets leave at once, and a machine that is gone without a word is noticed.
fn prepare(stream: &TcpStream, tcp_user_timeout: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    stream.set_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(tcp_user_timeout))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}
