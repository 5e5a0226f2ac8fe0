//! Accepts connections and serves HTTP on them, until the node takes no more.

use super::connection::{Claim, Claimed, Connection};
use super::pace::{HeadTimer, Pace, Seen};
use super::relay::tunnel::Tunnel;
use super::stream::FrontStream;
use super::tls::Tls;
use super::worker::{Arrival, Errand};
use crate::lifecycle::{self, Lifecycle, LongAnswer};
use crate::limiter::{Limiter, Peer};
use crate::metrics::{Handshake, LimitHit, NodeStats};
use crate::telemetry::Throttle;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections that may be in their HTTP phase at once; WebSockets do not count. More wait in the listen backlog.
const HTTP_CONNECTIONS_MAX: usize = 8_192;

/// How long an HTTP connection lives: the next answer closes it then, so that clients spread over the nodes anew.
pub const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(3_600);

/// How long an answer may take, unless its handler says otherwise, or one head: what stands still for longer is cut.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a worker may take to accept a new socket.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Log lines a second about sockets that were lost on the way to their workers; the rest is counted.
const LOST_LINES_PER_SECOND: u32 = 1;

/// Largest request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Pause after an error such as "no descriptors left", so that it is not met a million times a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How connections are accepted.
#[derive(Debug, Clone, Copy)]
pub struct AcceptRules {
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// How long a request head may take.
    pub head_timeout: Duration,
    /// How long the next one may take to begin.
    pub keep_alive: Duration,
    /// When an answer is the last one of its connection.
    pub connection_life: Duration,
    /// When unacknowledged bytes end a connection.
    pub tcp_user_timeout: Duration,
}

/// Binds an address.
///
/// # Errors
/// When it is taken or not ours.
pub fn bind(address: SocketAddr, rules: AcceptRules) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(rules.backlog)
}

/// Where connections come in.
#[derive(Debug)]
pub struct Front {
    /// Where they are accepted.
    pub listener: TcpListener,
    /// What answers them.
    pub router: axum::Router,
    /// How they are accepted.
    pub rules: AcceptRules,
    /// How many each address may have, if that is limited here.
    pub limiter: Option<Limiter>,
    /// How TLS is spoken, if it is.
    pub tls: Option<Tls>,
}

/// Serves every connection until `close` comes, then stops accepting.
pub async fn serve(front: Front, stats: Arc<NodeStats>, lifecycle: Lifecycle, close: CancellationToken) {
    let Front { listener, router, rules, limiter, tls } = front;
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        if let Some(limiter) = limiter.as_ref().filter(|_| places.available_permits() == 0) {
            limiter.note(LimitHit::HttpConnections, None, lifecycle::now());
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = close.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                stats.accept_errors.add_shared(1);
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        stats.connections.add_shared(1);
        let connection = Connection::new(peer.ip(), limiter.clone(), Arc::clone(&places), place);
        let Some(connection) = connection.map(Arc::new) else { continue };
        prepare(&stream, rules);
        let served = Served { router: router.clone(), stats: Arc::clone(&stats), rules, is_public: limiter.is_some() };
        let (close, tls) = (close.clone(), tls.clone());
        lifecycle.spawn("http connection", async move {
            let counted = Counted::new(&served);
            let stream = match tls {
                Some(tls) => tls.accept(stream, rules.head_timeout).await,
                None => Some(FrontStream::Plain(stream)),
            };
            if let Some(stream) = stream {
                let led_on = converse(served, (stream, Peer(peer)), connection, close.clone()).await;
                drop(counted);
                if let Some(LedOn { stream, early, tunnel }) = led_on {
                    Box::pin(tunnel.run(stream, early, close)).await;
                }
            }
        });
    }
}

/// What a connection is served with.
struct Served {
    router: axum::Router,
    stats: Arc<NodeStats>,
    rules: AcceptRules,
    /// Whether sessions can be opened here.
    is_public: bool,
}

/// Counts a connection of clients while it is in its HTTP phase.
struct Counted(Option<Arc<NodeStats>>);

impl Counted {
    fn new(served: &Served) -> Self {
        let stats = served.is_public.then(|| Arc::clone(&served.stats));
        stats.iter().for_each(|stats| stats.http_connections.add_shared(1));
        Self(stats)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.iter().for_each(|stats| stats.http_connections.sub_shared(1));
    }
}

/// A connection that is for a session of another node.
struct LedOn {
    stream: FrontStream,
    /// What has come behind its request already.
    early: Vec<u8>,
    tunnel: Box<Tunnel>,
}

