//! One unit of a rate, please: by what this node knows, or by what all nodes have counted together.

use super::ledger::{Taking, told_after};
use super::rate::Rate;
use super::{AddressKey, Caller, Key, Limiter, Scope, Verdict};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::LimitHit;
use futures_util::future::join_all;
use std::time::Instant;

/// Keys of which a ledger is told at once.
const TOLD_AT_ONCE: usize = 64;

impl Limiter {
    /// Takes one unit of a caller's rate, by what all nodes have counted.
    pub async fn ask_caller(&self, scope: Scope, caller: Caller, now: Instant) -> Verdict {
        if self.is_exempt(caller) {
            return Verdict::UNLIMITED;
        }
        let verdict = self.ask(scope, AddressKey::of(caller.address).into(), now).await;
        self.noted(verdict, scope, Some(caller), now)
    }

    /// Takes one unit of the rate of a service's key, with which `caller` asks, by what all nodes have counted.
    pub async fn ask_key(&self, scope: Scope, key: Key, caller: Option<Caller>, now: Instant) -> Verdict {
        let verdict = self.ask(scope, key, now).await;
        self.noted(verdict, scope, caller, now)
    }

    /// Takes one unit of a caller's rate, by what this node knows: the other nodes are told later.
    #[must_use]
    pub fn check_caller(&self, scope: Scope, caller: Caller, now: Instant) -> Verdict {
        if self.is_exempt(caller) {
            return Verdict::UNLIMITED;
        }
        let verdict = self.check(scope, AddressKey::of(caller.address).into(), now);
        self.noted(verdict, scope, Some(caller), now)
    }

    /// Takes one unit of a key's rate, by what this node knows: the other nodes are told later.
    #[must_use]
    pub fn check_key(&self, scope: Scope, key: Key, now: Instant) -> Verdict {
        let verdict = self.check(scope, key, now);
        self.noted(verdict, scope, None, now)
    }

    /// Whether a rate has no limit.
    #[must_use]
    pub fn is_unlimited(&self, scope: Scope) -> bool {
        self.rate(scope).is_unlimited()
    }

    fn rate(&self, scope: Scope) -> Rate {
        self.inner.rates[scope as usize]
    }

    /// Counts that a limit was hit, if it was.
    fn noted(&self, verdict: Verdict, scope: Scope, caller: Option<Caller>, now: Instant) -> Verdict {
        if !verdict.allowed {
            self.note(scope.hit(), caller, now);
        }
        verdict
    }

    /// What this node refuses is refused: nobody else is asked. What it allows is for the ledger to say, and this node's
    /// own word holds when that does not answer.
    async fn ask(&self, scope: Scope, key: Key, now: Instant) -> Verdict {
        let (rate, ms) = (self.rate(scope), self.millis(now));
        let Some(together) = self.inner.together.as_ref().filter(|_| !rate.is_unlimited()) else {
            return self.check(scope, key, now);
        };
        let Some(here) = self.known(self.inner.limits.check((scope, key), ms, rate), now) else {
            return Verdict::UNLIMITED;
        };
        if !here.allowed {
            return here;
        }
        let taking = Taking { scope, key, rate, units: 1, is_told: false };
        let Some(standing) = together.ask(taking, ms).await else { return here };
        self.inner.limits.settle(&(scope, key), ms, rate, standing);
        rate.verdict(standing.taken, standing.owed_us)
    }

    fn check(&self, scope: Scope, key: Key, now: Instant) -> Verdict {
        let rate = self.rate(scope);
        if rate.is_unlimited() {
            return Verdict::UNLIMITED;
        }
        let checked = self.inner.limits.check_and_note((scope, key), self.millis(now), rate, told_after(rate));
        let Some((verdict, is_time)) = self.known(checked, now) else { return Verdict::UNLIMITED };
        if let Some(together) = self.inner.together.as_ref().filter(|_| is_time) {
            together.owes_word(scope, key);
        }
        verdict
    }

    /// Whoever can fill the table has so many addresses that a rate for each stops nobody; to refuse those that come
    /// later would only hit the others. The limits of the node still hold.
    fn known<T>(&self, found: Option<T>, now: Instant) -> Option<T> {
        self.inner.stats.rate_limit_keys.set(self.inner.limits.len() as u64);
        if found.is_none() {
            self.note(LimitHit::RateLimitKeys, None, now);
        }
        found
    }

