//! Just enough of an HTTP client for the commands: one request on a connection of its own, without TLS.

use super::Failure;
use anyhow::{Context as _, anyhow};
use axum::body::{Body, to_bytes};
use axum::http::header::{HOST, HeaderValue};
use axum::http::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Largest answer that is read.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// The address of a server: `http://host[:port][/prefix]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// `host:port`, as in a URL.
    pub(super) authority: String,
    /// What stands before every path; empty, or beginning with `/`.
    prefix: String,
}

/// Which server a command is a client of.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArg {
    /// The server
    #[arg(long, env = "ROOMCAST_URL", value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub(super) url: ServerUrl,
}

impl ServerUrl {
    /// The path of something on that server.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// Reads it; `ws://` is the same as `http://`.
    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => {
                return Err("the commands of roomcast do not speak TLS: use an http:// address behind your TLS proxy, or curl and \
                            wscat with this one"
                    .into());
            }
            _ => return Err(format!("{text:?} is no server; write for example http://127.0.0.1:3000")),
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| format!("{text:?} names no host"))?;
        let authority = match authority.port_u16() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{}:80", authority.host()),
        };
        Ok(Self { authority, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

/// Sends a request, whose address is the path alone, and reads the answer.
pub(super) async fn exchange(
    authority: &str,
    mut request: Request<Body>,
    patience: Duration,
) -> Result<(StatusCode, String), Failure> {
    let host = HeaderValue::from_str(authority).context("the host has characters that no host has")?;
    request.headers_mut().insert(HOST, host);
    let whole = async {
        let stream = connect(authority).await?;
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

/// Opens a connection; the error says what to look at.
pub(super) async fn connect(authority: &str) -> anyhow::Result<TcpStream> {
    TcpStream::connect(authority).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            anyhow!("cannot connect to {authority}: connection refused (is the server running there?)")
        }
        _ => anyhow::Error::from(error).context(format!("cannot connect to {authority}")),
    })
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
    fn a_server_is_a_plain_http_address() {
        let url: ServerUrl = "http://127.0.0.1:3000/".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.path("/ws").as_str()), ("127.0.0.1:3000", "/ws"));
        let url: ServerUrl = "ws://[::1]/rooms/".parse().unwrap();
        assert_eq!((url.authority.as_str(), url.path("/ws").as_str()), ("[::1]:80", "/rooms/ws"));
        assert!("https://a.example".parse::<ServerUrl>().unwrap_err().contains("TLS proxy"));
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
