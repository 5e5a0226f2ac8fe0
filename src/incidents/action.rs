//! What can be done with an incident, and what becomes of it: the table of states. Pure.

use crate::store::{Actor, Incident, Reason, Severity, Status, Step, StepEvent, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Something that somebody does with an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Somebody takes care of it.
    Acknowledge,
    /// Nobody takes care of it any more.
    Unacknowledge,
    /// It is left alone until then.
    Snooze(i64),
    /// Its time has come, if it has.
    Wake,
    /// Its service is under maintenance until then.
    Suppress(i64),
    /// It is over.
    Resolve,
    /// Something is said about it.
    Annotate(String),
    /// Something about it is put right.
    Edit(Edit),
}

/// What is put right about an incident; what is not there stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// What it is about.
    pub title: Option<String>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Who takes care of it; nobody, when there is nobody in it.
    pub assignee: Option<Option<String>>,
}

/// What is done, by whom, when, and what whoever does it knows of the incident.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) action: Action,
    pub(super) actor: Actor,
    pub(super) now: i64,
    /// The newest event that is known: another one is a reason not to do it.
    pub(super) expected_seq: Option<i64>,
}

impl Deed {
    /// What becomes of an incident.
    pub(super) fn decide(&self, before: &Incident) -> Verdict {
        if self.expected_seq.is_some_and(|seq| seq != before.seq) {
            return Verdict::Refuse(Reason::Stale);
        }
        match &self.action {
            Action::Acknowledge => self.acknowledge(before),
            Action::Unacknowledge => self.unacknowledge(before),
            Action::Snooze(until) => self.snooze(before, *until),
            Action::Wake => self.wake(before),
            Action::Suppress(until) => self.suppress(before, *until),
            Action::Resolve => self.resolve(before),
            Action::Annotate(text) => self.change(before, |_| (), |_| ("incident.annotated", json!({"text": text}))),
            Action::Edit(edit) => self.edit(before, edit),
        }
    }

    fn acknowledge(&self, before: &Incident) -> Verdict {
        match before.status {
            Status::Acknowledged => Verdict::Keep,
            Status::Resolved => Verdict::Refuse(Reason::Status),
            Status::Triggered | Status::Snoozed | Status::Suppressed => self.change(
                before,
                |after| {
                    after.status = Status::Acknowledged;
                    after.acknowledged_at = after.acknowledged_at.or(Some(self.now));
                    after.wakes_at = None;
                },
                |_| ("incident.acknowledged", json!({"by": self.actor.name})),
            ),
        }
    }

    fn unacknowledge(&self, before: &Incident) -> Verdict {
        match before.status {
            Status::Triggered => Verdict::Keep,
            Status::Acknowledged => self.change(
                before,
                |after| (after.status, after.acknowledged_at) = (Status::Triggered, None),
                |_| ("incident.unacknowledged", json!({"by": self.actor.name})),
            ),
            Status::Snoozed | Status::Suppressed | Status::Resolved => Verdict::Refuse(Reason::Status),
        }
    }

    fn snooze(&self, before: &Incident, until: i64) -> Verdict {
        match before.status {
            Status::Snoozed if before.wakes_at == Some(until) => Verdict::Keep,
            Status::Triggered | Status::Acknowledged | Status::Snoozed => self.change(
                before,
                |after| (after.status, after.wakes_at) = (Status::Snoozed, Some(until)),
                |_| ("incident.snoozed", json!({"by": self.actor.name, "until": show(until)})),
            ),
            Status::Suppressed | Status::Resolved => Verdict::Refuse(Reason::Status),
        }
    }

    /// Whoever asks may have been overtaken: by a new end, or by somebody who took care of it.
    fn wake(&self, before: &Incident) -> Verdict {
        let is_due = before.wakes_at.is_some_and(|at| at <= self.now);
        let awake = |after: &mut Incident| (after.status, after.wakes_at) = (Status::Triggered, None);
        match before.status {
            Status::Snoozed if is_due => self.change(before, awake, |_| ("incident.unsnoozed", json!({}))),
            Status::Suppressed if is_due => self.change(before, awake, |after| ("incident.triggered", whole(after))),
            _ => Verdict::Keep,
        }
    }

