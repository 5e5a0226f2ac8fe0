//! A connection to one server: reached, agreed with, and ready for commands.

use super::resp::{self, Reader, Reply};
use super::server::Server;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Time for a connection to come up, and for what is said on it first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Room for what is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Bytes both ways, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection that takes commands.
pub(super) struct Socket {
    pub(super) stream: Box<dyn Stream>,
    pub(super) input: Reader,
    /// Commands that are to be sent.
    pub(super) output: Vec<u8>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("input", &self.input).finish_non_exhaustive()
    }
}

impl Socket {
    /// Connects, and agrees on who this is and on RESP3.
    ///
    /// # Errors
    /// When the server cannot be reached, takes longer than two seconds, or does not let this node in.
    pub(super) async fn connect(server: &Server) -> io::Result<Self> {
        let connecting = async {
            let stream = open(server).await?;
            let mut socket = Self { stream, input: Reader::default(), output: Vec::new() };
            socket.hello(server).await?;
            Ok(socket)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn hello(&mut self, server: &Server) -> io::Result<()> {
        let login = server.login();
        let mut words: Vec<&[u8]> = vec![b"3"];
        if let Some((user, password)) = &login {
            words.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
        }
        words.extend([&b"SETNAME"[..], server.name.as_bytes()]);
        resp::command(&mut self.output, "HELLO", &words);
        self.send().await?;
        match self.reply().await? {
            Reply::Error(text) => Err(io::Error::other(String::from_utf8_lossy(&text).into_owned())),
            _ => Ok(()),
        }
    }

    /// Asks whether the server is there.
    pub(super) async fn ping(&mut self) -> io::Result<()> {
        resp::command(&mut self.output, "PING", &[]);
        self.send().await?;
        match self.reply().await? {
            Reply::Text(_) => Ok(()),
            reply => Err(io::Error::other(format!("{reply:?}"))),
        }
    }

    /// Sends the commands.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await
    }

    /// Waits for the next reply.
    pub(super) async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(reply) = self.input.next().map_err(|_| broken())? {
                return Ok(reply);
            }
            fill(&mut self.stream, &mut self.input).await?;
        }
    }
}

/// Reads what has come. Cancel safe.
pub(super) async fn fill(stream: &mut (impl AsyncRead + Unpin), input: &mut Reader) -> io::Result<()> {
    input.buffer.reserve(READ_BYTES);
    match stream.read_buf(&mut input.buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// What a server says that does not speak the protocol.
pub(super) fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is not RESP3")
}

async fn open(server: &Server) -> io::Result<Box<dyn Stream>> {
    let (host, port) = server.address().ok_or_else(|| io::Error::other("the sentinels name no server"))?;
    let tcp = TcpStream::connect((&*host, port)).await?;
    tcp.set_nodelay(true)?;
    let Some(tls) = server.tls() else { return Ok(Box::new(tcp)) };
    let name = rustls::pki_types::ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(Box::new(tls.connect(name, tcp).await?))
}
