//! The `roomcast` program.

use clap::{Parser, Subcommand};
use roomcast::app::{App, Mode};
use roomcast::config::Settings;

#[derive(Debug, Parser)]
#[command(name = "roomcast", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs an open server on this machine, for development
    Dev(Settings),
    /// Runs the server
    Serve(Settings),
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let (settings, mode) = match Cli::parse().command {
        Command::Dev(settings) => (settings, Mode::Open),
        Command::Serve(settings) => (settings, Mode::Authenticated),
    };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let app = App::build(settings, mode)?;
        app.run(async {
            let _signal = tokio::signal::ctrl_c().await;
        })
        .await
    })?;
    Ok(())
}