    fn suppress(&self, before: &Incident, until: i64) -> Verdict {
        match before.status {
            Status::Triggered => self.change(
                before,
                |after| (after.status, after.wakes_at) = (Status::Suppressed, Some(until)),
                |_| ("incident.suppressed", json!({"until": show(until)})),
            ),
            _ => Verdict::Keep,
        }
    }

    fn resolve(&self, before: &Incident) -> Verdict {
        if before.status == Status::Resolved {
            return Verdict::Keep;
        }
        self.change(
            before,
            |after| {
                after.status = Status::Resolved;
                (after.resolved_at, after.wakes_at) = (Some(self.now), None);
            },
            |after| {
                let mut data = whole(after);
                data["by"] = json!(self.actor.name);
                data["duration_secs"] = json!((self.now - after.opened_at).max(0) / 1_000_000);
                ("incident.resolved", data)
            },
        )
    }

    fn edit(&self, before: &Incident, edit: &Edit) -> Verdict {
        let mut after = before.clone();
        let mut said = Vec::new();
        if let Some(title) = edit.title.as_ref().filter(|title| **title != before.title) {
            after.title.clone_from(title);
            said.push(("incident.title_updated", json!({"title": title})));
        }
        if let Some(severity) = edit.severity.filter(|severity| *severity != before.severity) {
            after.severity = severity;
            let data = json!({"severity": severity.as_str(), "from": before.severity.as_str()});
            said.push(("incident.severity_updated", data));
        }
        if let Some(assignee) = edit.assignee.as_ref().filter(|assignee| **assignee != before.assignee) {
            after.assignee.clone_from(assignee);
            said.push(("incident.reassigned", json!({"assignee": assignee, "from": before.assignee})));
        }
        match (said.is_empty(), before.status) {
            (true, _) => Verdict::Keep,
            (false, Status::Resolved) => Verdict::Refuse(Reason::Status),
            (false, _) => self.step(after, said),
        }
    }

