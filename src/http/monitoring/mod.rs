//! What monitoring posts: `PagerDuty`'s Events API v2 here, and Alertmanager's webhook. The key of a service is in the request.

mod alertmanager;
mod group;
mod refused;

pub(super) use alertmanager::{__path_alertmanager, alertmanager};

use super::Api;
use super::input::JsonText;
use super::problem::Problem;
use super::rates::Taken;
use crate::incidents::{Event, EventAction, Received};
use crate::store::{Severity, StoreError};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use refused::NotEnqueued;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Where `PagerDuty`'s senders post.
pub(super) const ENQUEUE: &str = "/v2/enqueue";

/// Largest event, as `PagerDuty` has it.
const EVENT_BYTES_MAX: usize = 512 * 1024;

/// Longest title, in characters; longer ones are cut.
const TITLE_MAX: usize = 1_024;

/// Longest key of an incident, in characters.
const DEDUP_KEY_MAX: usize = 255;

/// How long to wait, in seconds, when there is no database now.
const RETRY_SECONDS: u64 = 1;

/// An event in `PagerDuty`'s form; what is not here is ignored
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EnqueueBody<'a> {
    /// The key of a service
    routing_key: String,
    /// `trigger`, `acknowledge` or `resolve`
    #[schema(example = "trigger")]
    event_action: String,
    /// What events about the same have in common; needed unless it is a trigger
    dedup_key: Option<String>,
    /// What has happened; needed for a trigger
    #[serde(borrow)]
    payload: Option<EnqueuePayload<'a>>,
    /// The name of the program that sends it
    client: Option<String>,
    /// Where to look at it
    client_url: Option<String>,
    /// Where to read more
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    links: Option<&'a RawValue>,
}

/// What has happened
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EnqueuePayload<'a> {
    /// In a line; it is cut after 1,024 characters
    summary: String,
    /// Where
    source: String,
    /// `critical`, `error`, `warning` or `info`
    #[schema(example = "critical")]
    severity: String,
    /// When
    timestamp: Option<String>,
    /// Which part of it
    component: Option<String>,
    /// Which group of parts
    group: Option<String>,
    /// What kind of thing
    class: Option<String>,
    /// More about it, any JSON
    #[serde(borrow)]
    #[schema(value_type = Option<serde_json::Value>)]
    custom_details: Option<&'a RawValue>,
}

/// An event was taken, in `PagerDuty`'s form
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Enqueued {
    #[schema(example = "success")]
    status: &'static str,
    #[schema(example = "Event processed")]
    message: &'static str,
    /// The key of the incident
    dedup_key: String,
    /// What became of it: `triggered`, `deduplicated`, `suppressed`, `acknowledged`, `resolved` or `ignored`
    action: &'static str,
}

/// Post an event as to `PagerDuty`
///
/// An event of which nothing follows is taken too: `action` is `ignored`.
#[utoipa::path(
    post, path = "/v2/enqueue", tag = "monitoring", operation_id = "enqueue",
    request_body = EnqueueBody,
    responses(
        (status = 202, description = "It is kept", body = Enqueued),
        (status = 400, description = "It is no event, or the key is not known", body = NotEnqueued),
        (status = 413, description = "It has more than 512 KB", body = NotEnqueued),
        (status = 429, description = "Too many requests, or too many incidents of the service are open; `Retry-After` says when to try again", body = NotEnqueued),
        (status = 503, description = "It cannot be kept now; `Retry-After` says when to try again", body = NotEnqueued),
    ),
)]
pub(super) async fn enqueue(
    State(api): State<Api>,
    body: Result<JsonText, Problem>,
) -> Result<(StatusCode, Json<Enqueued>), NotEnqueued> {
    let body = body.map_err(|problem| NotEnqueued::of(&problem))?;
    let text = body.text().map_err(|problem| NotEnqueued::of(&problem))?;
    if text.len() > EVENT_BYTES_MAX {
        let detail = format!("an event has at most {EVENT_BYTES_MAX} bytes");
        return Err(NotEnqueued::too_large(detail));
    }
    let parsed = super::input::parse::<EnqueueBody<'_>>(text, api.limits);
    let body = parsed.map_err(|refusal| NotEnqueued::invalid(refusal.detail))?;
    let (key, event) = body.checked().map_err(NotEnqueued::invalid)?;
    let incidents = api.incidents().map_err(|problem| NotEnqueued::of(&problem))?;
    let received = incidents.receive(&key, event).await;
    let received = received.map_err(NotEnqueued::because)?;
    let action = received.word();
    let dedup_key = match received {
        Received::UnknownKey => return Err(NotEnqueued::invalid("'routing_key' is the key of no service")),
        Received::Ignored(dedup_key) | Received::Done(dedup_key, _) => dedup_key,
    };
    Ok((StatusCode::ACCEPTED, Json(Enqueued { status: "success", message: "Event processed", dedup_key, action })))
}

