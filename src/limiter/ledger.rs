//! What is counted for all nodes together: elsewhere, and never waited for for long.

use super::rate::Rate;
use super::{Key, Scope};
use crate::metrics::{Fallback, NodeStats};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Questions to the ledger that are under way at once. Past it a node decides alone.
const ASKS_MAX: usize = 256;

/// Keys that wait for the ledger to be told of what they took; what more of them took stays this node's own knowledge.
const UNTOLD_MAX: usize = 4_096;

/// How long a ledger that did not answer is left alone, in milliseconds; then one question tries again.
const PAUSE_MS: u64 = 500;

/// A ledger is told of what a key took whenever that is so much of its burst.
const TELL_PARTS: u32 = 8;

/// Where all nodes count together.
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Takes units of a rate.
    fn take(&self, taking: Taking) -> Answer<'_>;
}

/// What a ledger answers, once it does.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Standing, Unanswered>> + Send + 'a>>;

/// What a ledger is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taking {
    /// What the rate is about.
    pub scope: Scope,
    /// Who it is for.
    pub key: Key,
    /// How much is allowed.
    pub rate: Rate,
    /// How many are taken.
    pub units: u32,
    /// Whether they have been taken already, so that nobody can refuse them any more.
    pub is_told: bool,
}

/// How a rate stands in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the units were taken.
    pub taken: bool,
    /// How much is owed now, in microseconds.
    pub owed_us: u64,
}

/// Why a ledger does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It cannot be reached.
    Away,
    /// It is there, and does not do what it is asked for.
    Refused,
}

/// The way to a ledger.
#[derive(Debug)]
pub(super) struct Together {
    ledger: Arc<dyn Ledger>,
    timeout: Duration,
    asks: Semaphore,
    /// When a ledger that did not answer may be asked again, in milliseconds; 0 while it answers.
    away_until: AtomicU64,
    untold: mpsc::Sender<(Scope, Key)>,
    /// The other end, until somebody reads it.
    telling: Mutex<Option<mpsc::Receiver<(Scope, Key)>>>,
    stats: Arc<NodeStats>,
}

impl Together {
    pub(super) fn new(ledger: Arc<dyn Ledger>, timeout: Duration, stats: Arc<NodeStats>) -> Self {
        let (untold, telling) = mpsc::channel(UNTOLD_MAX);
        let (asks, telling) = (Semaphore::new(ASKS_MAX), Mutex::new(Some(telling)));
        Self { ledger, timeout, asks, away_until: AtomicU64::new(0), untold, telling, stats }
    }

    /// Asks, unless there is no sense in it. `None`: this node decides alone.
    pub(super) async fn ask(&self, taking: Taking, now_ms: u64) -> Option<Standing> {
        let fall_back = |why| self.fall_back(taking.scope, why);
        if !self.may_ask(now_ms) {
            return fall_back(Fallback::Away);
        }
        let Ok(_place) = self.asks.try_acquire() else { return fall_back(Fallback::Full) };
        match tokio::time::timeout(self.timeout, self.ledger.take(taking)).await {
            Ok(Ok(standing)) => {
                if self.away_until.swap(0, Relaxed) != 0 {
                    tracing::info!("rates are counted together with the other nodes again");
                }
                self.stats.shared_limits_asked[taking.scope.shared() as usize].add_shared(1);
                Some(standing)
            }
            Ok(Err(Unanswered::Away)) => self.leave_alone(now_ms, Fallback::Away, taking.scope),
            Ok(Err(Unanswered::Refused)) => self.leave_alone(now_ms, Fallback::Refused, taking.scope),
            Err(_) => {
                let waited = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
                self.leave_alone(now_ms.saturating_add(waited), Fallback::TimedOut, taking.scope)
            }
        }
    }

    /// Whether the ledger may be asked: of one that did not answer only one asks now and then.
    fn may_ask(&self, now_ms: u64) -> bool {
        let until = self.away_until.load(Relaxed);
        let next = now_ms.saturating_add(PAUSE_MS);
        until == 0 || (now_ms >= until && self.away_until.compare_exchange(until, next, Relaxed, Relaxed).is_ok())
    }

    fn leave_alone(&self, now_ms: u64, why: Fallback, scope: Scope) -> Option<Standing> {
        if self.away_until.swap(now_ms.saturating_add(PAUSE_MS), Relaxed) == 0 {
            tracing::warn!(
                reason = why.label(),
                "Redis does not say what all nodes have counted: rates are this node's own"
            );
        }
        self.fall_back(scope, why)
    }

    fn fall_back(&self, scope: Scope, why: Fallback) -> Option<Standing> {
        self.stats.shared_limits_fell_back(scope.shared(), why);
        None
    }

    /// Notes that the ledger has to be told about a key. Never waits.
    pub(super) fn owes_word(&self, scope: Scope, key: Key) {
        if self.untold.try_send((scope, key)).is_err() {
            self.fall_back(scope, Fallback::Full);
        }
    }

    /// What the ledger has to be told. `None` but for the first who asks.
    pub(super) fn telling(&self) -> Option<mpsc::Receiver<(Scope, Key)>> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How many units of a rate may be taken before the ledger is told.
pub(super) fn told_after(rate: Rate) -> u32 {
    (rate.burst() / TELL_PARTS).max(1)
}
