//! Starts the processes that one trial measures: a server, or several as a cluster with a Redis between them.

use anyhow::{Result, ensure};

use crate::cli::SideBySideCommand;
use crate::cli::options::TargetOptions;
use crate::scenario::server::{Recipe, ServerProcess};

/// Stands in a command for the port of the Redis.
const REDIS_PORT: &str = "{redis_port}";
/// How the Redis is started: it stores nothing.
const REDIS: &str = "exec redis-server --port {port} --bind 127.0.0.1 --save '' --appendonly no --loglevel warning";

/// Running processes; the nodes end before what they meet at.
#[derive(Debug)]
pub(super) struct Nodes {
    servers: Vec<ServerProcess>,
    redis: Option<ServerProcess>,
}

impl Nodes {
    /// Starts as many as the command asks for, from the same recipe.
    pub(super) fn start(command: &SideBySideCommand, recipe: &Recipe) -> Result<Self> {
        let start = |recipe: &Recipe| ServerProcess::start(recipe, command.server_cpu, command.show_servers);
        if command.nodes < 2 {
            return Ok(Self { servers: vec![start(recipe)?], redis: None });
        }
        ensure!(
            recipe.command.contains(REDIS_PORT),
            "`{}`: the command must contain {REDIS_PORT}, or its nodes never meet",
            recipe.name
        );
        let redis = start(&Recipe { name: "Redis".to_owned(), command: REDIS.to_owned() })?;
        let command_line = recipe.command.replace(REDIS_PORT, &redis.port.to_string());
        let node = Recipe { name: recipe.name.clone(), command: command_line };
        let servers = (0..command.nodes).map(|_| start(&node)).collect::<Result<Vec<_>>>()?;
        Ok(Self { servers, redis: Some(redis) })
    }

    /// How they are reached, and whose CPU counts: the Redis's too.
    pub(super) fn target(&self, command: &SideBySideCommand) -> TargetOptions {
        let mut targets = self.servers.iter();
        let local =
            |server: &ServerProcess| TargetOptions::local(server.port, server.admin_port, server.pid, command.wire);
        let mut target = targets.next().map(local).expect("at least one server was started");
        for other in targets.map(local) {
            target.targets.extend(other.targets);
            target.pids.extend(other.pids);
            target.metrics_urls.extend(other.metrics_urls);
        }
        target.pids.extend(self.redis.as_ref().map(|redis| redis.pid));
        target
    }
}
