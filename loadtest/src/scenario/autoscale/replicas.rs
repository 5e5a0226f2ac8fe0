//! The replicas of a deployment, as a controller keeps them: started, ready, draining, gone.

use anyhow::{Result, ensure};

use super::hpa::Pods;
use crate::local::cluster::Cluster;
use crate::observe::metrics::{self, Samples};

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    Starting,
    Ready,
    Draining,
}

/// The nodes of a cluster, of which some are wanted.
#[derive(Debug)]
pub(super) struct Replicas {
    states: Vec<State>,
    /// In the order in which they were started.
    started: Vec<usize>,
    /// Exit codes that were not 0.
    pub(super) bad_ends: u64,
}

/// What the nodes say when they are asked.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The metric of each that is ready and says it.
    pub(super) values: Vec<f64>,
    unready: usize,
    missing: usize,
    /// All that are asked to be there.
    pub(super) wanted: u32,
}

impl Replicas {
    /// The first so many run already.
    pub(super) fn new(cluster: &Cluster, running: usize) -> Self {
        let mut states = vec![State::Off; cluster.nodes.len()];
        states[..running].fill(State::Ready);
        Self { states, started: (0..running).collect(), bad_ends: 0 }
    }

    /// How many are ready.
    pub(super) fn ready(&self) -> usize {
        self.count(State::Ready)
    }

    /// How many are on their way out.
    pub(super) fn draining(&self) -> usize {
        self.count(State::Draining)
    }

    fn count(&self, state: State) -> usize {
        self.states.iter().filter(|one| **one == state).count()
    }

    /// Looks at those that are starting and those that are ending.
    pub(super) fn look(&mut self, cluster: &mut Cluster) -> Result<()> {
        for (node, state) in cluster.nodes.iter_mut().zip(&mut self.states) {
            match state {
                State::Starting if node.is_ready() => *state = State::Ready,
                State::Starting => {
                    let ended = node.ended()?;
                    ensure!(ended.is_none(), "a node that was added ended: {ended:?}");
                }
                State::Draining => {
                    if let Some(status) = node.ended()? {
                        *state = State::Off;
                        self.bad_ends += u64::from(!status.success());
                    }
                }
                State::Off | State::Ready => {}
            }
        }
        Ok(())
    }

    /// Starts nodes, or asks those that were started last to end, until so many are wanted.
    pub(super) fn set(&mut self, cluster: &mut Cluster, wanted: u32) -> Result<()> {
        while self.started.len() < wanted as usize {
            let Some(node) = self.states.iter().position(|state| *state == State::Off) else { break };
            cluster.nodes[node].start()?;
            self.states[node] = State::Starting;
            self.started.push(node);
        }
        while self.started.len() > wanted as usize {
            let Some(node) = self.started.pop() else { break };
            cluster.nodes[node].terminate()?;
            self.states[node] = State::Draining;
        }
        Ok(())
    }

    /// Asks each for its metric. Those on their way out are not asked: they count no more.
    pub(super) fn read(&self, cluster: &Cluster, metric: &str) -> Reading {
        let mut reading = Reading { wanted: self.started.len() as u32, ..Reading::default() };
        for &at in &self.started {
            if self.states[at] != State::Ready {
                reading.unready += 1;
                continue;
            }
            match metrics::fetch(&cluster.nodes[at].metrics_url()).and_then(|samples| sum(&samples, metric)) {
                Some(value) => reading.values.push(value),
                None => reading.missing += 1,
            }
        }
        reading
    }
}

impl Reading {
    /// As the arithmetic wants it.
    pub(super) fn pods(&self) -> Pods<'_> {
        Pods { ready: &self.values, unready: self.unready, missing: self.missing }
    }
}

/// The sum of all series of a metric; `None`: there is none.
fn sum(samples: &Samples, name: &str) -> Option<f64> {
    let is_one = |series: &str| series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
    samples.iter().filter(|(series, _)| is_one(series)).map(|(_, value)| *value).reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_is_not_there_is_not_zero() {
        let samples =
            [("open_sockets{worker=\"0\"}", 2.0), ("open_sockets{worker=\"1\"}", 3.0), ("open_sockets_max", 9.0)];
        let samples = samples.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(sum(&samples, "open_sockets"), Some(5.0));
        assert_eq!(sum(&samples, "open"), None);
    }
}
