//! Holds what a server cost in a window: all its processes together, and each of them.

use serde::Serialize;

use crate::observe::process::{self, Usage};

/// The server's processes in a window.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Server {
    /// All together; `waiting` is that of the process that waited most.
    #[serde(flatten)]
    pub(crate) total: Cost,
    /// Each process: nodes, and what stands between them if it was named.
    pub(crate) processes: Vec<ProcessCost>,
}

/// What a process, or several, cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    /// CPU time over window length.
    pub(crate) cores: f64,
    /// Time its threads were ready to run but had no processor, over window length.
    pub(crate) waiting: f64,
    /// CPU time per delivery that arrived, anywhere.
    pub(crate) cpu_us_per_delivery: f64,
    /// Memory at the window's end.
    pub(crate) rss_bytes: u64,
    /// The part of it that is neither file nor shared memory.
    pub(crate) rss_anon_bytes: u64,
}

/// One process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProcessCost {
    /// Its id.
    pub(crate) pid: u32,
    /// What the system calls it.
    pub(crate) name: String,
    /// What it cost.
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

impl Server {
    /// What `pids` used between two looks that were `seconds` apart, while deliveries arrived at a rate.
    pub(crate) fn between(pids: &[u32], looks: (&[Usage], &[Usage]), seconds: f64, deliveries_per_s: f64) -> Self {
        let cost = |before: &Usage, after: &Usage| {
            let cores = (after.cpu_seconds - before.cpu_seconds) / seconds;
            Cost {
                cores,
                waiting: (after.wait_seconds - before.wait_seconds) / seconds,
                cpu_us_per_delivery: cores * 1e6 / deliveries_per_s.max(1.0),
                rss_bytes: after.rss_bytes,
                rss_anon_bytes: after.rss_anon_bytes,
            }
        };
        let processes: Vec<_> = pids
            .iter()
            .zip(looks.0.iter().zip(looks.1))
            .map(|(&pid, (before, after))| ProcessCost { pid, name: process::name(pid), cost: cost(before, after) })
            .collect();
        let mut total = cost(&Usage::total(looks.0), &Usage::total(looks.1));
        total.waiting = processes.iter().map(|process| process.cost.waiting).fold(0.0, f64::max);
        Self { total, processes }
    }

    /// CPU time per delivery of the processes with this name.
    pub(crate) fn cpu_us_per_delivery_of(&self, name: &str) -> Option<f64> {
        let mut costs = self.processes.iter().filter(|process| process.name == name).peekable();
        costs.peek()?;
        Some(costs.map(|process| process.cost.cpu_us_per_delivery).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_added_up_and_kept_apart() {
        let usage = |cpu_seconds, wait_seconds| Usage { cpu_seconds, wait_seconds, rss_bytes: 10, rss_anon_bytes: 4 };
        let before = [usage(1.0, 0.0), usage(5.0, 0.0)];
        let after = [usage(2.0, 0.1), usage(8.0, 0.4)];
        let server = Server::between(&[0, 0], (&before, &after), 2.0, 1_000.0);
        assert_eq!(server.processes[0].cost.cpu_us_per_delivery, 500.0);
        assert_eq!(server.total.cpu_us_per_delivery, 2_000.0);
        assert_eq!(server.total.cores, 2.0);
        assert_eq!(server.total.waiting, 0.2, "the one that waited most");
        assert_eq!(server.total.rss_bytes, 20);
        assert_eq!(server.cpu_us_per_delivery_of("?"), Some(2_000.0), "there is no process 0, so no name");
        assert_eq!(server.cpu_us_per_delivery_of("redis-server"), None);
    }
}
