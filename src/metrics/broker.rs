//! How the servers of the broker are, as they say themselves.

use super::samples::gauges;
use prometheus::proto::MetricFamily;
use std::sync::{Mutex, PoisonError};

/// One server of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerServer {
    /// Host and port.
    pub name: String,
    /// Commands per second, of all its clients.
    pub operations: u64,
    /// Bytes that it has allocated.
    pub memory: u64,
    /// Bytes that it may allocate; 0 = no limit.
    pub memory_max: u64,
    /// Connections of clients.
    pub clients: u64,
}

/// All servers that answered when they were last asked.
#[derive(Debug, Default)]
pub struct BrokerServers(Mutex<Vec<BrokerServer>>);

impl BrokerServers {
    /// Takes what they say now in place of what they said before.
    pub fn replace(&self, servers: Vec<BrokerServer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let each = |name, help, value: fn(&BrokerServer) -> u64| {
            gauges(name, help, "server", servers.iter().map(|server| (server.name.as_str(), value(server))))
        };
        vec![
            each("roomcast_broker_server_ops", "Commands per second that a server of the broker serves.", |s| {
                s.operations
            }),
            each("roomcast_broker_server_memory_bytes", "Bytes that it has allocated.", |s| s.memory),
            each("roomcast_broker_server_memory_limit_bytes", "Bytes that it may allocate; 0 = no limit.", |s| {
                s.memory_max
            }),
            each("roomcast_broker_server_clients", "Connections of clients to it.", |s| s.clients),
        ]
    }
}