impl EnqueueBody<'_> {
    fn checked(self) -> Result<(String, Event), String> {
        let action = match self.event_action.as_str() {
            "trigger" => EventAction::Trigger,
            "acknowledge" => EventAction::Acknowledge,
            "resolve" => EventAction::Resolve,
            _ => return Err("'event_action' is trigger, acknowledge or resolve".into()),
        };
        let dedup_key = self.dedup_key.filter(|key| !key.is_empty());
        if dedup_key.as_ref().is_some_and(|key| key.chars().count() > DEDUP_KEY_MAX || key.contains('\0')) {
            return Err(format!("'dedup_key' has at most {DEDUP_KEY_MAX} characters, none of them U+0000"));
        }
        let (severity, title, details) = match (action, self.payload) {
            (EventAction::Trigger, None) => return Err("'payload' is missing or blank".into()),
            (EventAction::Trigger, Some(payload)) => {
                let more = json!({"client": self.client, "client_url": self.client_url, "links": self.links});
                let details = payload.details(more);
                let severity = Severity::parse(&payload.severity);
                let severity = severity.ok_or("'payload.severity' is critical, error, warning or info")?;
                let title = title(&payload.summary).ok_or("'payload.summary' is missing or blank")?;
                if payload.source.is_empty() {
                    return Err("'payload.source' is missing or blank".into());
                }
                (severity, title, Some(details))
            }
            (_, _) if dedup_key.is_none() => return Err("'dedup_key' is missing or blank".into()),
            (_, _) => (Severity::Info, String::new(), None),
        };
        Ok((self.routing_key, Event { action, dedup_key, severity, title, details }))
    }
}

impl EnqueuePayload<'_> {
    fn details(&self, more: serde_json::Value) -> String {
        let own = json!({
            "source": self.source, "component": self.component, "group": self.group, "class": self.class,
            "timestamp": self.timestamp,
        });
        let mut fields = BTreeMap::new();
        for value in [own, more] {
            if let serde_json::Value::Object(object) = value {
                fields.extend(object.into_iter().filter(|(_, value)| !value.is_null()));
            }
        }
        let mut text = serde_json::to_string(&fields).unwrap_or_else(|_| "{}".to_owned());
        if let Some(custom) = self.custom_details {
            // As the bytes it came in: numbers and the order of fields stay.
            text.pop();
            text.push_str(if fields.is_empty() { "\"custom_details\":" } else { ",\"custom_details\":" });
            text.push_str(custom.get());
            text.push('}');
        }
        text
    }
}

/// A summary as a title: in one piece, cut, and without the character that PostgreSQL has no place for.
fn title(summary: &str) -> Option<String> {
    let title: String = summary.trim().chars().filter(|c| *c != '\0').take(TITLE_MAX).collect();
    (!title.is_empty()).then_some(title)
}

/// A refusal as whoever uses this path understands it.
pub(super) fn in_the_form_of(path: &str, problem: Problem) -> Response {
    if path == ENQUEUE { NotEnqueued::of(&problem).into_response() } else { problem.into_response() }
}

/// Counts requests of monitoring by the address they come from; there is no key that could be looked at before the body.
pub(super) async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let taken = Taken::by(&request, None, &api).await;
    if taken.refusal().is_none() {
        return taken.tell(next.run(request).await);
    }
    let is_pager_duty = request.uri().path() == ENQUEUE;
    let mut response = if is_pager_duty {
        let message = "Requests for this service are arriving too quickly.";
        NotEnqueued::throttled(message, "Enhance Your Calm.", None).into_response()
    } else {
        Problem::from(StoreError::Conflict).into_response()
    };
    response.headers_mut().entry(RETRY_AFTER).or_insert(HeaderValue::from(RETRY_SECONDS));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn checked(body: &Value) -> Result<Event, String> {
        serde_json::from_str::<EnqueueBody<'_>>(&body.to_string()).unwrap().checked().map(|(_, event)| event)
    }

    #[test]
    fn what_is_missing_in_an_event_is_named() {
        let fine = json!({
            "routing_key": "k", "event_action": "trigger",
            "payload": {"summary": "disk full", "source": "a", "severity": "error", "custom_details": {"free": 1.50}},
        });
        let event = checked(&fine).unwrap();
        assert_eq!((event.title.as_str(), event.severity, event.dedup_key), ("disk full", Severity::Error, None));
        assert_eq!(event.details.as_deref(), Some(r#"{"source":"a","custom_details":{"free":1.5}}"#));
        for (pointer, value, expected) in [
            ("/event_action", json!("page"), "'event_action'"),
            ("/payload/severity", json!("bad"), "'payload.severity'"),
            ("/payload/summary", json!(" "), "'payload.summary'"),
            ("/payload/source", json!(""), "'payload.source'"),
            ("/event_action", json!("resolve"), "'dedup_key'"),
        ] {
            let mut bad = fine.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            assert!(checked(&bad).unwrap_err().contains(expected), "{pointer}");
        }
        let mut long = fine;
        long["dedup_key"] = json!("x".repeat(256));
        assert!(checked(&long).unwrap_err().contains("'dedup_key'"));
        long["dedup_key"] = json!("x");
        long["payload"]["summary"] = json!("é".repeat(2_000));
        assert_eq!(checked(&long).unwrap().title.chars().count(), 1_024);
    }
}
