//! What is done to a cluster: each fault as steps, each with what it promises.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::promises::{Back, Excuse, Promise};
use crate::cli::chaos::{ChaosCommand, Fault};
use crate::local::cluster::Cluster;
use crate::scenario::setting::Setting;

/// How long a node that was asked to end may take.
const END: Duration = Duration::from_secs(120);

/// What a step came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed {
    /// When the fault had struck.
    pub(super) struck: u64,
    /// How a node that was asked to end did so.
    pub(super) exit_code: Option<Option<i32>>,
}

type Doing = Box<dyn Fn(&Setting, &mut Cluster, &ChaosCommand) -> Result<Deed>>;

/// One thing to do.
pub(super) struct StepToDo {
    pub(super) name: String,
    pub(super) promise: Promise,
    pub(super) deed: Doing,
}

/// The steps of a fault.
pub(super) fn steps(fault: Fault, command: &ChaosCommand) -> Vec<StepToDo> {
    let times = &command.times;
    let soon = Promise { closes_each: 1, back: Back::Soon, excuse: Excuse::UnderWay };
    let one = |name: String, promise, deed: Doing| vec![StepToDo { name, promise, deed }];
    match fault {
        Fault::RollingRestart => (0..command.nodes).map(restart).collect(),
        Fault::Kill => one(format!("kill -9 of a node for {} s", times.kill_for), soon, Box::new(kill)),
        Fault::Pause => {
            one(format!("SIGSTOP of a node for {} s", times.pause_for), Promise::UNNOTICED, Box::new(pause))
        }
        Fault::RedisKill => {
            one(format!("kill -9 of Redis for {} s", times.redis_for), Promise::UNNOTICED, Box::new(kill_redis))
        }
        Fault::RedisPause => {
            one(format!("SIGSTOP of Redis for {} s", times.redis_for), Promise::UNNOTICED, Box::new(pause_redis))
        }
        Fault::RedisFlush => one("FLUSHALL of Redis".to_owned(), Promise::UNNOTICED, Box::new(flush_redis)),
        Fault::PostgresStop => {
            let promise = Promise { excuse: Excuse::Refusals, ..Promise::UNNOTICED };
            one(format!("PostgreSQL away for {} s", times.postgres_for), promise, Box::new(stop_database))
        }
        Fault::SlowNetwork => {
            let name = format!(
                "slow network: {} ms and {} B/s for {} s",
                times.slow_delay_ms, times.slow_bytes, times.slow_for
            );
            one(name, Promise::UNNOTICED, Box::new(slow_network))
        }
        Fault::BalancerKill => {
            let promise = Promise { excuse: Excuse::Everything, ..soon };
            one("kill -9 of the balancer".to_owned(), promise, Box::new(kill_balancer))
        }
    }
}

/// Asks a node to end, and starts it again, as a deployment does.
fn restart(node: usize) -> StepToDo {
    let deed = move |setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand| {
        let exit_code = drain(cluster, node)?;
        let struck = setting.clock.now();
        if let Some(options) = &command.restart_options {
            cluster.nodes[node].options.clone_from(options);
        }
        bring_back(cluster, node)?;
        for (pointer, value) in &command.expect_health {
            let is = cluster.nodes[node].health(pointer)?;
            ensure!(is.as_ref() == Some(value), "node {node} says {pointer} is {is:?} in /health, not {value}");
        }
        Ok(Deed { struck, exit_code: Some(exit_code) })
    };
    let promise = Promise { closes_each: 1, back: Back::Gap, excuse: Excuse::None };
    StepToDo { name: format!("restart of node {node}"), promise, deed: Box::new(deed) }
}

/// Asks a node to end, and waits until it has; its exit code, unless a signal ended it.
pub(crate) fn drain(cluster: &mut Cluster, node: usize) -> Result<Option<i32>> {
    cluster.nodes[node].terminate()?;
    cluster.await_listed(node, false)?;
    Ok(cluster.nodes[node].await_end(END)?.code())
}

/// Starts a node, and waits until clients can reach it.
pub(crate) fn bring_back(cluster: &mut Cluster, node: usize) -> Result<()> {
    cluster.nodes[node].start()?;
    cluster.nodes[node].await_ready()?;
    cluster.await_listed(node, true)
}

fn kill(setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand) -> Result<Deed> {
    cluster.nodes[0].kill();
    let deed = struck(setting);
    sleep(command.times.kill_for);
    bring_back(cluster, 0)?;
    Ok(deed)
}

fn pause(setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand) -> Result<Deed> {
    let node = 1 % cluster.nodes.len();
    cluster.nodes[node].stop()?;
    let deed = struck(setting);
    sleep(command.times.pause_for);
    cluster.nodes[node].go_on()?;
    cluster.nodes[node].await_ready()?;
    cluster.await_listed(node, true)?;
    Ok(deed)
}

fn kill_redis(setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand) -> Result<Deed> {
    cluster.broker.kill();
    let deed = struck(setting);
    sleep(command.times.redis_for);
    cluster.broker.restart()?;
    Ok(deed)
}

fn pause_redis(setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand) -> Result<Deed> {
    cluster.broker.stop()?;
    let deed = struck(setting);
    sleep(command.times.redis_for);
    cluster.broker.go_on()?;
    cluster.broker.answers()?;
    Ok(deed)
}

fn flush_redis(setting: &Setting, cluster: &mut Cluster, _: &ChaosCommand) -> Result<Deed> {
    cluster.broker.ask("FLUSHALL")?;
    Ok(struck(setting))
}

fn stop_database(setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand) -> Result<Deed> {
    let Some(database) = &mut cluster.database else { anyhow::bail!("there is no database: --without-database") };
    database.stop()?;
    let deed = struck(setting);
    sleep(command.times.postgres_for);
    database.go_on()?;
    Ok(deed)
}

fn slow_network(setting: &Setting, cluster: &mut Cluster, command: &ChaosCommand) -> Result<Deed> {
    let Some(slow) = &cluster.slow else { anyhow::bail!("this cluster's network cannot be slow") };
    slow.set(Duration::from_millis(command.times.slow_delay_ms), command.times.slow_bytes);
    let deed = struck(setting);
    sleep(command.times.slow_for);
    slow.set(Duration::ZERO, 0);
    Ok(deed)
}

fn kill_balancer(setting: &Setting, cluster: &mut Cluster, _: &ChaosCommand) -> Result<Deed> {
    let deed = struck(setting);
    cluster.follower.balancer().restart()?;
    Ok(deed)
}

fn struck(setting: &Setting) -> Deed {
    Deed { struck: setting.clock.now(), exit_code: None }
}

fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds.max(0.0)));
}
