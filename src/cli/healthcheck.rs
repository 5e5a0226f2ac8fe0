//! `roomcast healthcheck`: is the server of this container ready? For images without curl.

use super::http::{ServerUrl, Trust, exchange};
use super::{Failure, client_runtime, say};
use crate::config::{FileArg, ListenSettings, parse_duration};
use anyhow::{Context as _, anyhow};
use axum::body::Body;
use axum::http::Request;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  roomcast healthcheck
  HEALTHCHECK CMD [\"roomcast\", \"healthcheck\"]      in a Dockerfile";

/// Asks the server on this machine whether it is ready: exit code 0 if it is, 1 if not
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    mut_arg("listen", |arg| arg.hide(true)),
    mut_arg("socketio_path", |arg| arg.hide(true)),
    mut_arg("namespaces", |arg| arg.hide(true)),
    mut_arg("allow_origins", |arg| arg.hide(true)),
    mut_arg("listen_backlog", |arg| arg.hide(true)),
)]
pub(super) struct Healthcheck {
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    listen: ListenSettings,
}

impl Healthcheck {
    pub(super) fn run(self) -> Result<(), Failure> {
        let request = Request::get("/readyz").body(Body::empty()).context("cannot make the request")?;
        let url = ServerUrl::plain(&reachable(self.listen.admin_listen).to_string());
        let (status, answer) = client_runtime()?.block_on(exchange(&url, &Trust::default(), request, self.timeout))?;
        let answer = answer.trim();
        if status.is_success() {
            say(&format!("{answer}\n"))
        } else {
            Err(anyhow!("not ready: {status}: {answer}").into())
        }
    }
}

/// Who listens on all addresses is reached on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_on_loopback() {
        for (listen, expected) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
