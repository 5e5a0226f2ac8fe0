//! Wires, runs, drains: the only file that knows everyone.

mod advertise;
mod builder;
mod drain;
mod ledger;
mod memory;
mod summary;
mod threads;
mod visitors;

use crate::adapter::Driver;
use crate::config::{AuthSettings, DatabaseSettings, Settings};
use crate::dashboard::Dashboards;
use crate::http::{self, Api, ApiKeys, Guards, Kept, Page};
use crate::hub::{Hub, Inbox};
use crate::incidents::{Incidents, Retention};
use crate::lifecycle::{self, Lifecycle};
use crate::limiter::{Ledger, Limiter};
use crate::metrics::Metrics;
use crate::session::{Access, Application, TokenKey};
use crate::store::{self, Store, StoreError};
use crate::transport::listener::{self, AcceptRules, Front, HTTP_CONNECTION_LIFE};
use crate::transport::{Doors, Errand, Gate, Origins, Tls, WorkerSeat};
use anyhow::Context as _;
use drain::Running;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use crate::adapter::Bus;
pub use crate::hub::{Policies, Right};
pub use crate::incidents::DEV_ROUTING_KEY;
pub use crate::session::{Claims, RoomClaim};
pub use crate::store::Migrated;
pub use builder::Builder;
pub use visitors::{VISIT, visitor_claims};

/// New sockets and polls that may wait for one worker.
const ERRANDS_MAX: usize = 1_024;

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Anybody on this machine: `roomcast dev`.
    Open,
    /// Clients with a token, services with a key: `roomcast serve`.
    Authenticated,
}

/// A server that has bound its addresses.
#[derive(Debug)]
pub struct App {
    settings: Box<Settings>,
    application: Arc<Application>,
    access: Access,
    keys: ApiKeys,
    public: TcpListener,
    admin: TcpListener,
    hub: Hub,
    driver: Option<Driver>,
    ledger: Option<Arc<dyn Ledger>>,
    inboxes: Vec<Inbox>,
    metrics: Metrics,
    origins: Origins,
    tls: Option<Tls>,
    node: String,
    /// Whether a database without services gets one to begin with.
    seeded: bool,
    page: Option<Page>,
}

/// Has a running server take up files that have changed: those of TLS.
#[derive(Debug, Clone)]
pub struct Reloader(Option<Tls>);

impl Reloader {
    /// Has them looked at now. False: there are none.
    pub fn look(&self) -> bool {
        self.0.as_ref().map(Tls::look).is_some()
    }
}

impl App {
    /// Starts to describe a server with events of one's own.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A server with the built-in vocabulary and nothing else; see [`Builder::build`].
    ///
    /// # Errors
    /// When a key is missing, or an address cannot be bound.
    pub fn build(settings: Settings, mode: Mode) -> anyhow::Result<Self> {
        Self::builder().build(settings, mode)
    }

    /// All rooms and sessions, for whatever else the process does.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// The way to have changed files taken up at once.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader(self.tls.clone())
    }

    /// The address that clients connect to.
    ///
    /// # Errors
    /// When the operating system does not know it.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The address that operators connect to.
    ///
    /// # Errors
    /// When the operating system does not know it.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until `stop` resolves, then drains. Returns the names of what was still running at the deadline.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub async fn run(self, stop: impl Future<Output = ()>) -> anyhow::Result<Vec<&'static str>> {
        let Self {
            settings,
            application,
            access,
            keys,
            public,
            admin,
            hub,
            driver,
            ledger,
            inboxes,
            metrics,
            origins,
            tls,
            node,
            seeded,
            page,
        } = self;
        let (lifecycle, close_public, close_admin) =
            (Lifecycle::default(), CancellationToken::new(), CancellationToken::new());
        let kept = open_database(&settings, seeded, &hub, &metrics, &lifecycle).await?;
        let limiter = Limiter::new(&settings, metrics.node().clone(), ledger);
        let close_cluster = CancellationToken::new();
        let has_others = driver.is_some();
        let drive = driver.map(|driver| {
            let (here, stop) = (hub.clone(), close_cluster.clone());
            Box::pin(async move { driver.run(Arc::new(here), stop.cancelled_owned()).await })
        });
        let (mut workers, mut seats) = (Vec::new(), Vec::new());
        for (index, inbox) in (0u8..).zip(inboxes) {
            let (errand, errands) = mpsc::channel::<Errand>(ERRANDS_MAX);
            workers.push(errand);
            let (hub, access, application, node) =
                (hub.clone(), access.clone(), Arc::clone(&application), node.clone());
            let (limiter, stats) = (limiter.clone(), Arc::clone(metrics.node()));
            seats.push(WorkerSeat { index, hub, inbox, errands, access, application, limiter, stats, node });
        }
        hub.keep_revoked(access.revoked().clone());
        threads::start(&lifecycle, seats, &settings, drive)?;
        speak_to_others(&hub, has_others, &close_cluster, &lifecycle);
        access.keep(&lifecycle);
        let (rules, stats, guards) =
            (accept_rules(&settings), metrics.node(), Guards { keys, limiter: limiter.clone() });
        let api = Api::new(&settings, hub.clone(), metrics.clone(), guards, kept, &node).with_page(page);
        lifecycle.spawn("rate limit sweep", limiter.clone().sweep(lifecycle.clone()));
        lifecycle.spawn("shared rate limits", limiter.clone().tell(lifecycle.clone()));
        let gate = Gate::new(access, origins, limiter.clone(), settings.limits.max_sockets);
        let doors = Doors::new(&settings, gate, hub.clone(), workers, metrics.clone(), lifecycle.clone())
            .for_application(&application);
        let public_router = doors
            .router(&settings.listen.socketio_path, application.entrances())
            .merge(http::public_router(api.clone()));
        let serve =
            |front, close: &CancellationToken| listener::serve(front, stats.clone(), lifecycle.clone(), close.clone());
        tls.iter().for_each(|tls| lifecycle.spawn("certificate watch", tls.clone().watch(lifecycle.clone())));
        let public = Front { listener: public, router: public_router, rules, limiter: Some(limiter), tls };
        let admin = Front { listener: admin, router: http::admin_router(api), rules, limiter: None, tls: None };
        lifecycle.spawn("public listener", serve(public, &close_public));
        lifecycle.spawn("admin listener", serve(admin, &close_admin));

        stop.await;
        let running = Running { hub, metrics, lifecycle, close_public, close_cluster, close_admin };
        Ok(Box::pin(running.drain(&settings.drain)).await)
    }
}

