//! What is under a WebSocket: a TCP connection, with TLS in between where this process speaks it.

use super::tls::TlsSocket;
use rustls::ServerConnection;
use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What came in one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes, and nothing more for now.
    Drained(usize),
    /// So many bytes, and there may be more.
    More(usize),
    /// The connection is over.
    Ended,
}

/// A connection on its worker.
#[derive(Debug)]
pub(super) enum Stream {
    /// As the client sends it.
    Plain(TcpStream),
    /// Behind TLS.
    Tls(Box<TlsSocket>),
}

/// Reads once.
pub(super) fn receive(tcp: &TcpStream, buffer: &mut [u8]) -> Read {
    let mut taken = 0;
    // A short read means that the kernel has no more: telling tokio so at once saves the read that would find out.
    let result = tcp.try_io(Interest::READABLE, || {
        taken = rustix::net::recv(tcp, &mut *buffer, rustix::net::RecvFlags::empty())?.0;
        if taken > 0 && taken < buffer.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match result {
        Ok(()) if taken == 0 => Read::Ended,
        Ok(()) => Read::More(taken),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Read::Drained(taken),
        Err(_) => Read::Ended,
    }
}

/// Writes once. Not through tokio, which has not heard yet that a new socket can be written.
pub(super) fn send_now(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(tcp, bytes, rustix::net::SendFlags::NOSIGNAL)?)
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    /// Reads once. What the client said stands at the beginning of `scratch` then.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Read {
        match self {
            Self::Plain(tcp) => receive(tcp, scratch),
            Self::Tls(tls) => tls.read(scratch),
        }
    }

    /// Asks to be woken when there is something to read.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) if tls.is_ended() => Poll::Ready(Ok(())),
            Self::Plain(_) | Self::Tls(_) => self.tcp().poll_read_ready(cx),
        }
    }

    /// Asks to be woken when the kernel takes more.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_write_ready(cx)
    }

    /// Writes as much as is taken.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write(bytes),
            Self::Tls(tls) => tls.write(&mut [IoSlice::new(bytes)]),
        }
    }

    /// Writes as much as is taken.
    pub(super) fn try_write_vectored(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.try_write_vectored(slices),
            Self::Tls(tls) => tls.write(slices),
        }
    }

    /// Writes a few bytes at once, on a socket that may be new. False when the kernel does not take all of them.
    pub(super) fn write_now(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Plain(tcp) => send_now(tcp, bytes).is_ok_and(|sent| sent == bytes.len()),
            Self::Tls(tls) => tls.write_now(bytes).unwrap_or(false),
        }
    }

    /// Writes what was taken before but has not left yet. Returns whether all of it has now.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
        }
    }

    /// Whether something was taken that has not left yet.
    pub(super) fn has_unsent(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.has_unsent())
    }

    /// Whether something that was taken before has left since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.take_moved(),
        }
    }

    /// Closes the sending side.
    pub(super) fn shutdown(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.say_goodbye()?;
        }
        SockRef::from(self.tcp()).shutdown(Shutdown::Write)
    }

    /// The client's address, or its proxy's.
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }

    /// Sets the kernel's send buffer.
    pub(super) fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(self.tcp()).set_send_buffer_size(bytes)
    }
}

/// A connection on its way from the front to a worker: no runtime watches it.
#[derive(Debug)]
pub struct Detached {
    tcp: std::net::TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Detached {
    /// Gives it to the runtime of this thread. What the client has said already is appended to `early`.
    pub(super) fn attach(self, early: &mut Vec<u8>) -> io::Result<Stream> {
        let tcp = TcpStream::from_std(self.tcp)?;
        let Some(session) = self.tls else { return Ok(Stream::Plain(tcp)) };
        let mut tls = Box::new(TlsSocket::new(tcp, *session));
        let mut plain = [0; 4 * 1024];
        loop {
            match tls.drain(&mut plain)? {
                0 => return Ok(Stream::Tls(tls)),
                n => early.extend_from_slice(&plain[..n]),
            }
        }
    }
}

/// A connection in its HTTP phase.
#[derive(Debug)]
pub enum FrontStream {
    /// As the client sends it.
    Plain(TcpStream),
    /// Behind TLS, after the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl FrontStream {
    /// Takes it away from the runtime.
    pub(super) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Plain(tcp) => Ok(Detached { tcp: tcp.into_std()?, tls: None }),
            Self::Tls(tls) => {
                let (tcp, session) = tls.into_inner();
                Ok(Detached { tcp: tcp.into_std()?, tls: Some(Box::new(session)) })
            }
        }
    }
}

impl AsyncRead for FrontStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for FrontStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
