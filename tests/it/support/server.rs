//! A whole server on free ports.

use super::redis::Redis;
use super::{RawSocket, SocketIoClient, http_get};
use clap::Parser as _;
use roomcast::app::{App, Builder, Bus, Mode};
use roomcast::config::{Secret, Settings};
use roomcast::session::{Claims, RoomClaim, TokenKey};
use std::net::SocketAddr;
use std::sync::{Once, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// Secret of servers that ask for tokens.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A token for `user` that expires at `exp`, in seconds since 1970.
pub(crate) fn token(user: &str, exp: u64) -> String {
    signed(&Claims { sub: user.to_owned(), exp, ..Claims::default() })
}

/// A token that says this.
pub(crate) fn signed(claims: &Claims) -> String {
    TokenKey::new(&Secret::new(SECRET)).sign(claims).unwrap()
}

/// A claim: what is allowed in the rooms that match.
pub(crate) fn grant(pattern: &str, words: &str) -> RoomClaim {
    RoomClaim::new(pattern, words.split('+')).unwrap()
}

#[derive(Debug, clap::Parser)]
struct Defaults {
    #[command(flatten)]
    settings: Settings,
}

/// A running server. It ends, without being waited for, when this is dropped.
#[derive(Debug)]
pub(crate) struct TestServer {
    /// Where clients connect.
    pub(crate) public: SocketAddr,
    /// Where operators connect.
    pub(crate) admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<Vec<&'static str>>>,
}

impl TestServer {
    /// Starts an open server with the default settings, changed by `change`; a drain takes no time.
    pub(crate) fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_as(Mode::Open, change)
    }

    /// Starts a server that asks for tokens signed with [`SECRET`].
    pub(crate) fn authenticated(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_as(Mode::Authenticated, |settings| {
            settings.auth.auth_secret = Some(SECRET.parse().unwrap());
            change(settings);
        })
    }

    /// Starts an open server with events of its own.
    pub(crate) fn embedded(builder: Builder) -> Self {
        Self::start_with(builder, Mode::Open, |settings| settings.limits.packets_per_second = 0)
    }

    /// Starts a server.
    pub(crate) fn start_as(mode: Mode, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(App::builder(), mode, change)
    }

    /// Starts a server with events of its own, in this mode.
    pub(crate) fn start_with(builder: Builder, mode: Mode, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Defaults::parse_from(["roomcast"]).settings;
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        (settings.listen.listen, settings.listen.admin_listen) = (here, here);
        settings.delivery.workers = 2;
        settings.drain.drain_delay = Duration::ZERO;
        settings.drain.drain_window = Duration::ZERO;
        settings.drain.drain_deadline = Duration::from_secs(5);
        change(&mut settings);
        Self::run(builder, settings, mode)
    }

    /// Starts an open server that meets others on a bus.
    pub(crate) fn on_bus(bus: &Bus) -> Self {
        Self::start_with(App::builder().bus(bus), Mode::Open, |settings| settings.limits.packets_per_second = 0)
    }

    /// Starts an open server that meets others at a Redis server.
    pub(crate) fn on_redis(redis: &Redis, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start(|settings| {
            settings.limits.packets_per_second = 0;
            settings.redis.redis_url = Some(Secret::new(&redis.url()));
            change(settings);
        })
    }

    /// Starts an application on this interface; the settings name free ports.
    pub(crate) fn run(application: Builder, settings: Settings, mode: Mode) -> Self {
        raise_descriptor_limit();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (bound, addresses) = mpsc::sync_channel(1);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let app = application.build(settings, mode).unwrap();
                bound.send((app.public_address().unwrap(), app.admin_address().unwrap())).unwrap();
                let left = app.run(async { drop(stopped.await) }).await.unwrap();
                // The test may not care.
                let _ignored = end.send(left);
            });
        };
        #[expect(clippy::disallowed_methods, reason = "a server has its own thread, as it has in its own process")]
        std::thread::Builder::new().name("server".into()).spawn(serve).unwrap();
        let (public, admin) = addresses.recv_timeout(Duration::from_secs(10)).expect("the server starts");
        Self { public, admin, stop: Some(stop), ended: Some(ended) }
    }

    /// A server that somebody else has started, and ends.
    pub(crate) fn elsewhere(public: SocketAddr, admin: SocketAddr) -> Self {
        Self { public, admin, stop: None, ended: None }
    }

    /// The sum of all samples of a metric whose labels contain `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> u64 {
        let (status, text) = http_get(self.admin, "/metrics").await;
        assert_eq!(status, 200);
        let samples = text.lines().filter(|line| {
            let labels = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']));
            labels.is_some_and(|labels| labels.contains(label))
        });
        let values: Vec<f64> = samples.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(!values.is_empty(), "there is no metric {name}{{{label}}}");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole and small")]
        let sum = values.iter().sum::<f64>() as u64;
        sum
    }

    /// Sessions that ended for this reason.
    pub(crate) async fn closes(&self, reason: &str) -> u64 {
        self.metric("roomcast_closes_total", &format!("{{reason=\"{reason}\"}}")).await
    }

    /// Open sockets.
    pub(crate) async fn open_sockets(&self) -> u64 {
        self.metric("roomcast_open_sockets", "").await
    }

    /// Asks the server to end; [`Self::ended`] waits for it.
    pub(crate) fn stop(&mut self) {
        // It may have ended by itself.
        let _ended = self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits for the end. Returns the names of what had to be left running.
    pub(crate) async fn ended(&mut self) -> Vec<&'static str> {
        super::within("the end of the server", self.ended.take().unwrap()).await.unwrap()
    }

    /// Ends the server and waits for that.
    pub(crate) async fn shutdown(mut self) -> Vec<&'static str> {
        self.stop();
        self.ended().await
    }
}

/// A pair of clients that talk in a room of their own, to see whether others disturb them.
pub(crate) struct Peers {
    speaker: SocketIoClient,
    listener: RawSocket,
    room: String,
    said: u64,
}

impl Peers {
    pub(crate) async fn meet(server: &TestServer, room: &str) -> Self {
        let mut speaker = SocketIoClient::connect(server).await;
        speaker.call("join", serde_json::json!({"room": room})).await.unwrap();
        let mut listener = RawSocket::websocket(server, "/ws").await;
        listener.say_json(&serde_json::json!({"id": 0, "join": room})).await;
        while !listener.text().await.contains("\"ok\"") {}
        Self { speaker, listener, room: room.to_owned(), said: 0 }
    }

    /// One says something, the other hears it: nothing is lost or doubled. Returns how long that took.
    pub(crate) async fn round_trip(&mut self) -> Duration {
        let began = tokio::time::Instant::now();
        self.said += 1;
        let said = serde_json::json!({"room": self.room, "n": self.said, "echo": false});
        self.speaker.emit("message", &[said]).await;
        let heard: serde_json::Value = serde_json::from_str(&self.listener.text().await).unwrap();
        assert_eq!(heard["data"]["n"], self.said, "a bystander lost or repeated something");
        began.elapsed()
    }
}

/// A thousand clients in one process need two thousand descriptors.
fn raise_descriptor_limit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    });
}
