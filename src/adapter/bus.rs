//! A broker inside the process: a cluster of several servers in one, for tests and for programs that run more than one.

use super::broker::{Broker, Incoming, Listener, Publication, Published, Trouble};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Payloads that may wait for one node; more are lost for it, and counted.
const UNREAD_MAX: usize = 8_192;

/// What several nodes in one process meet at. Clones are the same bus.
#[derive(Debug, Clone, Default)]
pub struct Bus(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    /// Who listens to a channel.
    channels: HashMap<String, Vec<usize>>,
    /// Who listens to channels that begin so.
    prefixes: Vec<(String, usize)>,
    nodes: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    sender: mpsc::Sender<Incoming>,
    lost: u64,
}

/// One node's handle.
#[derive(Debug, Clone)]
pub(super) struct BusClient {
    bus: Bus,
    node: usize,
}

/// Reads what comes for one node.
#[derive(Debug)]
pub(super) struct BusListener(mpsc::Receiver<Incoming>);

impl Bus {
    /// One more node.
    pub(super) fn connect(&self) -> (BusClient, BusListener) {
        let (sender, receiver) = mpsc::channel(UNREAD_MAX);
        // The channel is new, and has space.
        let _up = sender.try_send(Incoming::Up);
        let node = self.with(|lines| {
            lines.nodes.push(Line { sender, lost: 0 });
            lines.nodes.len() - 1
        });
        (BusClient { bus: self.clone(), node }, BusListener(receiver))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Lines) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lines {
    fn publish(&mut self, Publication { channel, payload }: &Publication) {
        let exact = self.channels.get(&**channel).into_iter().flatten().map(|node| (*node, false));
        let by_prefix = self.prefixes.iter().filter(|(prefix, _)| channel.starts_with(prefix.as_str()));
        for (node, by_prefix) in exact.chain(by_prefix.map(|(_, node)| (*node, true))) {
            let line = &mut self.nodes[node];
            if line.lost > 0 && line.sender.try_send(Incoming::Lost(line.lost)).is_ok() {
                line.lost = 0;
            }
            let incoming = Incoming::Payload { channel: channel.to_string(), by_prefix, payload: payload.clone() };
            line.lost += u64::from(line.sender.try_send(incoming).is_err());
        }
    }
}

impl Broker for BusClient {
    type Listener = BusListener;

    async fn publish(&self, batch: &[Publication]) -> Published {
        self.bus.with(|lines| batch.iter().for_each(|publication| lines.publish(publication)));
        Published { taken: batch.len(), refused: false }
    }

    async fn ready(&self) {}

    async fn subscribe(&self, channels: Vec<String>) -> Result<(), Trouble> {
        self.bus.with(|lines| {
            for channel in channels {
                let nodes = lines.channels.entry(channel).or_default();
                if !nodes.contains(&self.node) {
                    nodes.push(self.node);
                }
            }
        });
        Ok(())
    }

    async fn subscribe_prefix(&self, prefix: String) -> Result<(), Trouble> {
        let wanted = (prefix, self.node);
        self.bus.with(|lines| {
            if !lines.prefixes.contains(&wanted) {
                lines.prefixes.push(wanted);
            }
        });
        Ok(())
    }

    async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), Trouble> {
        self.bus.with(|lines| {
            for channel in channels {
                let Some(nodes) = lines.channels.get_mut(&channel) else { continue };
                nodes.retain(|node| *node != self.node);
                if nodes.is_empty() {
                    lines.channels.remove(&channel);
                }
            }
        });
        Ok(())
    }

    async fn subscribers(&self, channel: &str) -> Result<usize, Trouble> {
        Ok(self.bus.with(|lines| {
            let listens = |node: &&usize| !lines.nodes[**node].sender.is_closed();
            lines.channels.get(channel).map_or(0, |nodes| nodes.iter().filter(listens).count())
        }))
    }
}

impl Drop for BusListener {
    fn drop(&mut self) {
        // Its sender notices that nobody reads any more; channels of a node that has ended are cleaned up with the bus.
        self.0.close();
    }
}

impl Listener for BusListener {
    async fn next(&mut self) -> Incoming {
        match self.0.recv().await {
            Some(incoming) => incoming,
            None => std::future::pending().await,
        }
    }
}
