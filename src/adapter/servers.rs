//! How the broker itself is: what its servers say of themselves, asked in the background every few seconds.

use super::redis::Redis;
use super::shared::{Line, Shared};
use crate::metrics::BrokerServer;
use fred::clients::Client;
use fred::interfaces::{ClientLike, ClusterInterface};
use fred::types::InfoKind;
use fred::types::config::{Options, Server};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// For a server to say how it is. One that does not is not spoken of until it does: an old number would look like a good one.
const INFO_TIMEOUT: Duration = Duration::from_secs(1);

/// Servers that are looked at; those of a larger Cluster are left out.
const SERVERS_MAX: usize = 32;

/// What is asked for: less than all that a server has to say.
const SECTIONS: [InfoKind; 3] = [InfoKind::Stats, InfoKind::Memory, InfoKind::Clients];

/// Looks for ever. There is nothing to look at within a process.
pub(super) async fn run(shared: Arc<Shared>) {
    let Line::Redis(redis) = &shared.line else { return };
    loop {
        shared.stats.servers.replace(Box::pin(sample(redis)).await);
        tokio::time::sleep(SAMPLE_EVERY).await;
    }
}

/// All that answer in time, in the order of their names.
async fn sample(redis: &Redis) -> Vec<BrokerServer> {
    let client = redis.publisher();
    let mut servers = match client.cached_cluster_state() {
        Some(cluster) => cluster.unique_primary_nodes(),
        None => client.active_connections(),
    };
    servers.sort_by_cached_key(name);
    servers.truncate(SERVERS_MAX);
    let of = |server| ask(client, redis.is_cluster(), server);
    join_all(servers.iter().map(of)).await.into_iter().flatten().collect()
}

async fn ask(client: &Client, is_cluster: bool, server: &Server) -> Option<BrokerServer> {
    let cluster_node = is_cluster.then(|| server.clone());
    let client =
        client.with_options(&Options { cluster_node, max_attempts: Some(1), fail_fast: true, ..Options::default() });
    let asked = async {
        let mut text = String::new();
        for section in SECTIONS {
            text += &Box::pin(client.info::<String>(Some(section))).await.ok()?;
        }
        Some(text)
    };
    let text = tokio::time::timeout(INFO_TIMEOUT, asked).await.ok()??;
    Some(read(name(server), &text))
}

fn name(server: &Server) -> String {
    format!("{}:{}", server.host, server.port)
}

/// What `INFO` says, as far as it is of interest: a line for each field, `name:value`. What is missing counts as 0.
fn read(name: String, info: &str) -> BrokerServer {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    };
    BrokerServer {
        operations: field("instantaneous_ops_per_sec"),
        memory: field("used_memory"),
        memory_max: field("maxmemory"),
        clients: field("connected_clients"),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name_and_nonsense_is_nothing() {
        let info = "# Memory\r\nused_memory_human:1.2M\r\nused_memory:1258291\r\nmaxmemory_human:0B\r\nmaxmemory:0\r\n\
                    # Clients\r\nconnected_clients:7\r\ninstantaneous_ops_per_sec:many\r\n";
        let server = read("redis:6379".into(), info);
        assert_eq!((server.memory, server.memory_max, server.clients, server.operations), (1_258_291, 0, 7, 0));
        assert_eq!(read("x".into(), "").memory, 0);
    }
}
