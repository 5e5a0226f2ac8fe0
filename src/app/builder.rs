//! A server in the making.

use super::{App, Mode, accept_rules, advertise, cannot_listen, ledger, memory, summary, visitors};
use crate::adapter::{Adapter, Bus, Meeting};
use crate::config::{ApiKey, Settings};
use crate::http::ApiKeys;
use crate::hub::{Hub, OnNodeEvent, Sid};
use crate::metrics::Metrics;
use crate::session::{Access, Admission, Application, Entrance, HandshakeDetails, Namespace};
use crate::transport::listener;
use crate::transport::{Origins, Tls};
use std::future::Future;
use std::sync::Arc;

/// A server in the making: what it does with its clients.
#[derive(Debug, Default)]
pub struct Builder {
    namespaces: Vec<(String, Namespace)>,
    entrances: Vec<Arc<Entrance>>,
    keep_handshakes: bool,
    admission: Option<Admission>,
    bus: Option<Bus>,
}

impl Builder {
    /// Describes a namespace. `/` and the namespaces of the settings are there anyway, with the built-in vocabulary.
    #[must_use]
    pub fn namespace(mut self, name: &str, describe: impl FnOnce(Namespace) -> Namespace) -> Self {
        self.namespaces.push((name.to_owned(), describe(Namespace::default())));
        self
    }

    /// Opens an address of its own, at which messages have no vocabulary.
    #[must_use]
    pub fn entrance(mut self, entrance: Entrance) -> Self {
        self.entrances.push(Arc::new(entrance));
        self
    }

    /// Has `decide` say whether a handshake may go on, after origin, token and rates have been looked at: a look at a cookie,
    /// a question to another service. The error is the sentence that is answered, with 403.
    #[must_use]
    pub fn admit<F, D>(self, decide: D) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
        D: Fn(HandshakeDetails) -> F + Send + Sync + 'static,
    {
        Self { admission: Some(Admission::new(decide)), ..self }
    }

    /// Has the server meet the others of this process on `bus`, whatever its settings say of Redis.
    #[must_use]
    pub fn bus(self, bus: &Bus) -> Self {
        Self { bus: Some(bus.clone()), ..self }
    }

    /// Has sessions keep what their handshakes and CONNECTs said, at the cost of its size in memory for each.
    #[must_use]
    pub fn keep_handshake(self, keep: bool) -> Self {
        Self { keep_handshakes: keep, ..self }
    }

    /// Checks the settings against each other and binds the addresses; nothing is served yet.
    ///
    /// # Errors
    /// When a key is missing, a name is not valid, or an address cannot be bound.
    pub fn build(self, mut settings: Settings, mode: Mode) -> anyhow::Result<App> {
        let names = &settings.listen.namespaces;
        let application = Application::new(names, self.namespaces, self.keep_handshakes).map_err(anyhow::Error::msg)?;
        let application = application.with_entrances(self.entrances).with_admission(self.admission);
        if mode == Mode::Authenticated
            && let Some(problem) = settings.auth.missing()
        {
            anyhow::bail!(problem);
        }
        let api_keys = settings.auth.keys().map_err(|problems| anyhow::anyhow!(problems.join("; ")))?;
        let keys = keys_of(mode, &api_keys, &settings.listen.allow_origins);
        let workers = match settings.delivery.workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64)),
            workers => usize::from(workers),
        };
        let rules = accept_rules(&settings);
        let bind = |address, flag| listener::bind(address, rules).map_err(|error| cannot_listen(address, flag, error));
        let public = bind(settings.listen.listen, "--listen")?;
        let admin = bind(settings.listen.admin_listen, "--admin-listen")?;
        let metrics = Metrics::new(workers);
        note_limits(&metrics, &settings);
        let tls = Tls::new(&settings.tls, metrics.node().clone()).map_err(anyhow::Error::msg)?;
        let access = {
            let (depth, open) = (settings.limits.max_json_depth, mode == Mode::Open);
            Access::new(&settings.auth, depth, open, Arc::clone(metrics.node()))?
        };
        summary::tell(&settings, mode, api_keys.len(), workers);
        summary::warn_of_closed_api(mode, api_keys.len());
        settings.auth.doubts().iter().for_each(|doubt| tracing::warn!("{doubt}"));
        let page = visitors::page(&settings, mode);
        settings.auth.forget_secrets();
        let names = application.names().to_vec();
        let address = advertise::address(settings.redis.advertise.as_deref(), public.local_addr()?);
        let (adapter, driver) = Adapter::new(Meeting {
            settings: &settings.redis,
            bus: self.bus.as_ref(),
            namespaces: &names,
            sid_prefix: Sid::prefix,
            address: &address,
            tls: tls.is_some(),
            stats: Arc::clone(&metrics.node().cluster),
        })
        .map_err(anyhow::Error::msg)?;
        summary::warn_of_sticky_sessions(&settings, adapter.is_alone());
        let ledger = ledger::of(&adapter);
        let (hub, inboxes) = Hub::new(names, workers, &settings, metrics.clone(), adapter);
        let origins = Origins::new(&settings.listen.allow_origins, mode == Mode::Open);
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let application = Arc::new(application);
        let heard = Arc::clone(&application);
        hub.on_node_event(OnNodeEvent::new(move |hub, event| heard.hear_node(hub, event)));
        Ok(App {
            driver,
            ledger,
            settings: Box::new(settings),
            application,
            access,
            keys,
            public,
            admin,
            hub,
            inboxes,
            metrics,
            origins,
            tls,
            node,
            seeded: mode == Mode::Open,
            page,
        })
    }
}

/// Who may use the API: in `dev` whoever calls the server by one of its own names.
fn keys_of(mode: Mode, keys: &[ApiKey], origins: &[String]) -> ApiKeys {
    match mode {
        Mode::Open => ApiKeys::open(origins),
        Mode::Authenticated => ApiKeys::new(keys),
    }
}

/// What metrics compare others with.
fn note_limits(metrics: &Metrics, settings: &Settings) {
    let node = metrics.node();
    node.max_sockets.set(settings.limits.max_sockets as u64);
    node.max_rooms.set(settings.limits.max_rooms as u64);
    node.max_relayed.set(settings.redis.max_relayed as u64);
    node.memory_limit.set(memory::limit().unwrap_or(0));
}
