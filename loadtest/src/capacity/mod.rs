//! `plan`: how many replicas a load needs, and what goes through Redis, the network and the database, reckoned from runs
//! that were measured. What lies beyond what was measured is said to be so.

pub(crate) mod costs;
mod page;

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::cli::plan::{PlanCommand, Replica};
use crate::progress::grouped;
use crate::wrong::Wrong;
use costs::Costs;
use page::page;

/// Connections that PostgreSQL takes when nobody says otherwise.
const DATABASE_CONNECTIONS: u64 = 100;

/// What is asked for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Load {
    /// Open sockets.
    pub(crate) users: u64,
    /// Rooms.
    pub(crate) rooms: u64,
    /// Members of a room.
    pub(crate) members: f64,
    /// Publishes per second and room.
    pub(crate) rate: f64,
    /// Bytes of a data object.
    pub(crate) size: u64,
}

/// What it takes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// What was asked for.
    pub(crate) load: Load,
    /// Replicas, and why so many.
    pub(crate) replicas: u64,
    reason: String,
    /// Sockets of each replica when all are there.
    sockets_per_replica: u64,
    /// Publishes per second.
    publishes_per_s: f64,
    /// Deliveries per second.
    deliveries_per_s: f64,
    /// Bytes per second from clients.
    pub(crate) in_bytes_per_s: f64,
    /// Bytes per second to clients.
    pub(crate) out_bytes_per_s: f64,
    /// Processors of all replicas together.
    pub(crate) cores: f64,
    /// Memory of each replica.
    memory_bytes_per_replica: f64,
    /// Commands per second that Redis serves.
    pub(crate) redis_ops_per_s: f64,
    /// Bytes per second to Redis and from it.
    redis_bytes_per_s: (f64, f64),
    /// Processors of Redis.
    redis_cores: f64,
    /// Connections to the database.
    database_connections: u64,
    /// What lies beyond what was measured.
    pub(crate) beyond: Vec<String>,
}

impl Load {
    fn asked(command: &PlanCommand) -> Result<Self> {
        let users = match (command.class, command.users) {
            (Some(class), _) => class.users(),
            (None, Some(users)) => users,
            (None, None) => return Err(Wrong::error("--users: how many are there?")),
        };
        let rooms = match (command.rooms, command.members) {
            (Some(rooms), _) => rooms,
            (None, Some(members)) => (users as f64 / members.max(1.0)).round() as u64,
            (None, None) => users / 2,
        };
        if users == 0 || rooms == 0 {
            return Err(Wrong::error("--users and --rooms: at least one of each"));
        }
        let members = command.members.unwrap_or(users as f64 / rooms as f64);
        if members.is_nan() || members < 1.0 {
            return Err(Wrong::error(format!("--members is {members}: a room has at least one")));
        }
        Ok(Self { users, rooms, members, rate: command.rate, size: command.size })
    }
}

impl Plan {
    /// Reckons how many replicas there have to be, and what goes through them.
    pub(crate) fn new(costs: &Costs, load: Load, replica: Replica) -> Self {
        let mut replicas = load.users.div_ceil(replica.sockets_per_replica.max(1)).max(replica.least).max(1);
        let mut reason = if replicas > replica.least { "sockets" } else { "at least so many" };
        // more replicas mean more that goes from one to another, so this is tried rather than solved
        loop {
            let plan = Self::with(costs, load, replica, replicas);
            let cores = plan.cores / replicas as f64;
            let is_enough = cores <= replica.cpu * replica.cpu_share;
            let fits = plan.memory_bytes_per_replica <= (replica.memory_mib * 1024 * 1024) as f64;
            if (is_enough && fits) || replicas >= 10_000 {
                return Self { reason: reason.to_owned(), ..plan };
            }
            reason = if is_enough { "memory" } else { "processors" };
            replicas += 1;
        }
    }

