//! A Redis Cluster of three nodes.

use super::{Redis, Reply, eventually, is_here, some_port};

/// Hash slots of a Cluster.
const SLOTS: u16 = 16_384;

/// Where the bus port stands in a node's arguments.
const BUS_AT: usize = 1;

/// Three nodes with a third of the slots each, and a replica each if that was asked for.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    /// The nodes that have slots, in the order of their slots.
    pub(crate) nodes: Vec<Redis>,
    /// Their replicas, in the same order.
    pub(crate) replicas: Vec<Redis>,
}

impl RedisCluster {
    /// Starts three nodes. `None`: there is no Redis here; with CI set that fails.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(0).await
    }

    /// Starts three nodes with a replica each, which take over when a node is gone for a second.
    pub(crate) async fn start_with_replicas() -> Option<Self> {
        Self::start_with(3).await
    }

    async fn start_with(replicas: usize) -> Option<Self> {
        is_here().then_some(())?;
        let mut nodes = Vec::new();
        for _ in 0..3 + replicas {
            nodes.push(Redis::start_on_some_port(arguments).await);
        }
        let replicas = nodes.split_off(3);
        let cluster = Self { nodes, replicas };
        cluster.form().await;
        Some(cluster)
    }

    async fn form(&self) {
        for (third, node) in (0..3).zip(&self.nodes) {
            let first = (SLOTS * third).div_ceil(3).to_string();
            let last = ((SLOTS * (third + 1)).div_ceil(3) - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await.fine();
        }
        let all = || self.nodes.iter().chain(&self.replicas);
        for node in all().skip(1) {
            let (port, bus) = (node.port.to_string(), node.args[BUS_AT].clone());
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await.fine();
        }
        let count = format!("cluster_known_nodes:{}\r\n", all().count());
        for node in all() {
            eventually!(node.cluster_info().await.contains(&count));
        }
        for (replica, node) in self.replicas.iter().zip(&self.nodes) {
            let id = node.command(&["CLUSTER", "MYID"]).await.text();
            replica.command(&["CLUSTER", "REPLICATE", &id]).await.fine();
        }
        for node in all() {
            eventually!(node.cluster_info().await.contains("cluster_state:ok\r\n"));
        }
        for replica in &self.replicas {
            eventually!(replica.info("master_link_status").await == "up");
        }
    }

    /// The addresses of the nodes, with commas between them.
    pub(crate) fn urls(&self) -> String {
        self.nodes.iter().map(Redis::url).collect::<Vec<_>>().join(",")
    }

    /// The slot of a key or channel.
    pub(crate) async fn slot(&self, key: &str) -> u16 {
        let slot = self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).await.number();
        u16::try_from(slot).unwrap()
    }

    /// Index of the node that has a slot since the start.
    pub(crate) fn first_owner(slot: u16) -> usize {
        usize::from(slot) * 3 / usize::from(SLOTS)
    }

    /// Moves an empty slot from one node to another. Whoever had subscribed to a channel in it is unsubscribed.
    pub(crate) async fn move_slot(&self, slot: u16, to: usize) {
        let (id, slot) = (self.nodes[to].command(&["CLUSTER", "MYID"]).await.text(), slot.to_string());
        let mut order: Vec<_> = (0..self.nodes.len()).filter(|node| *node != to).collect();
        order.insert(0, to);
        for node in order {
            self.nodes[node].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]).await.fine();
        }
    }

    /// How many connections subscribe to a shard channel, on all nodes together.
    pub(crate) async fn subscribers(&self, channel: &str) -> i64 {
        let mut sum = 0;
        for node in &self.nodes {
            sum += node.command(&["PUBSUB", "SHARDNUMSUB", channel]).await.list()[1].number();
        }
        sum
    }
}

impl Redis {
    async fn cluster_info(&self) -> String {
        match self.command(&["CLUSTER", "INFO"]).await {
            Reply::Bytes(info) => String::from_utf8_lossy(&info).into_owned(),
            other => panic!("{other:?}"),
        }
    }
}

/// A node's arguments. Its bus port would be its port plus 10,000 otherwise, among those that clients get.
fn arguments(_port: u16) -> Vec<String> {
    let bus = some_port().to_string();
    let arguments = ["--cluster-port", &bus, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
    arguments.map(str::to_owned).to_vec()
}
