//! The cluster as a whole: what it has, and how clients, Redis and the database are reached.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::balancer::{Backend, Balancer, Follower};
use super::broker::Broker;
use super::database::Database;
use super::folder::Folder;
use super::free_ports;
use super::node::Node;
use super::slow::{SlowNetwork, Way};
use crate::cli::chaos::ClusterOptions;
use crate::cli::options::TargetOptions;
use crate::client::dialect::Wire;

/// How long the balancer may take to notice a node.
const NOTICE: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// How large a cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Nodes there may be.
    pub(crate) nodes: usize,
    /// Nodes that run from the beginning.
    pub(crate) started: usize,
    /// Whether its network can be made slow.
    pub(crate) has_slow_network: bool,
}

/// A running cluster. The order is that in which its parts end.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Keeps the balancer's list.
    pub(crate) follower: Follower,
    /// The nodes, running or not.
    pub(crate) nodes: Vec<Node>,
    /// What the nodes speak to each other through.
    pub(crate) broker: Broker,
    /// Where incidents are kept, if there is a database.
    pub(crate) database: Option<Database>,
    /// What the network goes through, if it can be slow.
    pub(crate) slow: Option<SlowNetwork>,
    /// Where the balancer sends what is for each node.
    entrances: Vec<u16>,
    balancer_port: u16,
    /// Holds what all of them write.
    _folder: Folder,
}

impl Cluster {
    /// Starts everything on ports of its own, and waits until the nodes are ready.
    pub(crate) fn start(options: &ClusterOptions, extent: Extent) -> Result<Self> {
        ensure!((1..=extent.nodes).contains(&extent.started), "a cluster needs a node");
        ensure!(options.server.contains("{port}"), "the command must contain {{port}}");
        let folder = Folder::make()?;
        // of each node: for clients, for operators, and before it in a slow network
        let ports = free_ports(3 + 3 * extent.nodes)?;
        let (balancer_port, redis_port, slow_redis_port) = (ports[0], ports[1], ports[2]);
        let node_ports: Vec<_> = ports[3..].chunks(3).map(|ports| (ports[0], ports[1], ports[2])).collect();
        let broker = Broker::start(redis_port)?;
        let slow = extent.has_slow_network.then(|| {
            let before_nodes = node_ports.iter().map(|&(to, _, from)| Way { from, to });
            let ways: Vec<_> =
                [Way { from: slow_redis_port, to: redis_port }].into_iter().chain(before_nodes).collect();
            SlowNetwork::start(&ways)
        });
        let slow = slow.transpose()?;
        let bin = match &options.bin {
            Some(bin) => bin.canonicalize().with_context(|| format!("there is no {}", bin.display()))?,
            None => own_folder()?,
        };
        let database = (!options.without_database).then(|| prepare_database(&folder, &bin)).transpose()?;
        let redis_port = if slow.is_some() { slow_redis_port } else { redis_port };
        let line = line(options, &bin, redis_port, database.as_ref());
        let mut nodes = Vec::new();
        for (n, &(port, admin_port, _)) in node_ports.iter().enumerate() {
            let mut node = Node::new((port, admin_port), &line, folder.inner(&format!("node-{n}"))?);
            node.options.clone_from(&options.server_options);
            nodes.push(node);
        }
        nodes[..extent.started].iter_mut().try_for_each(Node::start)?;
        nodes[..extent.started].iter_mut().try_for_each(Node::await_ready)?;
        let entrance = |&(port, _, slow_port): &(u16, u16, u16)| if slow.is_some() { slow_port } else { port };
        let entrances: Vec<_> = node_ports.iter().map(entrance).collect();
        let listed = entrances[..extent.started].to_vec();
        let balancer = Arc::new(Mutex::new(Balancer::start(balancer_port, folder.inner("nginx")?, listed)?));
        let backends = entrances.iter().zip(&nodes);
        let backends = backends.map(|(&port, node)| Backend { port, admin_port: node.admin_port }).collect();
        let follower = Follower::start(balancer, backends)?;
        Ok(Self { follower, nodes, broker, database, slow, entrances, balancer_port, _folder: folder })
    }

    /// How it is reached: through the balancer.
    pub(crate) fn target(&self, options: &ClusterOptions) -> TargetOptions {
        let first = &self.nodes[0];
        let pid = first.pid().unwrap_or_default();
        let mut target = TargetOptions::local(self.balancer_port, first.admin_port, pid, Wire::Socketio);
        target.pids = self.nodes.iter().filter_map(Node::pid).collect();
        target.metrics_urls = self.nodes.iter().map(Node::metrics_url).collect();
        TargetOptions { threads: options.threads, seed: options.seed, ..target }
    }

    /// Whether the balancer gives requests to a node.
    pub(crate) fn is_listed(&self, node: usize) -> bool {
        self.follower.balancer().listed().contains(&self.entrances[node])
    }

    /// Waits until the balancer does, or no longer does.
    pub(crate) fn await_listed(&self, node: usize, listed: bool) -> Result<()> {
        let begun = Instant::now();
        while self.is_listed(node) != listed {
            ensure!(begun.elapsed() < NOTICE, "the balancer does not notice node {node}");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

fn own_folder() -> Result<std::path::PathBuf> {
    let tool = std::env::current_exe().context("this tool's own folder is not known")?;
    Ok(tool.parent().context("this tool is in no folder")?.to_owned())
}

fn prepare_database(folder: &Folder, bin: &Path) -> Result<Database> {
    let database = Database::start(folder.inner("postgres")?)?;
    let mut migrate = Command::new(bin.join("roomcast"));
    let output = migrate.arg("migrate").env("DATABASE_URL", database.url()).output();
    let output = output.with_context(|| format!("cannot start {}/roomcast", bin.display()))?;
    ensure!(output.status.success(), "roomcast migrate: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(database)
}

/// A node's command, with everything but its own ports.
fn line(options: &ClusterOptions, bin: &Path, redis_port: u16, database: Option<&Database>) -> String {
    let recovery = if options.recovery { " --recovery-window 2m" } else { "" };
    let line = format!("{}{recovery} {{options}}", options.server);
    let line = line.replace("{bin}", &bin.to_string_lossy()).replace("{redis_port}", &redis_port.to_string());
    match database {
        Some(database) => format!("export DATABASE_URL='{}'; {line}", database.url()),
        None => line,
    }
}