    /// The same with so many replicas.
    pub(crate) fn with(costs: &Costs, load: Load, replica: Replica, replicas: u64) -> Self {
        let (nodes, size) = (replicas as f64, load.size as f64);
        let publishes = load.rooms as f64 * load.rate;
        let deliveries = publishes * load.members;
        // members sit on nodes by chance: how many nodes have one of them
        let reached = nodes * (1.0 - (1.0 - 1.0 / nodes).powf(load.members));
        let relays = if replicas > 1 { publishes } else { 0.0 };
        let busy = publishes * costs.publish_us
            + deliveries * costs.delivery_us
            + relays * costs.relay_us * (reached - 1.0).max(1.0)
            + load.users as f64 * costs.idle_us;
        let sockets_per_replica = load.users.div_ceil(replicas);
        let plan = Self {
            load,
            replicas,
            reason: String::new(),
            sockets_per_replica,
            publishes_per_s: publishes,
            deliveries_per_s: deliveries,
            in_bytes_per_s: publishes * (size + costs.in_extra),
            out_bytes_per_s: deliveries * (size + costs.out_extra),
            cores: busy / 1e6,
            memory_bytes_per_replica: costs.base_bytes + sockets_per_replica as f64 * costs.session_bytes,
            redis_ops_per_s: relays * costs.redis_ops,
            redis_bytes_per_s: (
                relays * (size + costs.redis_in_extra),
                relays * reached * (size + costs.redis_out_extra),
            ),
            redis_cores: relays * costs.redis_us / 1e6,
            database_connections: replicas * replica.pool,
            beyond: Vec::new(),
        };
        Self { beyond: plan.beyond(costs), ..plan }
    }

    fn beyond(&self, costs: &Costs) -> Vec<String> {
        let (seen, nodes) = (&costs.seen, self.replicas as f64);
        let mut beyond = Vec::new();
        let mut note = |what: &str, planned: f64, measured: f64| {
            if planned > measured {
                let (planned, measured) = (grouped(planned.ceil() as u64), grouped(measured as u64));
                beyond.push(format!("{what}: {planned}, and {measured} were measured"));
            }
        };
        note("sockets of a replica", self.sockets_per_replica as f64, seen.sockets);
        note("members of a room", self.load.members, seen.members);
        note("deliveries per second of a replica", self.deliveries_per_s / nodes, seen.deliveries);
        note("replicas", nodes, seen.nodes);
        note("bytes of a data object", self.load.size as f64, seen.sizes.1);
        if (self.load.size as f64) < seen.sizes.0 {
            let text = format!("bytes of a data object: {}, and {} were measured", self.load.size, seen.sizes.0);
            beyond.push(text);
        }
        beyond
    }

    /// The rows of the plan: what, and how much.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let load = &self.load;
        let bandwidth = |bytes: f64| format!("{:.2} MB/s ({:.1} Mbit/s)", bytes / 1e6, bytes * 8.0 / 1e6);
        let mut rows = vec![
            ("sockets", grouped(load.users)),
            ("rooms", format!("{}, {:.1} members each", grouped(load.rooms), load.members)),
            ("publishes/s", grouped(self.publishes_per_s.round() as u64)),
            ("deliveries/s", grouped(self.deliveries_per_s.round() as u64)),
            ("replicas", format!("{} ({})", self.replicas, self.reason)),
            ("sockets of a replica", grouped(self.sockets_per_replica)),
            ("processors, all replicas", format!("{:.2}", self.cores)),
            ("memory of a replica", format!("{:.0} MiB", self.memory_bytes_per_replica / 1_048_576.0)),
            ("from clients", bandwidth(self.in_bytes_per_s)),
            ("to clients", bandwidth(self.out_bytes_per_s)),
            ("Redis commands/s", grouped(self.redis_ops_per_s.round() as u64)),
            ("to Redis, from Redis", {
                format!("{}, {}", bandwidth(self.redis_bytes_per_s.0), bandwidth(self.redis_bytes_per_s.1))
            }),
            ("processors of Redis", format!("{:.2}", self.redis_cores)),
            ("database connections", {
                let fits = if self.database_connections < DATABASE_CONNECTIONS {
                    ""
                } else {
                    ", more than PostgreSQL takes unless it is told to: use PgBouncer"
                };
                format!("{}{fits}", self.database_connections)
            }),
        ];
        rows.extend(self.beyond.iter().map(|text| ("beyond what was measured", text.clone())));
        rows
    }
}

