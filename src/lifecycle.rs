//! The only place that starts tasks and threads, and the only one that reads the clock.
//!
//! Everything that runs has a name and is waited for: [`Lifecycle::drain`] says what was still running when the deadline
//! came. Pure code takes `now` as an argument instead.

use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The present moment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds since a moment of this process. Unlike the time of day it is never set.
#[must_use]
pub fn monotonic_micros() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let since = now().saturating_duration_since(*BEGAN.get_or_init(now));
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, for what leaves the process.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970, to compare moments across threads.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Microseconds since 1970, as the database counts time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
pub fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// An answer that takes longer than others: an extension of a response, for whoever ends connections that take too long.
#[derive(Debug, Clone, Copy)]
pub struct LongAnswer(pub Duration);

/// What runs in this process, and the word that it should end.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    tasks: TaskTracker,
    running: Arc<Mutex<Vec<&'static str>>>,
    stop: CancellationToken,
}

impl Lifecycle {
    /// Starts a task on the current runtime.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let guard = Running::new(name, Arc::clone(&self.running));
        self.tasks.spawn(async move {
            future.await;
            drop(guard);
        });
    }

    /// Starts a thread with a runtime of its own that runs `future` to its end.
    ///
    /// # Errors
    /// When the operating system gives no thread or no runtime.
    pub fn spawn_runtime<F>(&self, name: String, future: impl FnOnce() -> F + Send + 'static) -> std::io::Result<()>
    where
        F: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = (Running::new("worker", Arc::clone(&self.running)), self.tasks.token());
        #[expect(clippy::disallowed_methods, reason = "the one home of threads")]
        std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(future());
            drop(guard);
        })?;
        Ok(())
    }

    /// Starts a thread without a runtime, for what waits in ways of its own. It ends by itself; the drain waits for it.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn_thread(&self, name: &'static str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let guard = (Running::new(name, Arc::clone(&self.running)), self.tasks.token());
        #[expect(clippy::disallowed_methods, reason = "the one home of threads")]
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            run();
            drop(guard);
        })?;
        Ok(())
    }

    /// Resolves when the process should end.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the process should end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Says that the process should end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until everything has ended, or for `patience`. Returns the names of what is still running.
    pub async fn drain(&self, patience: Duration) -> Vec<&'static str> {
        self.tasks.close();
        let ended = tokio::time::timeout(patience, self.tasks.wait()).await;
        if ended.is_ok() {
            return Vec::new();
        }
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts a task of a worker on its own runtime; it ends with the worker.
pub fn spawn_on_worker(future: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the one home of tasks; the worker's runtime owns this one")]
    drop(tokio::spawn(future));
}

/// Starts a task on a worker's own runtime. What is returned resolves when it has ended, for a worker that waits for it.
pub fn spawn_with_worker(future: impl Future<Output = ()> + Send + 'static) -> impl Future<Output = ()> {
    #[expect(clippy::disallowed_methods, reason = "the one home of tasks; the worker's runtime owns this one")]
    let task = tokio::spawn(future);
    async move {
        if task.await.is_err_and(|end| end.is_panic()) {
            tracing::error!("a task beside a worker has panicked; what it did is not done until the next start");
        }
    }
}

/// Starts what drives a connection whose owner is a client of it; it ends with the client.
pub fn spawn_driver(future: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the one home of tasks; the client owns this one")]
    drop(tokio::spawn(future));
}

/// A name on the list of what runs.
#[derive(Debug)]
struct Running {
    name: &'static str,
    list: Arc<Mutex<Vec<&'static str>>>,
}

impl Running {
    fn new(name: &'static str, list: Arc<Mutex<Vec<&'static str>>>) -> Self {
        list.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Self { name, list }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = list.iter().position(|name| *name == self.name) {
            list.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_names_what_is_left_at_its_deadline() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("quick", async {});
        let until_stopped = lifecycle.clone();
        lifecycle.spawn("obedient", async move { until_stopped.stopping().await });
        lifecycle.spawn("stubborn", std::future::pending());
        lifecycle.stop();
        assert_eq!(lifecycle.drain(Duration::from_secs(5)).await, ["stubborn"]);
    }
}
