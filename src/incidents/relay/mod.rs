//! From the outbox to the rooms: the only one that says what happens to incidents.
//!
//! At least once, and in the order of each incident: whoever hears something with a number that it has, has it already.

mod reach;
mod spoken;

use super::{Incidents, OnSaid};
use crate::hub::{Broadcast, Hub, NamespaceId, Strand};
use crate::lifecycle::{Lifecycle, unix_micros};
use crate::metrics::DatabaseStats;
use crate::protocol::event::Event;
use crate::protocol::name::INCIDENTS_ROOM;
use crate::protocol::request::RawEvent;
use crate::store::{OutboxEvent, OutboxPart, Publish, StoreError};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use reach::{BATCH, Reach};
use serde_json::json;
use serde_json::value::RawValue;
use spoken::{Spoken, Voice, Word};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How often the outbox is looked at when nobody says that something is in it: other nodes may have written.
const POLL: Duration = Duration::from_millis(250);

/// The least time between two looks while there is much to say: each takes the same of the database, however little is found, and
/// each reads again what waits for other nodes.
const PACE: Duration = Duration::from_millis(15);

/// Events that a look reads, from which on there is much to say.
const MUCH: usize = 16;

/// How long a transaction waits for the broker to confirm what was said.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(500);

/// How often is looked how much waits.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The longest time between two tries while the database is away.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What is known of the events of each part.
type Said = HashMap<i16, Spoken>;

/// Says what is in the outbox.
pub(super) struct Relay {
    incidents: Incidents,
    hub: Hub,
    stats: Arc<DatabaseStats>,
    said: Arc<Mutex<Said>>,
    on_said: OnSaid,
    /// Events that this look has read.
    read: Arc<AtomicUsize>,
    reach: Reach,
    /// When to look again how much waits.
    look_at: Instant,
}

impl Relay {
    pub(super) fn new(incidents: Incidents, hub: Hub, stats: Arc<DatabaseStats>, on_said: OnSaid) -> Self {
        let (said, read, reach) = (Arc::default(), Arc::default(), Reach::default());
        Self { incidents, hub, stats, said, on_said, read, reach, look_at: Instant::now() }
    }

    /// Until the process ends; what waits then is said by another node, or later.
    pub(super) async fn run(mut self, lifecycle: Lifecycle) {
        let mut pause = POLL;
        while !lifecycle.is_stopping() {
            let written = tokio::select! {
                () = self.incidents.written.notified() => true,
                () = tokio::time::sleep(pause) => false,
                () = lifecycle.stopping() => return,
            };
            let began = Instant::now();
            pause = match self.empty(written, &lifecycle).await {
                Ok(read) => {
                    let rest = began + rest_after(read, self.hub.is_cut_off());
                    tokio::select! {
                        () = tokio::time::sleep_until(rest) => {}
                        () = lifecycle.stopping() => return,
                    }
                    POLL
                }
                Err(error) => {
                    tracing::debug!(%error, "the outbox waits");
                    (pause * 2).min(BACKOFF_MAX)
                }
            };
            self.look().await;
        }
    }

    /// Says all that is there, or as much as can be said now and before the process ends. Returns how many events it read for that. When it is not known
    /// that something was `written`, that is asked first: it takes one round trip and not five.
    async fn empty(&mut self, written: bool, lifecycle: &Lifecycle) -> Result<usize, StoreError> {
        let outbox = Arc::clone(&self.incidents.store.outbox);
        self.read.store(0, Relaxed);
        if !written && !outbox.is_waiting().await? {
            self.said.lock().await.clear();
            return Ok(0);
        }
        loop {
            let held = self.said.lock().await.values().map(Spoken::len).max().unwrap_or(0);
            let limit = self.reach.limit(held);
            match outbox.relay(limit, self.publisher()).await {
                Ok(forgotten) if forgotten < BATCH as usize || lifecycle.is_stopping() => break,
                Ok(_) => {}
                Err(error) => {
                    if matches!(error, StoreError::Timeout(_)) {
                        self.reach.shrink(limit);
                    }
                    return Err(error);
                }
            }
            self.reach.grow();
            // Much may wait, and whoever watches should see that it becomes less.
            self.look().await;
        }
        self.reach.grow();
        Ok(self.read.load(Relaxed))
    }

