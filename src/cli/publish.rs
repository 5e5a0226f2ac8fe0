//! `roomcast publish`: one event for a room, over HTTP.

use super::http::{ServerArg, encode_segment, exchange};
use super::{Failure, client_runtime, say};
use crate::config::Secret;
use anyhow::{Context as _, anyhow};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, StatusCode};
use clap::Args;
use serde_json::value::RawValue;
use std::io::Read as _;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  roomcast publish lobby --data '\"hello\"'
  roomcast publish lobby --event cursor --data '{\"x\":3,\"y\":4}'
  jq '{status}' report.json | roomcast publish reports --event report --data -
  ROOMCAST_API_KEY=… roomcast publish lobby --url https://rooms.example --data 1";

/// How long a publish may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Publishes an event to a room
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Publish {
    /// The room
    room: String,
    /// Name of the event
    #[arg(long, value_name = "NAME", default_value = "message")]
    event: String,
    /// What the event carries, as JSON; - reads it from standard input
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    #[command(flatten)]
    server: ServerArg,
    /// Key of the HTTP API
    #[arg(long, env = "ROOMCAST_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<Secret>,
}

/// The body of the request.
#[derive(serde::Serialize)]
struct Event<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// What problem details say, as far as it is shown.
#[derive(serde::Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

impl Publish {
    pub(super) fn run(self) -> Result<(), Failure> {
        let data = self.read_data()?;
        let body = serde_json::to_string(&Event { event: &self.event, data: data.as_deref() });
        let path = self.server.url.path(&format!("/api/v1/rooms/{}/events", encode_segment(&self.room)));
        let mut request = Request::post(path).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.api_key {
            request = request.header(AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        let request = request.body(Body::from(body.context("cannot write the event as JSON")?));
        let request = request.map_err(|_| Failure::usage("the key has characters that no header has"))?;
        let trust = self.server.trust()?;
        let asked = exchange(&self.server.url, &trust, request, PATIENCE);
        let (status, answer) = client_runtime()?.block_on(asked)?;
        if status.is_success() {
            say(&format!("{}\n", answer.trim_end()))
        } else {
            Err(refused(status, &answer).into())
        }
    }

    fn read_data(&self) -> Result<Option<Box<RawValue>>, Failure> {
        let Some(data) = self.data.as_deref() else { return Ok(None) };
        let mut input = String::new();
        let text = if data == "-" {
            std::io::stdin().read_to_string(&mut input).context("cannot read the data from standard input")?;
            input.as_str()
        } else {
            data
        };
        let value = serde_json::from_str(text.trim()).map_err(|error| {
            Failure::usage(format!("--data is no JSON: {error} (text needs quotes of its own: --data '\"hello\"')"))
        })?;
        Ok(Some(value))
    }
}

fn refused(status: StatusCode, answer: &str) -> anyhow::Error {
    let hint = if status == StatusCode::UNAUTHORIZED { " (give a key with --api-key or ROOMCAST_API_KEY)" } else { "" };
    match serde_json::from_str::<Problem>(answer) {
        Ok(Problem { title, detail: Some(detail) }) => anyhow!("the server refused the event: {title}: {detail}{hint}"),
        Ok(Problem { title, detail: None }) => anyhow!("the server refused the event: {title}{hint}"),
        Err(_) => anyhow!("the server refused the event: {status}{hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_details_become_a_sentence() {
        let body = r#"{"type":"x","title":"Invalid room name","status":400,"detail":"too long"}"#;
        let sentence = refused(StatusCode::BAD_REQUEST, body).to_string();
        assert_eq!(sentence, "the server refused the event: Invalid room name: too long");
        let sentence = refused(StatusCode::UNAUTHORIZED, "<html>").to_string();
        assert!(sentence.contains("401 Unauthorized") && sentence.contains("ROOMCAST_API_KEY"), "{sentence}");
    }
}