    /// Tells the ledger what has been taken without asking it, and learns how things stand, until the process ends.
    pub async fn tell(self, lifecycle: Lifecycle) {
        let Some(mut telling) = self.inner.together.as_ref().and_then(|together| together.telling()) else { return };
        let mut keys = Vec::with_capacity(TOLD_AT_ONCE);
        loop {
            tokio::select! {
                _some = telling.recv_many(&mut keys, TOLD_AT_ONCE) => {}
                () = lifecycle.stopping() => return,
            }
            join_all(keys.drain(..).map(|(scope, key)| self.tell_of(scope, key))).await;
        }
    }

    async fn tell_of(&self, scope: Scope, key: Key) {
        let (rate, ms) = (self.rate(scope), self.millis(lifecycle::now()));
        let units = self.inner.limits.take_untold(&(scope, key));
        let Some(together) = self.inner.together.as_ref().filter(|_| units > 0) else { return };
        // What could not be told is forgotten: this node has counted it, and goes on by itself.
        if let Some(standing) = together.ask(Taking { scope, key, rate, units, is_told: true }, ms).await {
            self.inner.limits.settle(&(scope, key), ms, rate, standing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Answer, Ledger, Standing, Unanswered};
    use super::super::rate::Limit;
    use super::*;
    use crate::config::Settings;
    use crate::metrics::{Fallback, NodeStats, SharedLimit};
    use clap::Parser as _;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    const KEY: Key = Key::of_number(7);

    /// Counts as the real one does, by a clock of the test's.
    #[derive(Debug, Default)]
    struct Book {
        paid: Mutex<HashMap<(Scope, Key), u64>>,
        now_ms: AtomicU64,
        asked: AtomicU64,
        mood: AtomicU8,
    }

    const FINE: u8 = 0;
    const SILENT: u8 = 1;
    const GONE: u8 = 2;

    impl Ledger for Book {
        fn take(&self, taking: Taking) -> Answer<'_> {
            self.asked.fetch_add(1, Relaxed);
            match self.mood.load(Relaxed) {
                SILENT => return Box::pin(std::future::pending()),
                GONE => return Box::pin(async { Err(Unanswered::Away) }),
                _ => {}
            }
            let now = self.now_ms.load(Relaxed) * 1_000;
            let mut book = self.paid.lock().unwrap();
            let paid_at = book.entry((taking.scope, taking.key)).or_default();
            let owed_us = paid_at.saturating_sub(now);
            let with_us = owed_us + taking.rate.interval_us() * u64::from(taking.units);
            let taken = taking.is_told || with_us <= taking.rate.tolerance_us();
            if taken {
                *paid_at = now + with_us;
            }
            let owed_us = if taken { with_us } else { owed_us };
            Box::pin(async move { Ok(Standing { taken, owed_us }) })
        }
    }

    struct Node {
        limiter: Limiter,
        book: Arc<Book>,
        stats: Arc<NodeStats>,
        started: Instant,
    }

    #[derive(Debug, clap::Parser)]
    struct Defaults {
        #[command(flatten)]
        settings: Settings,
    }

    impl Node {
        /// A node that allows 10 a second and 3 at once, of everything.
        fn new(book: &Arc<Book>) -> Self {
            let mut settings = Defaults::parse_from(["test"]).settings;
            let abuse = &mut settings.abuse;
            (abuse.requests_per_second_per_key, abuse.requests_burst_per_key) = (10, 3);
            (abuse.packets_per_second_per_user, abuse.packets_burst_per_user) = (10, 16);
            let (stats, book) = (Arc::<NodeStats>::default(), Arc::clone(book));
            let limiter = Limiter::new(&settings, Arc::clone(&stats), Some(book.clone() as Arc<dyn Ledger>));
            let started = limiter.inner.started;
            Self { limiter, book, stats, started }
        }

        fn at(&self, ms: u64) -> Instant {
            self.book.now_ms.store(ms, Relaxed);
            self.started + Duration::from_millis(ms)
        }

        async fn ask(&self, ms: u64) -> Verdict {
            self.limiter.ask_key(Scope::Requests, KEY, None, self.at(ms)).await
        }

        fn fallbacks(&self, why: Fallback) -> u64 {
            self.stats.shared_limits_fallbacks[SharedLimit::Requests as usize][why as usize].get()
        }
    }

    #[tokio::test]
    async fn two_nodes_allow_as_much_as_one_and_say_the_same() {
        let book = Arc::default();
        let nodes = [Node::new(&book), Node::new(&book)];
        for (n, remaining) in [(0, 2), (1, 1), (0, 0)] {
            let verdict = nodes[n].ask(0).await;
            assert_eq!((verdict.allowed, verdict.remaining, verdict.limit), (true, remaining, 3));
        }
        for node in &nodes {
            let refused = node.ask(0).await;
            assert!(!refused.allowed);
            let ms = Duration::from_millis;
            assert_eq!((refused.remaining, refused.retry_after, refused.reset_after), (0, ms(100), ms(300)));
        }
        assert!(nodes[1].ask(100).await.allowed && !nodes[0].ask(100).await.allowed);
    }

    #[tokio::test]
    async fn what_a_node_knows_to_be_too_much_is_not_asked() {
        let book = Arc::default();
        let [node, other] = [Node::new(&book), Node::new(&book)];
        for _ in 0..3 {
            assert!(other.ask(0).await.allowed);
        }
        assert!(!node.ask(0).await.allowed);
        assert_eq!(book.asked.load(Relaxed), 4);
        for ms in 0..99 {
            assert!(!node.ask(ms).await.allowed && !other.ask(ms).await.allowed);
        }
        assert_eq!(book.asked.load(Relaxed), 4, "a flood that is refused anyway reached the ledger");
        assert!(node.ask(100).await.allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_is_silent_is_waited_for_once_and_the_node_counts_for_itself() {
        let node = Node::new(&Arc::default());
        node.book.mood.store(SILENT, Relaxed);
        let began = tokio::time::Instant::now();
        let allowed = [node.ask(0).await, node.ask(0).await, node.ask(0).await, node.ask(0).await];
        assert_eq!(allowed.map(|verdict| verdict.allowed), [true, true, true, false]);
        assert_eq!(began.elapsed(), Duration::from_millis(100));
        assert_eq!((node.fallbacks(Fallback::TimedOut), node.fallbacks(Fallback::Away)), (1, 2));

        node.book.mood.store(GONE, Relaxed);
        assert!(node.ask(599).await.allowed);
        assert!(node.ask(600).await.allowed && node.ask(600).await.allowed);
        assert_eq!((node.book.asked.load(Relaxed), node.fallbacks(Fallback::Away)), (2, 5), "only one tries again");

        node.book.mood.store(FINE, Relaxed);
        assert!(node.ask(2_000).await.allowed && node.ask(2_000).await.allowed);
        assert_eq!(node.stats.shared_limits_asked[SharedLimit::Requests as usize].get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_ask_at_once() {
        let node = Node::new(&Arc::default());
        node.book.mood.store(SILENT, Relaxed);
        let now = node.at(0);
        let asks = (0..300).map(|n| node.limiter.ask_key(Scope::Requests, Key::of_number(n), None, now));
        assert!(join_all(asks).await.iter().all(|verdict| verdict.allowed));
        assert_eq!((node.fallbacks(Fallback::Full), node.fallbacks(Fallback::TimedOut)), (44, 256));
    }

    #[tokio::test]
    async fn what_is_counted_here_is_told_and_holds_there() {
        let book = Arc::default();
        let [node, other] = [Node::new(&book), Node::new(&book)];
        let check = |node: &Node, ms| node.limiter.check_key(Scope::Packets, KEY, node.at(ms));
        let mut telling = node.limiter.inner.together.as_ref().unwrap().telling().unwrap();
        for said in 1..=16 {
            assert!(check(&node, 0).allowed);
            assert_eq!(telling.try_recv().is_ok(), said % 2 == 0, "an eighth of the burst at a time");
        }
        assert!(!check(&node, 0).allowed && telling.try_recv().is_err());
        node.limiter.tell_of(Scope::Packets, KEY).await;
        assert_eq!(book.asked.load(Relaxed), 1);

        // The other has not heard of it, and lets some through; when it tells of them it learns, and both have to wait.
        assert!(check(&other, 0).allowed && check(&other, 0).allowed);
        other.limiter.tell_of(Scope::Packets, KEY).await;
        let refused = check(&other, 0);
        assert!(!refused.allowed);
        assert_eq!(refused.reset_after, Duration::from_millis(1_800));
        assert!(!check(&other, 150).allowed);
        other.limiter.tell_of(Scope::Packets, KEY).await;
        assert_eq!(book.asked.load(Relaxed), 2, "there was nothing to tell");
    }

    proptest! {
        /// One node with a ledger says what one without it says.
        #[test]
        fn a_ledger_says_what_a_node_alone_would(pauses in prop::collection::vec(0..250_u64, 1..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let node = Node::new(&Arc::default());
                let (mut alone, mut ms, rate) = (Limit::default(), 0, Rate::per_second(10, 3));
                for pause in pauses {
                    ms += pause;
                    assert_eq!(node.ask(ms).await, alone.check(ms, rate), "at {ms} ms");
                }
            });
        }
    }
}
