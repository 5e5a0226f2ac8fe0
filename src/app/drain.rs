//! The end of a server: clients are told, spread over a window, and gone before the deadline.

use crate::config::DrainSettings;
use crate::hub::{DrainOrder, Hub};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::Metrics;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time between the end of the drain window and the deadline in which connections may finish their goodbyes.
const EXIT_MARGIN: Duration = Duration::from_millis(500);

/// What has to come to an end.
pub(super) struct Running {
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    pub(super) close_public: CancellationToken,
    pub(super) close_cluster: CancellationToken,
    pub(super) close_admin: CancellationToken,
}

impl Running {
    /// Ends it within the deadline: not ready, a wait, no more clients, goodbye to those that are here. Returns the names of
    /// what was still running then.
    pub(super) async fn drain(self, settings: &DrainSettings) -> Vec<&'static str> {
        let Self { hub, metrics, lifecycle, close_public, close_cluster, close_admin } = self;
        let began = lifecycle::now();
        let elapsed = || lifecycle::now().saturating_duration_since(began);
        let left = |margin: Duration| settings.drain_deadline.saturating_sub(elapsed()).saturating_sub(margin);
        metrics.node().draining.set(1);
        tracing::info!(sessions = metrics.open_sockets(), "draining");
        tokio::time::sleep(settings.drain_delay.min(left(EXIT_MARGIN))).await;
        lifecycle.stop();
        close_public.cancel();
        hub.drain(DrainOrder { window: settings.drain_window, deadline: left(EXIT_MARGIN) });
        let workers_gone = async {
            while metrics.open_sockets() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(left(EXIT_MARGIN), workers_gone).await.is_err() {
            tracing::warn!(
                sessions = metrics.open_sockets(),
                "the deadline ends sessions; drain-deadline is too short"
            );
        }
        close_cluster.cancel();
        close_admin.cancel();
        let still_running = lifecycle.drain(left(Duration::ZERO)).await;
        tracing::info!(seconds = elapsed().as_secs_f64(), left = ?still_running, "drained");
        still_running
    }
}
