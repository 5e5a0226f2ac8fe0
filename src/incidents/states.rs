//! How an incident stands, for whoever joins its room: with its newest number, so that what is heard from then on has no gap.
//!
//! What is told was read after the join: who comes while the database is asked shares the next answer. So a thousand who come at
//! once are two or three questions, and few incidents are asked for at the same time.

use crate::hub::{RoomState, RoomStates};
use crate::lifecycle::Lifecycle;
use crate::store::IncidentStore;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use uuid::Uuid;

/// Joins that wait to be told; one more is told that nobody can say.
const ASKERS_MAX: usize = 16_384;

/// Incidents that the database is asked for at once.
const QUESTIONS_MAX: usize = 4;

/// Incidents that are being asked for, or have been in the last [`PAUSE`].
const INCIDENTS_MAX: usize = 1_024;

/// The least time between two questions about the same incident: whoever comes meanwhile shares the next.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a join waits for the database.
const STATE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the names of the rooms begin.
const ROOMS: &str = "incident:";

/// The way to ask.
#[derive(Debug)]
pub(super) struct States {
    asked: mpsc::Sender<Asker>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Asker {
    id: Uuid,
    answer: oneshot::Sender<RoomState>,
    _place: OwnedSemaphorePermit,
}

/// Who asks, and who answers.
pub(super) fn new(store: Arc<dyn IncidentStore>) -> (States, Answerer) {
    let (asked, questions) = mpsc::channel(ASKERS_MAX);
    let answerer = Answerer { store, questions, waiting: HashMap::new(), next: VecDeque::new() };
    (States { asked, places: Arc::new(Semaphore::new(ASKERS_MAX)) }, answerer)
}

fn id_of(room: &str) -> Option<Uuid> {
    room.strip_prefix(ROOMS).and_then(|id| Uuid::try_parse(id).ok())
}

impl RoomStates for States {
    fn knows(&self, room: &str) -> bool {
        id_of(room).is_some()
    }

    fn state(&self, room: &str) -> BoxFuture<'static, RoomState> {
        let asked = id_of(room).zip(Arc::clone(&self.places).try_acquire_owned().ok()).and_then(|(id, place)| {
            let (answer, answered) = oneshot::channel();
            self.asked.try_send(Asker { id, answer, _place: place }).ok().map(|()| answered)
        });
        async move {
            let Some(answered) = asked else { return RoomState::Unavailable };
            match tokio::time::timeout(STATE_TIMEOUT, answered).await {
                Ok(Ok(state)) => state,
                _ => RoomState::Unavailable,
            }
        }
        .boxed()
    }
}

/// Asks the database for all who ask.
pub(super) struct Answerer {
    store: Arc<dyn IncidentStore>,
    questions: mpsc::Receiver<Asker>,
    /// Who waits for the next answer, by the incidents that are asked for, or will be.
    waiting: HashMap<Uuid, Vec<Asker>>,
    /// What is to be asked for next.
    next: VecDeque<Uuid>,
}

impl Answerer {
    /// Until the process ends.
    pub(super) async fn run(mut self, lifecycle: Lifecycle) {
        let (mut asked, turns) = (FuturesUnordered::new(), Arc::new(Semaphore::new(QUESTIONS_MAX)));
        loop {
            while asked.len() < INCIDENTS_MAX
                && let Some(id) = self.next.pop_front()
            {
                let askers = self.waiting.get_mut(&id).map(std::mem::take).unwrap_or_default();
                let (store, turns) = (Arc::clone(&self.store), Arc::clone(&turns));
                asked.push(async move {
                    tell(&*store, &turns, id, askers).await;
                    tokio::time::sleep(PAUSE).await;
                    id
                });
            }
            tokio::select! {
                Some(asker) = self.questions.recv() => self.take(asker),
                Some(id) = asked.next(), if !asked.is_empty() => self.answered(id),
                () = lifecycle.stopping() => return,
            }
        }
    }

    fn take(&mut self, asker: Asker) {
        let id = asker.id;
        let next = &mut self.next;
        self.waiting
            .entry(id)
            .or_insert_with(|| {
                next.push_back(id);
                Vec::new()
            })
            .push(asker);
    }

    /// An incident has been asked for: once more, if others came meanwhile.
    fn answered(&mut self, id: Uuid) {
        if self.waiting.get(&id).is_some_and(|askers| !askers.is_empty()) {
            self.next.push_back(id);
        } else {
            self.waiting.remove(&id);
        }
    }
}

/// Tells these how an incident stands now.
async fn tell(store: &dyn IncidentStore, turns: &Semaphore, id: Uuid, askers: Vec<Asker>) {
    let _turn = turns.acquire().await;
    let state = ask(store, id).await;
    for asker in askers {
        // Who has waited too long has gone.
        let _gone = asker.answer.send(state.clone());
    }
}

async fn ask(store: &dyn IncidentStore, id: Uuid) -> RoomState {
    match store.incident(id).await {
        Ok(Some(incident)) => serde_json::to_string(&incident).map_or(RoomState::Unavailable, |json| {
            RoomState::Known(format!("{{\"incident\":{json},\"seq\":{}}}", incident.seq).into())
        }),
        Ok(None) => RoomState::Missing,
        Err(error) => {
            tracing::debug!(%error, "nobody can say how an incident stands");
            RoomState::Unavailable
        }
    }
}
