//! Connections to other nodes that are kept for requests to come.

use super::line::Line;
use crate::lifecycle;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections to one node that wait for a request; more are closed.
const WAITING_MAX: usize = 128;

#[derive(Debug)]
pub(super) struct Pool {
    /// By the node's address; the one that has waited longest comes first.
    waiting: Mutex<HashMap<Box<str>, Vec<Waiting>>>,
    idle_max: Duration,
}

#[derive(Debug)]
struct Waiting {
    line: Line,
    since: Instant,
}

impl Pool {
    /// A pool that keeps connections for so long.
    pub(super) fn new(idle_max: Duration) -> Self {
        Self { waiting: Mutex::default(), idle_max }
    }

    /// A connection to a node, if one is kept that is still open.
    pub(super) async fn take(&self, address: &str) -> Option<Line> {
        loop {
            let Waiting { mut line, since } = self.lock().get_mut(address)?.pop()?;
            let is_fresh = lifecycle::now().saturating_duration_since(since) < self.idle_max;
            if is_fresh && line.is_ready().await {
                return Some(line);
            }
        }
    }

    /// Keeps a connection, unless something is still under way on it.
    pub(super) async fn park(&self, address: &str, mut line: Line) {
        if !line.is_ready().await {
            return;
        }
        let mut waiting = self.lock();
        let lines = waiting.entry(address.into()).or_default();
        if lines.len() < WAITING_MAX {
            lines.push(Waiting { line, since: lifecycle::now() });
        }
    }

    /// Closes those that have waited for too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|_, lines| {
            lines.retain(|waiting| now.saturating_duration_since(waiting.since) < self.idle_max);
            !lines.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
