//! How long a connection in its HTTP phase may say nothing: little while a request's head is on its way, more between
//! requests, as proxies keep connections for those to come.
//!
//! The HTTP server has one time limit, which begins when it waits for a head. What it takes for a timer tells the two
//! apart: it sees whether anything has been read since.

use super::stream::FrontStream;
use crate::lifecycle;
use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known about a connection's requests.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long a head may take, and the first one to begin.
    head_timeout: Duration,
    /// How long the next head may take to begin.
    keep_alive: Duration,
    /// Times that a head was waited for.
    waits: AtomicU64,
    /// Whether something was read since then.
    read: AtomicBool,
    /// Whether the client asked for nothing more, rather than for half of something.
    was_idle: AtomicBool,
}

impl Pace {
    pub(super) fn new(head_timeout: Duration, keep_alive: Duration) -> Arc<Self> {
        let (waits, read, was_idle) = Default::default();
        Arc::new(Self { head_timeout, keep_alive, waits, read, was_idle })
    }

    /// Times that a request's head was waited for. When this stands still, so does the connection.
    pub(super) fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }

    /// Longest time that a connection waits for one whole head.
    pub(super) fn longest_wait(&self) -> Duration {
        self.keep_alive.saturating_add(self.head_timeout)
    }

    /// Whether the connection was ended because nothing more was asked for.
    pub(super) fn was_idle(&self) -> bool {
        self.was_idle.load(Relaxed)
    }
}

/// The timer of one connection's HTTP server.
#[derive(Debug, Clone)]
pub(super) struct HeadTimer(pub(super) Arc<Pace>);

impl Timer for HeadTimer {
    fn sleep(&self, _head_timeout: Duration) -> Pin<Box<dyn Sleep>> {
        let pace = &self.0;
        let begun = pace.waits.fetch_add(1, Relaxed) == 0;
        pace.read.store(false, Relaxed);
        let patience = if begun { pace.head_timeout } else { pace.keep_alive };
        Box::pin(HeadSleep { pace: Arc::clone(pace), begun, timer: Box::pin(tokio::time::sleep(patience)) })
    }

    fn sleep_until(&self, _deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.0.head_timeout)
    }

    fn now(&self) -> Instant {
        lifecycle::now()
    }
}

/// Ends when a head takes too long.
struct HeadSleep {
    pace: Arc<Pace>,
    /// Whether the head has begun, or is the first.
    begun: bool,
    timer: Pin<Box<tokio::time::Sleep>>,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut();
        if !sleep.begun && sleep.pace.read.load(Relaxed) {
            sleep.begun = true;
            sleep.timer.as_mut().reset(tokio::time::Instant::now() + sleep.pace.head_timeout);
        }
        ready!(sleep.timer.as_mut().poll(cx));
        sleep.pace.was_idle.store(!sleep.begun, Relaxed);
        Poll::Ready(())
    }
}

/// A connection whose reads are seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) stream: FrontStream,
    pub(super) pace: Arc<Pace>,
}

impl AsyncRead for Seen {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (seen, before) = (self.get_mut(), buffer.filled().len());
        let outcome = ready!(Pin::new(&mut seen.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            seen.pace.read.store(true, Relaxed);
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for Seen {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