/// Has other nodes' questions answered, if there may be others, and everybody told who comes and goes.
fn speak_to_others(hub: &Hub, has_others: bool, close_cluster: &CancellationToken, lifecycle: &Lifecycle) {
    if has_others {
        let stop = close_cluster.clone().cancelled_owned();
        lifecycle.spawn("answers to other nodes", hub.clone().answer_others(stop));
    }
    let stop = close_cluster.clone().cancelled_owned();
    lifecycle.spawn("presence events", hub.clone().tell_attendance(stop));
}

/// Opens the database, if the settings name one, and has what is in its outbox said.
async fn open_database(
    settings: &Settings,
    seeded: bool,
    hub: &Hub,
    metrics: &Metrics,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Option<Kept>> {
    let stats = &metrics.node().database;
    let store =
        Box::pin(Store::open(&settings.database, stats, lifecycle)).await.context("cannot open the database")?;
    let Some(store) = store else { return Ok(None) };
    let cluster = Arc::clone(&metrics.node().cluster);
    store.watch_connections(move || cluster.peers.get(), lifecycle);
    let dashboards =
        Dashboards::new(store.clone(), hub.clone(), &settings.dashboard, Arc::clone(&metrics.node().dashboards));
    let incidents = Incidents::new(store);
    if seeded {
        Box::pin(incidents.begin_with_a_service()).await.context("cannot write to the database")?;
    }
    incidents.show_states(hub, lifecycle);
    if settings.database.background {
        let (alert_days, incident_days) =
            (settings.database.alert_retention_days, settings.database.incident_retention_days);
        incidents.forget(Retention { alert_days, incident_days }, Arc::clone(stats), lifecycle);
        let shown = dashboards.clone();
        incidents.keep(hub.clone(), Arc::clone(stats), Arc::new(move |said| shown.changed(said)), lifecycle);
    }
    dashboards.keep(lifecycle);
    Ok(Some(Kept { incidents, dashboards }))
}

/// Whether what went wrong is a setting that does not fit what was found at the start.
#[must_use]
pub fn is_setting(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Overcommitted { .. }))
}

fn accept_rules(settings: &Settings) -> AcceptRules {
    AcceptRules {
        backlog: settings.listen.listen_backlog,
        head_timeout: settings.limits.handshake_timeout,
        keep_alive: settings.limits.http_keep_alive_timeout,
        connection_life: HTTP_CONNECTION_LIFE,
        tcp_user_timeout: settings.delivery.tcp_user_timeout,
    }
}

/// Signs a token for a client of a server with these settings that is valid for `ttl` from now.
///
/// # Errors
/// When there is no secret, or it cannot be signed.
pub fn sign_token(auth: &AuthSettings, claims: Claims, ttl: Duration) -> anyhow::Result<String> {
    let exp = lifecycle::unix_seconds().saturating_add(ttl.as_secs());
    let (iss, aud) = (auth.auth_issuers.first().cloned(), auth.auth_audiences.first().cloned());
    let key = TokenKey::of(auth).context("no secret to sign with")?;
    key.sign(&Claims { exp, iss, aud, ..claims }).context("cannot sign a token")
}

/// Brings the schema of the database that the settings name up to date. `None`: they name none.
///
/// # Errors
/// When the database cannot be reached, or a step of the migration fails.
pub async fn migrate(settings: &DatabaseSettings) -> anyhow::Result<Option<Migrated>> {
    Box::pin(store::migrate(settings)).await.context("cannot migrate")
}

fn cannot_listen(address: SocketAddr, flag: &str, error: io::Error) -> anyhow::Error {
    let reason = match error.kind() {
        ErrorKind::AddrInUse => format!("address in use (is another server running? choose another with {flag})"),
        ErrorKind::AddrNotAvailable => format!("this machine does not have that address (choose another with {flag})"),
        ErrorKind::PermissionDenied => format!("permission denied (choose a port above 1023 with {flag})"),
        _ => return anyhow::Error::from(error).context(format!("cannot listen on {address}")),
    };
    anyhow::anyhow!("cannot listen on {address}: {reason}")
}
