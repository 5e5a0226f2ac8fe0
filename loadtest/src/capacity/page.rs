//! Writes the capacity page: what was measured, what follows for four sizes, and how well a plan met a run.

use std::fmt::Write as _;

use anyhow::Result;

use super::costs::{Costs, Run};
use super::{Load, Plan};
use crate::cli::plan::{Class, Replica};
use crate::progress::{duration, grouped};

/// Publishes per second and room, and bytes, of the sizes.
const RATE: f64 = 1.0;
const SIZE: u64 = 1_024;
/// Bytes per second of a network of a gigabit.
const GIGABIT: f64 = 125e6;

const HEAD: &str = "\
# Capacity

<!-- Written by `roomcast-loadtest plan --write docs/capacity.md` from loadtest/results; a test compares. -->

How many replicas a load needs, and what goes through Redis, the network and the database. Everything here is reckoned from runs of
`loadtest/measure`, whose reports are in `loadtest/results`; on another machine, run it there and write this page again.

```sh
roomcast-loadtest plan --users 2000 --rooms 1000 --rate 1/s --size 1024
roomcast-loadtest plan --users 5000 --members 20 --rate 6/min --cpu 0.5 --memory-mib 256
roomcast-loadtest plan --class L
```
";

const RECKONING: &str = "\
## How it is reckoned

