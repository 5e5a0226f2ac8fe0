//! Watching one session: what it says and what it is told, line by line, over HTTP.

use super::super::http::{ServerArg, encode_segment};
use super::super::{Failure, complain, say};
use super::line::harmless;
use crate::config::Secret;
use anyhow::{Context as _, anyhow};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::time::Duration;

/// How long the server may take to say that it shows the session.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest line that is read.
const LINE_MAX_BYTES: usize = 1 << 20;

/// A line of the server, as far as people are shown it.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    direction: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    bytes: usize,
    text: Option<String>,
    base64: Option<String>,
    #[serde(default)]
    cut: bool,
    #[serde(default)]
    missed: u64,
    end: Option<String>,
}

/// Shows a session until it ends or the server's time for that is up. Without a colour of people's taste, the lines are those
/// of the server.
pub(super) async fn watch(
    server: &ServerArg,
    sid: &str,
    key: Option<&Secret>,
    people: Option<bool>,
) -> Result<(), Failure> {
    let (server, trust) = (&server.url, server.trust()?);
    let path = server.path(&format!("/api/v1/sessions/{}/tap", encode_segment(sid)));
    let mut request = Request::get(path).header(HOST, &server.authority);
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
    }
    let request = request.body(Body::empty());
    let request = request.map_err(|_| Failure::usage("the key has characters that no header has"))?;
    let stream = trust.connect(server).await?;
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.context("the server does not speak HTTP")?;
    let shown = async move {
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let answer =
            answer.context("no answer in time")?.with_context(|| format!("no answer from {}", server.authority))?;
        let (status, body) = (answer.status(), Body::new(answer.into_body()));
        if status != StatusCode::OK {
            let text = axum::body::to_bytes(body, LINE_MAX_BYTES).await.unwrap_or_default();
            return Err(refused(status, &text).into());
        }
        complain(&format!("watching session {sid} on {}", server.authority));
        show(body, people).await
    };
    // The connection ends when its sender is dropped, which is when everything has been shown.
    let (shown, _connection) = tokio::join!(shown, connection);
    shown
}

async fn show(body: Body, people: Option<bool>) -> Result<(), Failure> {
    let (mut chunks, mut waiting) = (body.into_data_stream(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        waiting.extend_from_slice(&chunk.context("the connection was lost")?);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line);
            let parsed: Line = serde_json::from_str(&text).context("the server sent what is no line of a tap")?;
            match (&parsed.end, people) {
                (Some(end), _) if end == "time" => complain("the server's time for watching is up"),
                (Some(_), _) => complain("the session has ended"),
                (None, Some(colour)) => say(&look(&parsed, colour))?,
                (None, None) => say(&text)?,
            }
            if parsed.end.is_some() {
                return Ok(());
            }
        }
        if waiting.len() > LINE_MAX_BYTES {
            return Err(anyhow!("the server sent a line without an end").into());
        }
    }
    Err(anyhow!("the connection was lost").into())
}

/// One line for people.
fn look(line: &Line, colour: bool) -> String {
    let [dim, cyan, green, yellow, plain] =
        if colour { ["\x1b[2m", "\x1b[36m", "\x1b[32m", "\x1b[33m", "\x1b[0m"] } else { [""; 5] };
    let incoming = line.direction.as_deref() == Some("in");
    let (arrow, tint) = if incoming { ("→", cyan) } else { ("←", green) };
    let clock = line.time.get(11..23).unwrap_or_default();
    let kind = line.kind.as_deref().unwrap_or_default();
    let shown = line.text.as_deref().or(line.base64.as_deref()).unwrap_or_default();
    let missed = match line.missed {
        0 => String::new(),
        missed => format!("{yellow}({missed} left out){plain}\n"),
    };
    let (kind, shown, more) = (harmless(kind), harmless(shown), if line.cut { "…" } else { "" });
    format!(
        "{missed}{dim}{}{plain}  {tint}{arrow} {kind:<6}{plain}  {:>7}  {shown}{more}\n",
        harmless(clock),
        line.bytes
    )
}

fn refused(status: StatusCode, answer: &[u8]) -> anyhow::Error {
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            " (give a key for operators: --api-key or ROOMCAST_API_KEY)"
        }
        _ => "",
    };
    let problem: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => anyhow!("the server does not show the session: {}{hint}", harmless(detail)),
        None => anyhow!("the server does not show the session: {status}{hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_which_way_a_message_went_and_how_it_begins() {
        let text = |line: &str| look(&serde_json::from_str(line).unwrap(), false);
        assert_eq!(
            text(
                r#"{"time":"2026-11-21T06:00:00.123Z","direction":"in","wire":"json","kind":"text","bytes":5,"text":"hello"}"#
            ),
            "06:00:00.123  → text          5  hello\n"
        );
        let cut = text(
            r#"{"time":"2026-11-21T06:00:00.123Z","direction":"out","kind":"binary","bytes":9000,"base64":"AQI=","cut":true,"missed":3}"#,
        );
        assert_eq!(cut, "(3 left out)\n06:00:00.123  ← binary     9000  AQI=…\n");
        let hostile = text("{\"time\":\"2026-11-21T06:00:00.123Z\",\"kind\":\"text\",\"text\":\"\\u001b[2J\"}");
        assert!(!hostile.contains('\x1b'), "{hostile:?}");
    }
}
