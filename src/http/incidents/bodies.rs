//! What requests about incidents say.

use super::super::keys::Principal;
use super::super::problem::Problem;
use crate::lifecycle::unix_micros;
use crate::store::{Actor, NewIncident, Severity};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest title, in characters.
const TITLE_MAX: usize = 1_024;

/// Longest name of somebody or of an incident's key, in characters.
const NAME_MAX: usize = 255;

/// Longest note, in characters.
const NOTE_MAX: usize = 10_240;

/// Longest snooze.
const SNOOZE_MAX_MICROS: i64 = 366 * 86_400 * 1_000_000;

/// An incident to open
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CreateIncident<'a> {
    /// The slug of its service
    service: String,
    /// What it is about
    title: String,
    /// `critical`, `error`, `warning` or `info`
    #[schema(example = "critical")]
    severity: String,
    /// What events of monitoring about the same say; made up unless given
    dedup_key: Option<String>,
    /// More about it, any JSON
    #[serde(borrow)]
    #[schema(value_type = Option<serde_json::Value>)]
    details: Option<&'a RawValue>,
    /// Who takes care of it
    assignee: Option<String>,
    /// Who opens it, if not the service whose key is used
    by: Option<String>,
}

/// What is put right
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct EditIncident {
    /// What it is about
    pub(super) title: Option<String>,
    /// `critical`, `error`, `warning` or `info`
    pub(super) severity: Option<String>,
    /// Who takes care of it; nobody when it is `null`
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) assignee: Option<Option<String>>,
    /// Who says so, if not the service whose key is used
    pub(super) by: Option<String>,
}

/// Who does it
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Doer {
    /// Who does it, if not the service whose key is used
    pub(super) by: Option<String>,
}

/// Until when an incident is left alone
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Snooze {
    /// RFC 3339
    #[schema(example = "2026-11-21T18:00:00Z")]
    pub(super) until: String,
    /// Who does it, if not the service whose key is used
    pub(super) by: Option<String>,
}

/// A note
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Note {
    /// What is said, up to 10,240 characters
    pub(super) text: String,
    /// Who says it, if not the service whose key is used
    pub(super) by: Option<String>,
}

/// A value that is there, even if it is `null`.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl CreateIncident<'_> {
    pub(super) fn checked(self, principal: &Principal) -> Result<NewIncident, Problem> {
        let actor = actor(principal, self.by)?;
        check_title(&self.title)?;
        let severity = read_severity(&self.severity)?;
        for (name, text) in [("dedup_key", &self.dedup_key), ("assignee", &self.assignee)] {
            text.as_ref().map_or(Ok(()), |text| check_text(name, text, NAME_MAX))?;
        }
        check_text("service", &self.service, NAME_MAX)?;
        Ok(NewIncident {
            id: Uuid::now_v7(),
            service: self.service,
            dedup_key: self.dedup_key.unwrap_or_else(|| Uuid::now_v7().simple().to_string()),
            severity,
            title: self.title,
            details: self.details.map(|details| details.get().to_owned()),
            assignee: self.assignee,
            actor,
            now: unix_micros(),
        })
    }
}

/// Who does something: the person that a request names, or the service that sends it.
pub(super) fn actor(principal: &Principal, by: Option<String>) -> Result<Actor, Problem> {
    let Some(by) = by else {
        return Ok(Actor { kind: "service", id: principal.0.clone(), name: principal.0.clone() });
    };
    check_text("by", &by, NAME_MAX)?;
    Ok(Actor { kind: "user", id: by.clone(), name: by })
}

pub(super) fn check_title(title: &str) -> Result<(), Problem> {
    check_text("title", title, TITLE_MAX)
}

pub(super) fn check_assignee(assignee: &str) -> Result<(), Problem> {
    check_text("assignee", assignee, NAME_MAX)
}

pub(super) fn check_note(text: &str) -> Result<(), Problem> {
    check_text("text", text, NOTE_MAX)
}

/// Whether a text may be kept: not empty, not too long, and without the one character that PostgreSQL has no place for.
pub(in crate::http) fn check_text(name: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.is_empty() || text.chars().count() > most {
        return Err(Problem::bad_request(format!("\"{name}\" has 1 to {most} characters")));
    }
    if text.contains('\0') {
        return Err(Problem::bad_request(format!("\"{name}\" has a character U+0000")));
    }
    Ok(())
}

pub(super) fn read_severity(word: &str) -> Result<Severity, Problem> {
    Severity::parse(word).ok_or_else(|| Problem::bad_request("\"severity\" is critical, error, warning or info"))
}

/// A time in RFC 3339.
pub(in crate::http) fn read_time(name: &str, text: &str) -> Result<i64, Problem> {
    let bad = |_| Problem::bad_request(format!("\"{name}\" is a time like 2026-11-21T18:00:00Z"));
    text.parse::<Timestamp>().map(Timestamp::as_microsecond).map_err(bad)
}

/// A time that is to come.
pub(super) fn read_end(text: &str) -> Result<i64, Problem> {
    let (until, now) = (read_time("until", text)?, unix_micros());
    let fits = until > now && until - now <= SNOOZE_MAX_MICROS;
    fits.then_some(until).ok_or_else(|| Problem::bad_request("\"until\" is in the next 366 days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_and_nothing_said_are_two_things() {
        let read = |text: &str| serde_json::from_str::<EditIncident>(text).unwrap().assignee;
        assert_eq!((read("{}"), read(r#"{"assignee":null}"#)), (None, Some(None)));
        assert_eq!(read(r#"{"assignee":"ada"}"#), Some(Some("ada".into())));
    }

    #[test]
    fn texts_have_a_length_and_times_a_form() {
        assert!(check_title(&"é".repeat(TITLE_MAX)).is_ok());
        for bad in ["", "a\0b", &"é".repeat(TITLE_MAX + 1)] {
            assert!(check_title(bad).is_err());
        }
        assert_eq!(read_time("t", "2023-11-14T22:13:20Z").unwrap(), 1_700_000_000_000_000);
        assert_eq!(read_time("t", "2023-11-14T23:13:20+01:00").unwrap(), 1_700_000_000_000_000);
        for bad in ["", "tomorrow", "1700000000"] {
            assert!(read_time("t", bad).is_err(), "{bad}");
        }
        assert!(read_end("2023-11-14T22:13:20Z").is_err() && read_end("9000-01-01T00:00:00Z").is_err());
    }
}
