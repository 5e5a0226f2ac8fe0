//! Runs a server in this process, from its logs to its exit code.

use super::signals::Signals;
use super::{Failure, descriptors};
use crate::app::{App, Mode};
use crate::config::Settings;
use crate::telemetry;
use anyhow::{Context as _, anyhow};
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
        let app = App::build(settings, mode)?;
        announce(&app)?;
        let (public, admin) = (app.public_address().context("no address")?, app.admin_address().context("no address")?);
        tracing::info!(%public, %admin, version = env!("CARGO_PKG_VERSION"), "listening");
        Box::pin(run_until_signalled(app, signals)).await
    });
    // What is left was named, or is not waited for: a second signal says so.
    runtime.shutdown_background();
    outcome
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
