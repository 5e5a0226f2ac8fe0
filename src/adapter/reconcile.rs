//! Makes the subscriptions agree with what is wanted, and sends the probe that shows whether anything gets through.

use super::broker::{Broker, Trouble};
use super::interest::Key;
use super::publisher::Kind;
use super::shared::Shared;
use super::{Here, peers, replay};
use crate::lifecycle;
use crate::protocol::envelope::Format;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Channels that are subscribed to, or given up, at once.
const BATCH: usize = 512;

/// The same in the sharded form, where each is a command of its own that waits for its answer.
const SHARDED_BATCH: usize = 32;

/// How long a room without members is still heard, in milliseconds: somebody may come back.
pub(super) const IDLE_MS: u64 = 1_000;

/// How long a subscription may take. Those who wait for it go on without then, and it is tried again.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often this looks, when nobody asks it to.
const TICK: Duration = Duration::from_millis(100);

/// How much further back a node asks than it has to, in milliseconds: what comes twice is told by its number.
const REPLAY_MARGIN_MS: u64 = 1_000;

/// How often a node asks for it until it has been answered, in milliseconds.
const ASK_MS: u64 = 90;

/// How often it is looked whether channels have moved to other servers, in milliseconds.
const LOOK_MS: u64 = 500;

/// How often a probe is sent, in milliseconds.
const PROBE_MS: u64 = 1_000;

/// There is a new connection: nothing is subscribed to on it.
pub(super) fn up(shared: &Shared) {
    shared.stats.connections.add_shared(1);
    shared.wake.notify_one();
}

/// The connection is lost: who waits for a room waits no longer.
pub(super) fn down(shared: &Shared) {
    let waiting = shared.interest().down();
    drop(waiting);
    shared.stats.up.set(0);
    if shared.subscribed.swap(0, Relaxed) != 0 {
        shared.away_since.store(lifecycle::unix_millis(), Relaxed);
        tracing::warn!("Redis is away: other nodes are not heard");
    }
}

/// Everything is subscribed to on this connection.
fn heard_again(shared: &Shared, connection: u64) {
    shared.subscribed.store(connection, Relaxed);
    shared.stats.up.set(1);
    let since = shared.away_since.swap(0, Relaxed);
    if since != 0 {
        let (away_ms, rooms) = (lifecycle::unix_millis().saturating_sub(since), shared.interest().len());
        shared.stats.away_ms.set(away_ms);
        tracing::warn!(away_ms, rooms, "Redis is back: other nodes are heard again");
    }
}

/// A probe has come round.
pub(super) fn probed(shared: &Shared, payload: &[u8]) {
    if let Ok(sent) = payload.try_into() {
        let took = lifecycle::monotonic_micros().saturating_sub(u64::from_be_bytes(sent));
        shared.stats.probe_us.set(took);
        shared.stats.lag.observe_shared(took);
    }
    shared.stats.probed_at_ms.set(lifecycle::unix_millis());
    // Something comes in although the connection is said to be lost: it is looked after like a new one.
    if shared.stats.up.get() == 0 && shared.stats.connections.get() > 0 {
        up(shared);
    }
}

/// Reconciles for ever.
pub(super) async fn run<B: Broker>(shared: Arc<Shared>, broker: B, here: Arc<dyn Here>) {
    let mut seen = 0;
    let (mut probe_due, mut ask_due, mut look_due, started) = (0, 0, 0, lifecycle::unix_millis());
    loop {
        let _tick = tokio::time::timeout(TICK, shared.wake.notified()).await;
        let connections = shared.stats.connections.get();
        let now = lifecycle::unix_millis();
        let probed = shared.stats.probed_at_ms.get();
        shared.stats.probe_age_ms.set(now.saturating_sub(if probed == 0 { started } else { probed }));
        if connections == 0 {
            continue;
        }
        if seen != connections {
            shared.interest().up();
        }
        if !subscribe(&shared, &broker, connections).await {
            continue;
        }
        if seen != connections {
            match subscribe_always(&shared, &broker, connections).await {
                Ok(false) => continue,
                Ok(true) => {
                    (seen, ask_due) = (connections, 0);
                    peers::announce(&shared, &*here);
                }
                Err(trouble) => tracing::debug!(%trouble, "cannot subscribe"),
            }
        }
        if seen == connections && shared.is_subscribed() && now >= ask_due {
            ask_due = now + ASK_MS;
            ask_for_the_past(&shared, connections);
        }
        unsubscribe(&shared, &broker, now, &*here).await;
        if now >= look_due {
            look_due = now + LOOK_MS;
            let followed = tokio::time::timeout(SUBSCRIBE_TIMEOUT, broker.follow());
            if let Ok(Err(trouble)) = followed.await {
                tracing::debug!(%trouble, "cannot look where channels are");
            }
        }
        if now >= probe_due && shared.waiting_since.load(Relaxed) == 0 {
            probe_due = now + PROBE_MS;
            // A probe that cannot be sent shows as one that does not come.
            let sent = lifecycle::monotonic_micros().to_be_bytes().to_vec();
            let _unsent = shared.post(shared.probe_channel().into(), sent, Kind::Passing);
            // Only then: a slow answer would hide how slow it is.
            count_nodes(&shared, &broker).await;
            count_peers(&shared, &broker).await;
        }
        shared.stats.subscriptions.set(shared.interest().len() as u64);
        shared.stats.waiting_bytes.set(shared.waiting_bytes.load(Relaxed) as u64);
    }
}

