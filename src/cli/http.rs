//! Just enough of an HTTP client for the commands: one request on a connection of its own, with TLS where the address says so.

use super::Failure;
use crate::config::trusting;
use anyhow::{Context as _, anyhow};
use axum::body::{Body, to_bytes};
use axum::http::header::{HOST, HeaderValue};
use axum::http::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer that is read.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// The address of a server: `http://host[:port][/prefix]`, or the same with `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// `host:port`, as in a URL.
    pub(super) authority: String,
    /// Whether it speaks TLS.
    secure: bool,
    /// What stands before every path; empty, or beginning with `/`.
    prefix: String,
}

/// Which server a command is a client of.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArg {
    /// The server
    #[arg(long, env = "ROOMCAST_URL", value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub(super) url: ServerUrl,
    /// File with certificates (PEM) of authorities to trust besides those that this machine trusts
    #[arg(long, env = "ROOMCAST_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A connection to a server, whatever it travels in.
pub(super) type Stream = Box<dyn ReadWrite>;

/// What bytes are read from and written to.
pub(super) trait ReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ReadWrite for T {}

impl ServerArg {
    /// Whom to trust, if the server speaks TLS: read once, before anything is sent.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        if !self.url.secure {
            return Ok(Trust::default());
        }
        let wrong = |what: &Path, why: String| Failure::usage(format!("--ca {}: {why}", what.display()));
        let authorities = match &self.ca {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| wrong(path, error.to_string()))?),
            None => None,
        };
        let config = trusting(authorities.as_deref());
        let config = config
            .map_err(|why| self.ca.as_deref().map_or_else(|| Failure::usage(&why), |path| wrong(path, why.clone())))?;
        Ok(Trust(Some(TlsConnector::from(Arc::new(config)))))
    }
}

/// Whom a command trusts; nothing without TLS.
#[derive(Clone, Default)]
pub(super) struct Trust(Option<TlsConnector>);

impl Trust {
    /// Opens a connection; the error says what to look at.
    pub(super) async fn connect(&self, url: &ServerUrl) -> anyhow::Result<Stream> {
        let authority = &url.authority;
        let stream = TcpStream::connect(authority).await.map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused => {
                anyhow!("cannot connect to {authority}: connection refused (is the server running there?)")
            }
            _ => anyhow::Error::from(error).context(format!("cannot connect to {authority}")),
        })?;
        let Some(tls) = &self.0 else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(url.host().to_owned())
            .context("the host has no name that a certificate could have")?;
        let stream = tls.connect(name, stream).await.map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::InvalidData => " (does it speak TLS? name a private authority's certificate with --ca)",
                _ => "",
            };
            anyhow!("no TLS with {authority}: {error}{hint}")
        })?;
        Ok(Box::new(stream))
    }
}

impl ServerUrl {
    /// A server without TLS at `host:port`.
    pub(super) fn plain(authority: &str) -> Self {
        Self { authority: authority.to_owned(), secure: false, prefix: String::new() }
    }

    /// Its name or address. An IPv6 address stands in brackets in a URL, but not in a certificate.
    fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The path of something on that server.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// Reads it; `ws://` is the same as `http://`, and `wss://` as `https://`.
    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(format!("{text:?} is no server; write for example http://127.0.0.1:3000")),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| format!("{text:?} names no host"))?;
        let authority = match authority.port_u16() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{}:{}", authority.host(), if secure { 443 } else { 80 }),
        };
        Ok(Self { authority, secure, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

/// Sends a request, whose address is the path alone, and reads the answer.
pub(super) async fn exchange(
    url: &ServerUrl,
    trust: &Trust,
    mut request: Request<Body>,
    patience: Duration,
) -> Result<(StatusCode, String), Failure> {
    let authority = url.authority.as_str();
    let host = HeaderValue::from_str(authority).context("the host has characters that no host has")?;
    request.headers_mut().insert(HOST, host);
    let whole = async {
        let stream = trust.connect(url).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = to_bytes(Body::new(answer.into_body()), ANSWER_MAX_BYTES).await?;
            anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        // The connection ends when its sender is dropped, which is when the answer is there.
        let (answer, _connection) = tokio::join!(answer, connection);
        answer.with_context(|| format!("no answer from {authority}"))
    };
    let answer = tokio::time::timeout(patience, whole).await;
    Ok(answer.map_err(|_| anyhow!("no answer from {authority} within {} s", patience.as_secs_f32()))??)
}

/// A room name as one segment of a path.
pub(super) fn encode_segment(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_http_or_https_address() {
        let url: ServerUrl = "http://127.0.0.1:3000/".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.path("/ws").as_str()), ("127.0.0.1:3000", "/ws"));
        let url: ServerUrl = "ws://[::1]/rooms/".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.path("/ws").as_str()), ("[::1]:80", "/rooms/ws"));
        for (text, authority, host) in [
            ("https://a.example", "a.example:443", "a.example"),
            ("wss://a.example:8443/x", "a.example:8443", "a.example"),
            ("https://[::1]", "[::1]:443", "::1"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.authority.as_str(), url.host(), url.secure), (authority, host, true));
        }
        for bad in ["", "127.0.0.1:3000", "/x", "ftp://a", "http://"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn room_names_of_all_kinds_fit_into_a_path() {
        assert_eq!(encode_segment("room-17"), "room-17");
        assert_eq!(encode_segment("a/b c?ä:%"), "a%2Fb%20c%3F%C3%A4%3A%25");
    }
}