/// Serves one connection until it ends or is taken over.
async fn converse(
    served: Served,
    (stream, peer): (FrontStream, Peer),
    connection: Arc<Connection>,
    close: CancellationToken,
) -> Option<LedOn> {
    let Served { router, stats, rules, is_public } = served;
    let (router, own, born) = (TowerToHyperService::new(router), Arc::clone(&connection), lifecycle::now());
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Arc::clone(&own));
        request.extensions_mut().insert(peer);
        let (answer, own) = (router.call(request), Arc::clone(&own));
        async move {
            let mut answer = answer.await?;
            answer.extensions().get::<LongAnswer>().into_iter().for_each(|long| own.allow_long(*long));
            // Said, not done: a proxy that sends its next request just now would lose it.
            let is_old = lifecycle::now().saturating_duration_since(born) >= rules.connection_life;
            if is_old || own.is_crowded(HTTP_CONNECTIONS_MAX / 2) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let pace = Pace::new(rules.head_timeout, rules.keep_alive);
    let mut http = http1::Builder::new();
    http.timer(HeadTimer(Arc::clone(&pace))).header_read_timeout(rules.head_timeout).max_buf_size(HEAD_BYTES_MAX);
    let mut talk = http.serve_connection(TokioIo::new(Seen { stream, pace: Arc::clone(&pace) }), service);
    let mut last_orders = std::pin::pin!(close.cancelled());
    let mut finishing = false;
    let mut ended = std::pin::pin!(poll_fn(|cx| {
        if !finishing && last_orders.as_mut().poll(cx).is_ready() {
            // The request that is under way comes to its end, and no other begins.
            finishing = true;
            Pin::new(&mut talk).graceful_shutdown();
        }
        match Pin::new(&mut talk).poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ended::Over(outcome)),
            // The handler that claims a connection never answers: nothing is under way in the HTTP server then.
            Poll::Pending => connection.claimed().map_or(Poll::Pending, |claim| Poll::Ready(Ended::Claimed(claim))),
        }
    }));
    // What stands still for so long is cut, unless it said that it takes long.
    let usual = ANSWER_TIMEOUT.max(pace.longest_wait().saturating_add(rules.head_timeout));
    let (mut patience, mut waits) = (usual, 0);
    let ended = loop {
        if let Ok(ended) = tokio::time::timeout(patience, ended.as_mut()).await {
            break ended;
        }
        let moved = std::mem::replace(&mut waits, pace.waits()) != pace.waits();
        patience = match connection.take_extra() {
            Some(extra) => extra,
            None if moved => usual,
            None => break Ended::Over(Ok(())),
        };
    };
    match ended {
        Ended::Over(Ok(())) => {}
        Ended::Over(Err(error)) => {
            if error.is_timeout() && is_public && !pace.was_idle() {
                stats.handshake(Handshake::TimedOut);
            }
            tracing::debug!(%error, "an HTTP connection ended badly");
        }
        Ended::Claimed(claimed) => {
            let parts = talk.into_parts();
            // Copied, as `read_buf` owns the HTTP server's buffer of 8 KiB even when it is empty: it must not live on.
            let early = parts.read_buf.to_vec();
            let stream = parts.io.into_inner().stream;
            match claimed {
                Claimed::Here(claim) => hand_over(stream, early, claim, &stats).await,
                Claimed::Elsewhere(tunnel) => return Some(LedOn { stream, early, tunnel }),
            }
        }
    }
    None
}

/// How the HTTP phase of a connection ended.
enum Ended {
    Over(hyper::Result<()>),
    Claimed(Claimed),
}

async fn hand_over(stream: FrontStream, early: Vec<u8>, claim: Claim, stats: &NodeStats) {
    let stream = match stream.detach() {
        Ok(stream) => stream,
        Err(error) => return lost_on_the_way(stats, &error),
    };
    let arrival = Box::new(Arrival { stream, early, head: claim.head, guest: claim.guest });
    if claim.worker.send_timeout(Errand::Arrive(arrival), HANDOVER_TIMEOUT).await.is_err() {
        lost_on_the_way(stats, &"its worker took nothing in time");
    }
}

/// Counts a socket that was lost on its way to its worker, and says so now and then: when sockets or descriptors run out,
/// every newcomer is one.
pub(super) fn lost_on_the_way(stats: &NodeStats, why: &dyn Display) {
    static LOG: Mutex<Throttle> = Mutex::new(Throttle::new(LOST_LINES_PER_SECOND));
    stats.handovers_lost.add_shared(1);
    if let Some(left_out) = LOG.lock().unwrap_or_else(PoisonError::into_inner).admit(lifecycle::unix_millis()) {
        tracing::warn!(%why, left_out, "a new socket was lost on its way to its worker");
    }
}

fn prepare(stream: &TcpStream, rules: AcceptRules) {
    let nodelay = stream.set_nodelay(true);
    let timeout = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(rules.tcp_user_timeout));
    if let Err(error) = nodelay.and(timeout) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn every_lost_socket_is_counted_whether_it_is_logged_or_not() {
        let stats = NodeStats::default();
        (0..3).for_each(|n| lost_on_the_way(&stats, &n));
        assert_eq!(stats.handovers_lost.get(), 3);
    }

    /// The head of an answer by a server whose connections live so long.
    async fn head(connection_life: Duration) -> String {
        let second = Duration::from_secs(1);
        let (head_timeout, keep_alive, tcp_user_timeout) = (second, second, second);
        let rules = AcceptRules { backlog: 8, head_timeout, keep_alive, connection_life, tcp_user_timeout };
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), rules).unwrap();
        let (address, router) = (listener.local_addr().unwrap(), axum::Router::new());
        let front = Front { listener, router, rules, limiter: None, tls: None };
        let (lifecycle, close) = (Lifecycle::default(), CancellationToken::new());
        lifecycle.spawn("listener", serve(front, Arc::default(), lifecycle.clone(), close.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).await.unwrap() > 0 {
            head.push(byte[0]);
        }
        close.cancel();
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn the_last_answer_of_an_old_connection_says_so() {
        assert!(head(Duration::ZERO).await.contains("\r\nconnection: close\r\n"));
        assert!(!head(HTTP_CONNECTION_LIFE).await.contains("\r\nconnection: "));
    }
}
