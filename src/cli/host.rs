//! Runs a server in this process, from its logs to its exit code.

use super::signals::Signals;
use super::{Failure, descriptors};
use crate::app::{App, Mode, Reloader};
use crate::config::Settings;
use crate::telemetry;
use anyhow::{Context as _, anyhow};
use std::convert::Infallible;
use tokio::sync::oneshot;

/// Threads for handshakes and HTTP; the sockets have workers of their own.
const FRONT_THREADS_MAX: usize = 2;

/// Runs a server until a signal has drained it. `announce` is called once its addresses are bound.
pub(super) fn run(
    settings: Settings,
    mode: Mode,
    announce: impl FnOnce(&App) -> Result<(), Failure>,
) -> Result<(), Failure> {
    telemetry::start(&settings.log).map_err(Failure::usage)?;
    descriptors::raise(settings.limits.max_sockets);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(FRONT_THREADS_MAX));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).thread_name("front").enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let signals = Signals::listen().context("cannot listen for signals")?;
        // A server for development ends with its terminal.
        let hang_ups = (mode == Mode::Authenticated).then(Signals::hang_ups).transpose();
        let hang_ups = hang_ups.context("cannot listen for signals")?;
        let app = App::build(settings, mode)?;
        announce(&app)?;
        let (public, admin) = (app.public_address().context("no address")?, app.admin_address().context("no address")?);
        tracing::info!(%public, %admin, version = env!("CARGO_PKG_VERSION"), "listening");
        let reloading = reload_when_told(app.reloader(), hang_ups);
        tokio::select! {
            outcome = Box::pin(run_until_signalled(app, signals)) => outcome,
            never = reloading => match never {},
        }
    });
    // What is left was named, or is not waited for: a second signal says so.
    runtime.shutdown_background();
    outcome
}

async fn reload_when_told(reloader: Reloader, hang_ups: Option<tokio::signal::unix::Signal>) -> Infallible {
    let Some(mut hang_ups) = hang_ups else { return std::future::pending().await };
    loop {
        hang_ups.recv().await;
        if !reloader.look() {
            tracing::info!("SIGHUP: there are no files to look at again; settings need a restart");
        }
    }
}

async fn run_until_signalled(app: App, mut signals: Signals) -> Result<(), Failure> {
    let (say_stop, stop) = oneshot::channel::<()>();
    let second = async move {
        let first = signals.next().await;
        tracing::info!(signal = first.name(), "asked to end; a second signal ends at once");
        // The receiver lives as long as the server.
        let _sent = say_stop.send(());
        signals.next().await
    };
    let stopped = async {
        let _stopped = stop.await;
    };
    tokio::select! {
        left = app.run(stopped) => {
            let left = left?;
            if left.is_empty() {
                return Ok(());
            }
            Err(anyhow!("the drain deadline came while this was still running: {}", left.join(", ")).into())
        }
        signal = second => {
            tracing::warn!(signal = signal.name(), "a second signal: ending at once, sessions are cut off");
            Err(Failure::Silent(signal.exit_code()))
        }
    }
}