    /// Looks how much waits, if it is time to.
    async fn look(&mut self) {
        if Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + LOOK_INTERVAL;
        if let Ok((depth, oldest)) = self.incidents.store.outbox.look().await {
            let age = oldest.map_or(0, |oldest| unix_micros().saturating_sub(oldest));
            self.stats.outbox_depth.set(depth);
            self.stats.outbox_age_us.set(u64::try_from(age).unwrap_or(0));
        }
    }

    fn publisher(&self) -> Publish {
        let (hub, stats, said) = (self.hub.clone(), Arc::clone(&self.stats), Arc::clone(&self.said));
        let (on_said, read) = (Arc::clone(&self.on_said), Arc::clone(&self.read));
        Arc::new(move |parts| {
            read.fetch_add(parts.iter().map(|part| part.events.len()).sum(), Relaxed);
            let (hub, stats, said) = (hub.clone(), Arc::clone(&stats), Arc::clone(&said));
            let on_said = Arc::clone(&on_said);
            let saying = async move {
                let mut said = said.lock().await;
                let left = say(&parts, &mut said, &hub, &on_said).await;
                stats.relayed.add_shared(left.iter().sum::<usize>() as u64);
                left
            };
            saying.boxed()
        })
    }
}

/// Says events here at once, and waits a moment for the broker. Returns how many of each part have left for all nodes.
async fn say(parts: &[OutboxPart], said: &mut Said, hub: &Hub, on_said: &OnSaid) -> Vec<usize> {
    let (mut heard, mut wait, now) = (Vec::new(), false, Instant::now());
    for OutboxPart { part, events, .. } in parts {
        let spoken = said.entry(*part).or_default();
        let news = spoken.say_all(events, &mut Rooms(hub), now);
        // Those that wait for other nodes were said here.
        tell(on_said, events, &news);
        wait |= spoken.has_waiting(events);
        heard.push(news);
    }
    if wait && !hub.is_cut_off() {
        // The thread that writes SQLite has no clock, and comes no further.
        tokio::task::yield_now().await;
        let confirmed = async {
            for OutboxPart { part, events, .. } in parts {
                said.entry(*part).or_default().confirmed(events).await;
            }
        };
        // What takes longer is looked at again, and not said again.
        let _late = tokio::time::timeout(CONFIRM_TIMEOUT, confirmed).await;
    }
    let settle = |(OutboxPart { part, events, is_whole }, heard): (&OutboxPart, Vec<usize>)| {
        let left = said.entry(*part).or_default().forget_left(events, *is_whole);
        // While they waited, other nodes may not have heard that there is something new.
        let late: Vec<_> = (0..left).filter(|place| heard.binary_search(place).is_err()).collect();
        tell(on_said, events, &late);
        left
    };
    parts.iter().zip(heard).map(settle).collect()
}

/// Hands on the events at these places, which are in order.
fn tell(on_said: &OnSaid, events: &[OutboxEvent], places: &[usize]) {
    for run in places.chunk_by(|one, next| one + 1 == *next) {
        on_said(&events[run[0]..run[0] + run.len()]);
    }
}

/// How long a look has to have begun before the next one, when it read so many events. Who writes wakes the relay; what
/// cannot leave for the other nodes would be read again every time.
fn rest_after(read: usize, cut_off: bool) -> Duration {
    match read {
        0 => Duration::ZERO,
        _ if cut_off => POLL,
        MUCH.. => PACE,
        _ => Duration::ZERO,
    }
}

/// The rooms of incidents, here and elsewhere.
struct Rooms<'a>(&'a Hub);

impl Voice for Rooms<'_> {
    fn say(&mut self, event: &OutboxEvent, here: bool, strand: Option<&Strand>) -> Option<Word> {
        let broadcast = broadcast(event);
        let word = match strand.map(|strand| self.0.broadcast_elsewhere(&broadcast, strand)) {
            Some(Ok(Some(receipt))) => Word::Waiting(receipt.was_sent().boxed()),
            Some(Ok(None)) => Word::Left,
            None | Some(Err(_)) => Word::Kept,
        };
        let heard = !here || self.0.broadcast_here(broadcast).is_ok();
        heard.then_some(word)
    }
}