/// Asks the other nodes for what they have published since this one heard anything: a probe comes every second. It asks
/// again until it has caught up, as those that lost their connections too may not have heard the question.
fn ask_for_the_past(shared: &Shared, connection: u64) {
    let lost_at = shared.lost_at.load(Relaxed);
    if lost_at == 0 {
        return;
    }
    let ago = lifecycle::unix_millis().saturating_sub(lost_at) + REPLAY_MARGIN_MS;
    let question = replay::question(ago, &replay::asker(&shared.uid, connection));
    // Nothing is lost by asking in vain but what could not be heard, which is not lost more than it was.
    let _unsent = shared.post(shared.replay_channel().into(), question, Kind::Passing);
}

fn batch_of(shared: &Shared) -> usize {
    if shared.format == Format::Sharded { SHARDED_BATCH } else { BATCH }
}

async fn count_nodes<B: Broker>(shared: &Shared, broker: &B) {
    let Some(channels) = shared.channels.first() else { return };
    let counting = tokio::time::timeout(SUBSCRIBE_TIMEOUT, broker.subscribers(channels.question()));
    if let Ok(Ok(nodes)) = counting.await {
        shared.nodes.store(nodes, Relaxed);
        shared.stats.nodes.set(nodes as u64);
    }
}

/// How many roomcast nodes listen: more than are known, and an answer of all that are is not the whole answer.
async fn count_peers<B: Broker>(shared: &Shared, broker: &B) {
    let counting = tokio::time::timeout(SUBSCRIBE_TIMEOUT, broker.subscribers(shared.peer_channels.all()));
    if let Ok(Ok(listening)) = counting.await {
        shared.listening.store(listening, Relaxed);
    }
}

/// Subscribes to what does not depend on rooms. It comes last: whoever is listened to here hears this node's rooms already.
/// Says whether the connection is still the same.
async fn subscribe_always<B: Broker>(shared: &Shared, broker: &B, connection: u64) -> Result<bool, Trouble> {
    let mut channels: Vec<String> =
        shared.channels.iter().flat_map(|channels| channels.always()).map(str::to_owned).collect();
    let asker = replay::asker(&shared.uid, connection);
    channels.extend([shared.probe_channel(), shared.replay_channel(), shared.replay_channel_of(&asker)]);
    channels.extend([shared.peer_channels.all().to_owned(), shared.peer_channels.own().to_owned()]);
    if shared.format == Format::Classic {
        for channels in &shared.channels {
            if let Some(room) = channels.room(&shared.sid_prefix) {
                broker.subscribe_prefix(room.trim_end_matches('#').to_owned()).await?;
            }
        }
    }
    broker.subscribe(channels).await?;
    // What was subscribed to before is not on a newer connection, and nobody must be asked for the past on that yet.
    if !shared.is_current(connection) {
        return Ok(false);
    }
    heard_again(shared, connection);
    count_peers(shared, broker).await;
    Ok(true)
}

/// Subscribes to the rooms that are wanted. Says whether all are heard now, on this connection.
async fn subscribe<B: Broker>(shared: &Shared, broker: &B, connection: u64) -> bool {
    while shared.is_current(connection) {
        let batch = shared.interest().ask(batch_of(shared));
        if batch.is_empty() {
            return true;
        }
        let subscribed = tokio::time::timeout(SUBSCRIBE_TIMEOUT, broker.subscribe(names(shared, &batch))).await;
        let subscribed = subscribed.unwrap_or_else(|_| Err(Trouble("no answer".to_owned())));
        // What waits is dropped when the lock is free again: it goes on then.
        let ready = match &subscribed {
            Ok(()) => shared.interest().confirm(&batch),
            Err(_) => shared.interest().retry(batch),
        };
        drop(ready);
        if let Err(trouble) = subscribed {
            tracing::debug!(%trouble, "cannot subscribe");
            return false;
        }
    }
    false
}

async fn unsubscribe<B: Broker>(shared: &Shared, broker: &B, now: u64, here: &dyn Here) {
    loop {
        let batch =
            shared.interest().give_up(now, batch_of(shared), |(namespace, room)| here.has_members(*namespace, room));
        if batch.is_empty() {
            return;
        }
        let unsubscribed = tokio::time::timeout(SUBSCRIBE_TIMEOUT, broker.unsubscribe(names(shared, &batch))).await;
        if let Err(trouble) = unsubscribed.unwrap_or_else(|_| Err(Trouble("no answer".to_owned()))) {
            // What comes for a room without members is not looked at; a new connection has no subscription to it.
            tracing::debug!(%trouble, "cannot unsubscribe");
            return;
        }
    }
}

fn names(shared: &Shared, batch: &[Key]) -> Vec<String> {
    batch.iter().filter_map(|(namespace, room)| shared.channels[usize::from(*namespace)].room(room)).collect()
}