- publishes = rooms × rate; deliveries = publishes × members. A publisher's own copy is one of them.
- processors = publishes × (publish + relay × other nodes that have a member) + deliveries × delivery + sockets × idle. Members sit on
  nodes by chance: of *n* nodes, *n* × (1 − (1 − 1/*n*)^members) have one.
- memory of a replica = that of a node without clients + its sockets × that of a session. What a slow client may have waiting comes on
  top of it: leave room for it.
- bandwidth = publishes or deliveries × (size + what surrounds it).
- Redis: one publish is so many commands as were measured; its bytes go once to Redis and from it to each node that has a member.
- replicas: enough for the sockets (700 each, as in the autoscaler's manifest), for seven tenths of the processors, for the memory, and at
  least two, so that one may be missing. Other limits: `plan --help`.
- database connections = replicas × `db-pool-max`. PostgreSQL takes 100 unless it is told otherwise: with more, put PgBouncer before it.

A plan says what lies beyond what was measured. That is a guess: measure it before you rely on it.
";

const TIERS: &str = "
## Three tiers

| tier | users | what it needs | the run that shows it |
|---|---|---|---|
| 1 | to 200 | one node; SQLite will do | `loadtest/incidents run tier-1` |
| 2 | 200 to 1,000 | one node, a second one so that one may be missing, and Redis between them | `loadtest/incidents run tier-2` |
| 3 | 1,000 to 5,000 | replicas behind a balancer that the autoscaler counts by sockets | `loadtest/incidents run tier-3`, `loadtest/cluster run headline-cluster` |

The runs put all users of a tier on one node, so that a replica that is missing is no emergency.
";

/// The page.
pub(crate) fn page(costs: &Costs) -> Result<String> {
    let mut page = HEAD.to_owned();
    measured(&mut page, costs)?;
    prices(&mut page, costs)?;
    page.push('\n');
    page.push_str(RECKONING);
    sizes(&mut page, costs)?;
    network(&mut page, costs)?;
    page.push_str(TIERS);
    check(&mut page, costs)?;
    Ok(page)
}

fn measured(page: &mut String, costs: &Costs) -> Result<()> {
    let first = &costs.runs[0];
    writeln!(
        page,
        "\n## What was measured\n\nOn {} × {}, {}, which server, Redis and load tester shared; release builds; {}.\n",
        first.number("host.cores")?,
        first.text("host.cpu"),
        first.text("host.kernel"),
        first.text("host.started_at").split('T').next().unwrap_or_default()
    )?;
    writeln!(
        page,
        "| result | nodes | users | rooms | size | seconds | deliveries/s | p99 | processors, nodes and Redis |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|")?;
    for run in &costs.runs {
        let known = |field: &str| run.number(field).ok();
        let rooms = known("config.rooms").map_or("1".to_owned(), |rooms| grouped(rooms as u64));
        let users = grouped(run.number("config.users")? as u64);
        let seconds = known("results.load.seconds").or_else(|| known("results.idle.seconds")).unwrap_or(0.0);
        let cores = known("figures.server_cores").or_else(|| known("figures.idle_cores")).unwrap_or(0.0);
        writeln!(
            page,
            "| {} | {} | {users} | {} | {} | {seconds:.0} | {} | {} | {cores:.2} |",
            run.name,
            run.nodes(),
            if run.name == "idle" { users.clone() } else { rooms },
            known("config.size").map_or("–".to_owned(), |size| grouped(size as u64)),
            known("figures.deliveries_per_s").map_or("–".to_owned(), |rate| grouped(rate.round() as u64)),
            known("figures.p99").map_or("–".to_owned(), duration),
        )?;
    }
    Ok(())
}

fn prices(page: &mut String, costs: &Costs) -> Result<()> {
    writeln!(page, "\n## What things cost\n\n| what | cost | from |\n|---|---|---|")?;
    let rows = [
        ("memory of a node without clients", format!("{:.1} MiB", costs.base_bytes / 1_048_576.0), "idle"),
        ("memory of a session", format!("{} bytes", grouped(costs.session_bytes.round() as u64)), "idle"),
        ("processor time of an idle session", format!("{:.2} µs/s", costs.idle_us), "idle"),
        ("processor time of a publish", format!("{:.1} µs", costs.publish_us), "rooms, big-room"),
        ("processor time of a delivery", format!("{:.2} µs", costs.delivery_us), "big-room"),
        ("processor time of a relay to another node, both nodes", format!("{:.1} µs", costs.relay_us), "cluster"),
        ("processor time of Redis per publish", format!("{:.1} µs", costs.redis_us), "cluster"),
        ("commands of Redis per publish", format!("{:.2}", costs.redis_ops), "cluster"),
        ("bytes around a publish to Redis", format!("{:.0}", costs.redis_in_extra), "cluster"),
        ("bytes around a publish from Redis to a node", format!("{:.0}", costs.redis_out_extra), "cluster"),
        ("bytes around a publish of a client", format!("{:.0}", costs.in_extra), "rooms"),
        ("bytes around a delivery", format!("{:.0}", costs.out_extra), "rooms"),
    ];
    for (what, cost, from) in rows {
        writeln!(page, "| {what} | {cost} | {from} |")?;
    }
    Ok(())
}

fn sizes(page: &mut String, costs: &Costs) -> Result<()> {
    writeln!(page, "\n## Four sizes\n\nTwo members in a room, one publish of 1 KiB per room and second.\n")?;
    writeln!(
        page,
        "| class | users | rooms | replicas | processors | memory of each | to clients | Redis commands/s | database connections |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|")?;
    let mut notes = String::new();
    for class in Class::ALL {
        let users = class.users();
        let load = Load { users, rooms: users / 2, members: 2.0, rate: RATE, size: SIZE };
        let plan = Plan::new(costs, load, Replica::default());
        writeln!(
            page,
            "| {} | {} | {} | {} | {:.2} | {:.0} MiB | {:.1} MB/s | {} | {} |",
            class.name(),
            grouped(users),
            grouped(users / 2),
            plan.replicas,
            plan.cores,
            plan.memory_bytes_per_replica / 1_048_576.0,
            plan.out_bytes_per_s / 1e6,
            grouped(plan.redis_ops_per_s.round() as u64),
            plan.database_connections
        )?;
        for text in &plan.beyond {
            writeln!(notes, "- {}: {text}", class.name())?;
        }
    }
    if !notes.is_empty() {
        write!(page, "\nBeyond what was measured, and so extrapolated:\n\n{notes}")?;
    }
    Ok(())
}

fn network(page: &mut String, costs: &Costs) -> Result<()> {
    let per_delivery = SIZE as f64 + costs.out_extra;
    let most = (GIGABIT / per_delivery / 1e3).floor() * 1e3;
    let cores = |members: f64| most * (costs.publish_us / members + costs.delivery_us) / 1e6;
    writeln!(
        page,
        "\n## The network\n\nA gigabit per second carries {} deliveries of 1 KiB a second ({:.0} bytes each, before TCP and IP), ten \
         gigabits ten times as many. A node needs {:.1} processors for as many in rooms of two, and {:.1} in rooms of a thousand.",
        grouped(most as u64),
        per_delivery,
        cores(2.0),
        cores(1_000.0)
    )?;
    Ok(())
}

fn check(page: &mut String, costs: &Costs) -> Result<()> {
    let name = "cluster-4k";
    let Some(run) = costs.runs.iter().find(|run| run.name == name) else { return Ok(()) };
    writeln!(
        page,
        "\n## A plan and a run\n\nThe costs are not taken from `{name}`, so it shows how far a plan can be trusted.\n"
    )?;
    writeln!(page, "| | planned | measured | off by |\n|---|---|---|---|")?;
    for (what, planned, field) in planned(costs, run)? {
        let measured = run.number(field)?;
        let off = (planned - measured) * 100.0 / measured;
        let shown = |value: f64| if value < 100.0 { format!("{value:.2}") } else { grouped(value.round() as u64) };
        writeln!(page, "| {what} | {} | {} | {:+.0} % |", shown(planned), shown(measured), off.round() + 0.0)?;
    }
    writeln!(
        page,
        "\nBytes and commands can be relied on. Processor time cannot: where little is said at a time less goes into one write, and each \
         delivery costs more than under the load that was measured. Leave as much again."
    )?;
    Ok(())
}

/// What is planned for a run that was made, and where it says what came.
pub(super) fn planned(costs: &Costs, run: &Run) -> Result<[(&'static str, f64, &'static str); 4]> {
    let load = Load {
        users: run.number("config.users")? as u64,
        rooms: run.number("config.rooms")? as u64,
        members: run.members()?,
        rate: run.number("config.rate")?,
        size: run.number("config.size")? as u64,
    };
    let plan = Plan::with(costs, load, Replica::default(), run.nodes() as u64);
    Ok([
        ("bytes/s from clients", plan.in_bytes_per_s, "figures.in_bytes_per_s"),
        ("bytes/s to clients", plan.out_bytes_per_s, "figures.out_bytes_per_s"),
        ("Redis commands/s", plan.redis_ops_per_s, "figures.redis_ops_per_s"),
        ("processors, nodes and Redis", plan.cores + plan.redis_cores, "figures.server_cores"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_results_say() {
        let written = include_str!("../../../docs/capacity.md");
        let page = page(&Costs::read(None).unwrap()).unwrap();
        assert!(page == written, "run: roomcast-loadtest plan --write docs/capacity.md\n{page}");
    }
}