/// Prints a plan.
pub(crate) fn run(command: &PlanCommand) -> Result<()> {
    let costs = Costs::read(command.results.as_deref())?;
    if let Some(path) = &command.write {
        return std::fs::write(path, page(&costs)?).with_context(|| format!("cannot write {}", path.display()));
    }
    let load = Load::asked(command)?;
    let replica = command.replica;
    if !(replica.cpu > 0.0 && replica.cpu_share > 0.0 && replica.cpu_share <= 1.0) {
        return Err(Wrong::error("--cpu is above 0, and --cpu-share from 0 to 1"));
    }
    if costs.base_bytes + costs.session_bytes > (replica.memory_mib * 1024 * 1024) as f64 {
        let least = (costs.base_bytes / 1_048_576.0).ceil();
        return Err(Wrong::error(format!(
            "--memory-mib is {}: a replica without clients has {least}",
            replica.memory_mib
        )));
    }
    let plan = Plan::new(&costs, load, replica);
    let mut out = io::stdout().lock();
    if command.as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?;
        return Ok(());
    }
    for (what, how_much) in plan.rows() {
        writeln!(out, "{what:<26}  {how_much}")?;
    }
    let idle = &costs.runs[0];
    writeln!(out, "{:<26}  {} × {}", "measured on", idle.number("host.cores")?, idle.text("host.cpu"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs() -> Costs {
        Costs::read(None).unwrap()
    }

    #[test]
    fn a_plan_of_what_was_measured_is_what_was_measured() {
        let costs = costs();
        // not one of those that the costs are taken from
        let run = costs.runs.iter().find(|run| run.name == "cluster-4k").unwrap();
        let planned = page::planned(&costs, run).unwrap();
        for (what, planned, field) in planned.into_iter().take(3) {
            let measured = run.number(field).unwrap();
            let off = (planned - measured).abs() / measured;
            assert!(off <= 0.2, "{what}: {planned} planned, {measured} measured");
        }
    }

    #[test]
    fn more_of_everything_needs_more_replicas() {
        let costs = costs();
        let load = Load { users: 2_000, rooms: 1_000, members: 2.0, rate: 1.0, size: 1_024 };
        let plan = |load| Plan::new(&costs, load, Replica::default());
        assert_eq!((plan(load).replicas, plan(load).reason.as_str()), (3, "sockets"));
        let little = plan(Load { users: 100, rooms: 50, ..load });
        assert_eq!((little.replicas, little.reason.as_str()), (2, "at least so many"));
        let busy = plan(Load { rate: 200.0, ..load });
        assert!(busy.replicas > 3 && busy.reason == "processors", "{busy:?}");
        assert!(busy.cores / busy.replicas as f64 <= 0.7);
        let replica = Replica { memory_mib: 60, sockets_per_replica: 100_000, ..Replica::default() };
        let small = Plan::new(&costs, Load { rate: 0.0, users: 200_000, ..load }, replica);
        assert_eq!(small.reason, "memory");
    }

    #[test]
    fn beyond_what_was_measured_is_said() {
        let costs = costs();
        let load = Load { users: 2_000, rooms: 1_000, members: 2.0, rate: 1.0, size: 1_024 };
        assert!(Plan::with(&costs, load, Replica::default(), 2).beyond.is_empty());
        let said = Plan::with(&costs, Load { size: 1_000_000, ..load }, Replica::default(), 50).beyond.join("; ");
        assert!(said.contains("replicas: 50") && said.contains("bytes of a data object: 1,000,000"), "{said}");
    }

    #[test]
    fn one_replica_needs_no_redis() {
        let load = Load { users: 10, rooms: 5, members: 2.0, rate: 1.0, size: 100 };
        let plan = Plan::with(&costs(), load, Replica::default(), 1);
        assert_eq!(plan.redis_ops_per_s, 0.0);
    }
}