    /// A change that is told by one event.
    fn change(
        &self,
        before: &Incident,
        alter: impl FnOnce(&mut Incident),
        tell: impl FnOnce(&Incident) -> (&'static str, Value),
    ) -> Verdict {
        let mut after = before.clone();
        alter(&mut after);
        after.seq += 1;
        let said = tell(&after);
        after.seq -= 1;
        self.step(after, vec![said])
    }

    fn step(&self, mut after: Incident, said: Vec<(&'static str, Value)>) -> Verdict {
        after.seq += i64::try_from(said.len()).unwrap_or(i64::MAX);
        let events = said.into_iter().map(|(kind, data)| StepEvent { kind, data: data.to_string() }).collect();
        let actor = serde_json::to_string(&self.actor).unwrap_or_else(|_| "{}".to_owned());
        Verdict::Change(Box::new(Step { after, events, actor, now: self.now }))
    }
}

/// The incident as a whole, for the events with which a client may meet it.
fn whole(incident: &Incident) -> Value {
    let shown = incident.for_event().ok().and_then(|shown| serde_json::from_str(shown.get()).ok());
    json!({"incident": shown.unwrap_or(Value::Null)})
}

fn show(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NOW: i64 = 1_700_000_000_000_000;

    fn incident(status: Status) -> Incident {
        Incident {
            id: Uuid::nil(),
            number: 7,
            service: "api".into(),
            dedup_key: "disk".into(),
            status,
            severity: Severity::Error,
            title: "disk".into(),
            details: None,
            assignee: None,
            seq: 3,
            trigger_count: 1,
            opened_at: NOW - 5_000_000,
            last_event_at: NOW,
            acknowledged_at: None,
            resolved_at: None,
            wakes_at: matches!(status, Status::Snoozed | Status::Suppressed).then_some(NOW),
            previous_id: None,
        }
    }

    fn deed(action: Action) -> Deed {
        let actor = Actor { kind: "user", id: "ada".into(), name: "Ada".into() };
        Deed { action, actor, now: NOW, expected_seq: None }
    }

    /// The status and the event that follow, or a word.
    fn outcome(status: Status, action: &Action) -> String {
        match deed(action.clone()).decide(&incident(status)) {
            Verdict::Keep => "keep".into(),
            Verdict::Refuse(reason) => format!("{reason:?}"),
            Verdict::Change(step) => {
                assert_eq!(step.after.seq, 3 + i64::try_from(step.events.len()).unwrap());
                format!("{} {}", step.after.status.as_str(), step.events[0].kind)
            }
        }
    }

    #[test]
    fn the_table_of_states_holds() {
        let later = NOW + 1;
        let rows: [(Action, [&str; 5]); 6] = [
            (
                Action::Acknowledge,
                [
                    "acknowledged incident.acknowledged",
                    "keep",
                    "acknowledged incident.acknowledged",
                    "acknowledged incident.acknowledged",
                    "Status",
                ],
            ),
            (Action::Unacknowledge, ["keep", "triggered incident.unacknowledged", "Status", "Status", "Status"]),
            (
                Action::Snooze(later),
                [
                    "snoozed incident.snoozed",
                    "snoozed incident.snoozed",
                    "snoozed incident.snoozed",
                    "Status",
                    "Status",
                ],
            ),
            (Action::Wake, ["keep", "keep", "triggered incident.unsnoozed", "triggered incident.triggered", "keep"]),
            (Action::Suppress(later), ["suppressed incident.suppressed", "keep", "keep", "keep", "keep"]),
            (
                Action::Resolve,
                [
                    "resolved incident.resolved",
                    "resolved incident.resolved",
                    "resolved incident.resolved",
                    "resolved incident.resolved",
                    "keep",
                ],
            ),
        ];
        for (action, expected) in rows {
            let found = Status::ALL.map(|status| outcome(status, &action));
            assert_eq!(found, expected, "{action:?}");
        }
    }

    #[test]
    fn whoever_knows_less_than_there_is_changes_nothing() {
        let stale = Deed { expected_seq: Some(2), ..deed(Action::Resolve) };
        assert!(matches!(stale.decide(&incident(Status::Triggered)), Verdict::Refuse(Reason::Stale)));
        let fresh = Deed { expected_seq: Some(3), ..deed(Action::Resolve) };
        assert!(matches!(fresh.decide(&incident(Status::Triggered)), Verdict::Change(_)));
    }

    #[test]
    fn what_is_due_later_sleeps_on() {
        let mut snoozed = incident(Status::Snoozed);
        snoozed.wakes_at = Some(NOW + 1);
        assert!(matches!(deed(Action::Wake).decide(&snoozed), Verdict::Keep));
        assert!(matches!(deed(Action::Snooze(NOW + 1)).decide(&snoozed), Verdict::Keep), "it is so already");
    }

    #[test]
    fn an_edit_says_each_thing_that_changed_and_nothing_else() {
        let edit =
            Edit { title: Some("disk".into()), severity: Some(Severity::Info), assignee: Some(Some("ada".into())) };
        let Verdict::Change(step) = deed(Action::Edit(edit.clone())).decide(&incident(Status::Triggered)) else {
            panic!()
        };
        let kinds: Vec<_> = step.events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, ["incident.severity_updated", "incident.reassigned"]);
        assert_eq!((step.after.seq, step.after.assignee.as_deref()), (5, Some("ada")));
        assert!(matches!(deed(Action::Edit(edit.clone())).decide(&step.after), Verdict::Keep));
        assert!(matches!(
            deed(Action::Edit(edit)).decide(&incident(Status::Resolved)),
            Verdict::Refuse(Reason::Status)
        ));
    }

    #[test]
    fn the_end_of_an_incident_carries_all_of_it() {
        let Verdict::Change(step) = deed(Action::Resolve).decide(&incident(Status::Acknowledged)) else { panic!() };
        let data: Value = serde_json::from_str(&step.events[0].data).unwrap();
        assert_eq!((&data["by"], &data["duration_secs"]), (&json!("Ada"), &json!(5)));
        assert_eq!(data["incident"], serde_json::to_value(&step.after).unwrap());
    }
}