/// One event for all rooms that it is about; whoever is in several hears it once.
fn broadcast(event: &OutboxEvent) -> Broadcast {
    let rooms = rooms_of(event);
    let args = envelope(event, &rooms);
    let name = format!("\"{}\"", event.event.kind);
    let raw = RawEvent { name: &name, args: &args, arity: 1 };
    let event = Event { raw, attachments: &[], ack: None, offset: None };
    let rooms = rooms.into_iter().map(String::into_boxed_str).collect();
    Broadcast::new(NamespaceId::DEFAULT, rooms, Vec::new(), event)
}

fn rooms_of(event: &OutboxEvent) -> Vec<String> {
    let mut rooms = vec![format!("incident:{}", event.incident), format!("service:{}", event.service)];
    rooms.extend(event.team.iter().map(|team| format!("team:{team}")));
    rooms.push(INCIDENTS_ROOM.to_owned());
    rooms
}

/// What members hear. The `id` is the same however often it is said.
fn envelope(said: &OutboxEvent, rooms: &[String]) -> String {
    let event = &said.event;
    let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).ok();
    json_object(&[
        ("id", json!(format!("{}/{}", said.incident, event.seq)).to_string()),
        ("type", json!(event.kind).to_string()),
        ("v", "1".to_owned()),
        ("at", json!(Timestamp::from_microsecond(event.at).unwrap_or_default().to_string()).to_string()),
        ("seq", event.seq.to_string()),
        ("incident", json!(said.incident).to_string()),
        ("service", json!(said.service).to_string()),
        ("rooms", json!(rooms).to_string()),
        ("actor", raw(&event.actor).map_or_else(|| "null".to_owned(), |actor| actor.get().to_owned())),
        ("data", raw(&event.data).map_or_else(|| "null".to_owned(), |data| data.get().to_owned())),
    ])
}

/// An object of fields whose values are JSON already.
fn json_object(fields: &[(&str, String)]) -> String {
    let mut out = String::from("{");
    for (name, value) in fields {
        if out.len() > 1 {
            out.push(',');
        }
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        out.push_str(value);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TimelineEvent;
    use serde_json::Value;
    use uuid::Uuid;

    #[test]
    fn what_is_read_again_and_again_sets_the_pace_and_not_what_leaves() {
        assert_eq!(rest_after(0, true), Duration::ZERO, "the first to happen is heard at once");
        assert_eq!((rest_after(1, false), rest_after(MUCH - 1, false)), (Duration::ZERO, Duration::ZERO));
        assert_eq!((rest_after(MUCH, false), rest_after(10_000, false)), (PACE, PACE));
        assert_eq!((rest_after(1, true), rest_after(10_000, true)), (POLL, POLL));
    }

    #[test]
    fn an_event_says_what_it_is_about_and_where_it_is_said() {
        let event = TimelineEvent {
            seq: 7,
            kind: "incident.acknowledged".into(),
            actor: r#"{"type":"user","id":"ada","name":"Ada"}"#.into(),
            data: r#"{"by":"Ada"}"#.into(),
            at: 1_700_000_000_000_000,
        };
        let said = OutboxEvent { incident: Uuid::nil(), service: "api".into(), team: None, event };
        let envelope: Value = serde_json::from_str(&envelope(&said, &rooms_of(&said))).unwrap();
        let id = Uuid::nil().to_string();
        assert_eq!(
            envelope,
            json!({
                "id": format!("{id}/7"), "type": "incident.acknowledged", "v": 1, "at": "2023-11-14T22:13:20Z", "seq": 7,
                "incident": id, "service": "api", "rooms": [format!("incident:{id}"), "service:api", "incidents"],
                "actor": {"type": "user", "id": "ada", "name": "Ada"}, "data": {"by": "Ada"},
            })
        );
        let of_team = OutboxEvent { team: Some("core".into()), ..said };
        assert_eq!(rooms_of(&of_team), [format!("incident:{id}").as_str(), "service:api", "team:core", "incidents"]);
    }
}
