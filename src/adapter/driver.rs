//! What an adapter runs on: one thread of its own publishes, listens and reconciles.

use super::broker::Broker;
use super::bus::{Bus, BusClient, BusListener};
use super::direct::Direct;
use super::peers::Peers;
use super::publisher::Parcel;
use super::redis::Redis;
use super::shared::{Line, Shared, random_text};
use super::{Here, Meeting, NodeId, listening, peers, publisher, reconcile, servers};
use crate::config::RedisSettings;
use crate::protocol::envelope::{Channels, Format, Mode};
use crate::protocol::peers::PeerChannels;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

/// Payloads that may wait to be published, whatever their size.
const PARCELS_MAX: usize = 65_536;

/// How much longer than it says in the settings things are held: once the broker is back, so have to be the nodes.
const RETURN_TIME: Duration = Duration::from_secs(1);

/// Time for what waits to be published when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What drives an adapter: to be run once, on a runtime of its own.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Parcel>,
    link: Link,
}

/// The connection to a broker.
#[derive(Debug)]
pub(super) enum Link {
    /// A Cluster.
    Redis(Redis),
    /// One server.
    Direct(Redis),
    Bus(BusClient, BusListener),
}

impl Link {
    /// The connection that is asked for, if one is.
    pub(super) fn new(settings: &RedisSettings, bus: Option<&Bus>) -> Result<Option<Self>, String> {
        if let Some(bus) = bus {
            let (client, listener) = bus.connect();
            return Ok(Some(Self::Bus(client, listener)));
        }
        let redis = settings.redis_url.as_ref().map(|url| Redis::new(url, settings.redis_sharded)).transpose()?;
        Ok(redis.map(|redis| if redis.is_cluster() { Self::Redis(redis) } else { Self::Direct(redis) }))
    }

    /// Whether publications take several ways, on which one may overtake another.
    fn is_cluster(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    fn line(&self) -> Line {
        match self {
            Self::Redis(redis) | Self::Direct(redis) => Line::Redis(redis.clone()),
            Self::Bus(client, _) => Line::Bus(client.clone()),
        }
    }
}

pub(super) fn prepare(node: NodeId, meeting: Meeting<'_>, link: Link) -> (Arc<Shared>, Driver) {
    let Meeting { settings, namespaces, sid_prefix, address, tls, stats, .. } = meeting;
    let sid_prefix = sid_prefix(node);
    // To the others it is any text; whoever reads it sees whose it is.
    let uid: Box<str> = format!("{sid_prefix}{}", random_text(4)).into();
    let format = if settings.redis_sharded { Format::Sharded } else { Format::Classic };
    let prefix = &settings.redis_prefix;
    let channels = namespaces.iter().map(|name| Channels::new(format, Mode::Dynamic, prefix, name, &uid)).collect();
    let (queue, parcels) = mpsc::channel(PARCELS_MAX);
    let shared = Arc::new(Shared {
        peers: Peers::new(node, address, tls, &random_text(8)),
        peer_channels: PeerChannels::new(prefix, &uid),
        format,
        prefix: prefix.clone(),
        namespaces: namespaces.to_vec(),
        channels,
        uid,
        sid_prefix,
        interest: Default::default(),
        wake: Default::default(),
        queue,
        waiting_bytes: Default::default(),
        bytes_max: settings.redis_hold_bytes,
        hold_ms: u64::try_from((settings.redis_hold + RETURN_TIME).as_millis()).unwrap_or(u64::MAX),
        linger: settings.redis_linger,
        numbers: format == Format::Classic && !link.is_cluster(),
        specific: settings.redis_specific_responses,
        waiting_since: Default::default(),
        receipts: Default::default(),
        heard_at: Default::default(),
        lost_at: Default::default(),
        away_since: Default::default(),
        subscribed: Default::default(),
        nodes: Default::default(),
        requests: Default::default(),
        inquiries: Default::default(),
        listening: Default::default(),
        line: link.line(),
        stats,
    });
    (Arc::clone(&shared), Driver { shared, queue: parcels, link })
}

impl Driver {
    /// Publishes and listens until `stop` resolves, and then until nothing waits to be published, for a moment.
    pub async fn run(self, here: Arc<dyn Here>, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { shared, queue, link } = self;
        match link {
            Link::Redis(redis) => {
                let listener = redis.connect();
                Box::pin(drive(shared, queue, (redis, listener), here, stop)).await;
            }
            Link::Direct(redis) => {
                redis.connect_for_questions();
                let (direct, listener) = Direct::connect(&redis, &shared.uid);
                Box::pin(drive(shared, queue, (direct, listener), here, stop)).await;
            }
            Link::Bus(client, listener) => drive(shared, queue, (client, listener), here, stop).await,
        }
    }
}

/// One of the things that go on until the process ends.
type Part = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn drive<B: Broker>(
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Parcel>,
    (broker, listener): (B, B::Listener),
    here: Arc<dyn Here>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let publishing = publisher::run(Arc::clone(&shared), broker.clone(), queue);
    let listening = listening::run(Arc::clone(&shared), listener, Arc::clone(&here));
    let beating = peers::run(Arc::clone(&shared), Arc::clone(&here));
    let looking = servers::run(Arc::clone(&shared));
    let looking = async {
        looking.await;
        std::future::pending().await // within a process there is nothing to look at
    };
    let reconciling = reconcile::run(Arc::clone(&shared), broker, here);
    let stopped = async move {
        stop.await;
        peers::leave(&shared);
        let flushed = async {
            while shared.waiting_bytes.load(Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _late = tokio::time::timeout(FLUSH_TIMEOUT, flushed).await;
    };
    // Each part is looked at only when it has something to do.
    let parts: [Part; 6] = [
        Box::pin(publishing),
        Box::pin(listening),
        Box::pin(reconciling),
        Box::pin(beating),
        Box::pin(looking),
        Box::pin(stopped),
    ];
    let _first_to_end = FuturesUnordered::from_iter(parts).next().await;
}
