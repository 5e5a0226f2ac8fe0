//! A plain WebSocket connection to a server, as far as watching needs it.

use super::super::Failure;
use super::super::http::{ServerUrl, Stream, Trust};
use crate::config::Secret;
use crate::protocol::disconnect::Disconnect;
use anyhow::{Context as _, anyhow};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};

/// How long connecting and joining may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a server may be silent before it has said how often it pings.
const SILENCE: Duration = Duration::from_secs(60);

/// What a server may be late with a ping.
const PING_SLACK: Duration = Duration::from_secs(10);

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// Connecting again may help.
    Lost(anyhow::Error),
    /// It would not.
    Final(Failure),
}

/// A packet of the server.
#[derive(Debug, Deserialize)]
pub(super) struct Packet {
    pub(super) room: Option<String>,
    pub(super) event: Option<String>,
    pub(super) data: Option<Box<RawValue>>,
    pub(super) args: Option<Box<RawValue>>,
    pub(super) seq: Option<u64>,
    id: Option<usize>,
    ok: Option<Box<RawValue>>,
    error: Option<Refusal>,
    hello: Option<Hello>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    code: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Hello {
    ping_interval_ms: u64,
}

/// An open connection.
pub(super) struct Connection {
    stream: WebSocketStream<Stream>,
    silence: Duration,
    /// Events that came while joining.
    early: VecDeque<Packet>,
}

impl Connection {
    pub(super) async fn open(url: &ServerUrl, trust: &Trust, token: Option<&Secret>) -> Result<Self, Ended> {
        // Whether there is TLS below is not the WebSocket's affair.
        let address = format!("ws://{}{}", url.authority, url.path("/ws"));
        let mut request = address.into_client_request().map_err(|error| Ended::Final(anyhow!(error).into()))?;
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let value =
                value.map_err(|_| Ended::Final(Failure::usage("the token has characters that no token has")))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let handshake = async {
            let stream = trust.connect(url).await.map_err(Ended::Lost)?;
            tokio_tungstenite::client_async(request, stream)
                .await
                .map_err(|error| refused_handshake(&url.authority, error))
        };
        let (stream, _response) = Box::pin(in_time(handshake, "connected")).await?;
        Ok(Self { stream, silence: SILENCE, early: VecDeque::new() })
    }

    /// Joins the rooms; all have to let us in.
    pub(super) async fn join(&mut self, rooms: &[String]) -> Result<(), Ended> {
        in_time(self.join_all(rooms), "joined").await
    }

    async fn join_all(&mut self, rooms: &[String]) -> Result<(), Ended> {
        for (id, room) in rooms.iter().enumerate() {
            let packet = serde_json::json!({ "id": id, "join": room }).to_string();
            self.stream.send(Message::text(packet)).await.map_err(lost)?;
            loop {
                let packet = self.next_packet().await?;
                if packet.event.is_some() && packet.id.is_none() {
                    self.early.push_back(packet);
                } else if packet.id == Some(id) && packet.ok.is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The next event. One that was said in several rooms at once, or in a namespace, names no room.
    pub(super) async fn next_event(&mut self) -> Result<Packet, Ended> {
        loop {
            let packet = match self.early.pop_front() {
                Some(packet) => packet,
                None => self.next_packet().await?,
            };
            if packet.event.is_some() {
                return Ok(packet);
            }
        }
    }

    /// The next packet that is no error.
    async fn next_packet(&mut self) -> Result<Packet, Ended> {
        loop {
            let next = tokio::time::timeout(self.silence, self.stream.next()).await;
            let message = match next.map_err(|_| Ended::Lost(anyhow!("the server is silent")))? {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => return Err(closed(frame.as_ref())),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(lost(error)),
                None => return Err(closed(None)),
            };
            let packet: Packet = serde_json::from_str(&message)
                .context("the server sent what is no packet")
                .map_err(|error| Ended::Final(error.into()))?;
            if let Some(Refusal { code, detail }) = &packet.error {
                return Err(Ended::Final(anyhow!("the server refused: {code}: {detail}").into()));
            }
            if let Some(Hello { ping_interval_ms }) = packet.hello {
                self.silence = Duration::from_millis(ping_interval_ms).saturating_mul(2).saturating_add(PING_SLACK);
            }
            return Ok(packet);
        }
    }
}

async fn in_time<T>(what: impl Future<Output = Result<T, Ended>>, done: &str) -> Result<T, Ended> {
    let outcome = tokio::time::timeout(PATIENCE, what).await;
    outcome.unwrap_or_else(|_| Err(Ended::Lost(anyhow!("not {done} within {} s", PATIENCE.as_secs()))))
}

fn lost(error: tungstenite::Error) -> Ended {
    Ended::Lost(anyhow::Error::from(error).context("the connection was lost"))
}

fn refused_handshake(authority: &str, error: tungstenite::Error) -> Ended {
    let tungstenite::Error::Http(response) = error else {
        return Ended::Lost(anyhow::Error::from(error).context(format!("no WebSocket with {authority}")));
    };
    let status = response.status();
    let hint = match status.as_u16() {
        401 => "the token is not valid here, or no more (make one with `roomcast token`)",
        403 => "this token may not connect",
        404 => "there is no roomcast at this address",
        503 => "the server takes no more sockets now",
        _ => "it does not speak WebSocket there",
    };
    let error = anyhow!("{authority} refused the connection: {status}: {hint}");
    if status.is_server_error() { Ended::Lost(error) } else { Ended::Final(error.into()) }
}

/// What a close frame means; without one the connection just broke.
fn closed(frame: Option<&CloseFrame>) -> Ended {
    let Some(frame) = frame else { return Ended::Lost(anyhow!("the connection was lost")) };
    let code = u16::from(frame.code);
    let known = Disconnect::ALL.iter().find(|reason| reason.code == code && reason.reason == frame.reason.as_str());
    if *known.unwrap_or(&Disconnect::CONNECTION_LOST) == Disconnect::UNAUTHENTICATED {
        let hint =
            "the server asks for a token: give one with --token or ROOMCAST_TOKEN (make it with `roomcast token`)";
        return Ended::Final(anyhow!(hint).into());
    }
    let error = anyhow!("the server closed the connection: {} ({code})", frame.reason.as_str().escape_debug());
    if known.is_none_or(|reason| reason.reconnect) { Ended::Lost(error) } else { Ended::Final(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(reason: &Disconnect) -> Ended {
        closed(Some(&CloseFrame { code: reason.code.into(), reason: reason.reason.into() }))
    }

    #[test]
    fn the_table_of_reasons_says_whether_to_connect_again() {
        for reason in Disconnect::ALL {
            assert_eq!(matches!(close(reason), Ended::Lost(_)), reason.reconnect, "{reason:?}");
        }
        assert!(matches!(closed(None), Ended::Lost(_)));
        let Ended::Final(Failure::Run(error)) = close(&Disconnect::UNAUTHENTICATED) else { panic!("not final") };
        assert!(error.to_string().contains("--token"), "{error}");
    }
}
