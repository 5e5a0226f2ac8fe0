//! Accepts connections and serves HTTP on them, until the node takes no more.

use super::connection::{Claim, Connection};
use super::stream::FrontStream;
use super::tls::Tls;
use super::worker::{Arrival, Errand};
use crate::lifecycle::{self, Lifecycle, LongAnswer};
use crate::limiter::{Limiter, Peer};
use crate::metrics::{Handshake, LimitHit, NodeStats};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections that may be in their HTTP phase at once; WebSockets do not count. More wait in the listen backlog.
const HTTP_CONNECTIONS_MAX: usize = 8_192;

/// How long an HTTP connection lives; its client opens another one then. So nobody holds a place for ever.
const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// How long a worker may take to accept a new socket.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(5);

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
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        stats.connections.add_shared(1);
        let connection = Connection::new(peer.ip(), limiter.clone(), Arc::clone(&places), place);
        let Some(connection) = connection.map(Arc::new) else { continue };
        let spacious = places.available_permits() > HTTP_CONNECTIONS_MAX / 2;
        prepare(&stream, rules);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(rules.head_timeout).max_buf_size(HEAD_BYTES_MAX);
        http.keep_alive(spacious);
        let (router, stats, close, tls) = (router.clone(), Arc::clone(&stats), close.clone(), tls.clone());
        lifecycle.spawn("http connection", async move {
            let stream = match tls {
                Some(tls) => tls.accept(stream, rules.head_timeout).await,
                None => Some(FrontStream::Plain(stream)),
            };
            if let Some(stream) = stream {
                converse(http, (stream, Peer(peer)), connection, router, stats, close).await;
            }
        });
    }
}

/// Serves one connection until it ends or is taken over.
async fn converse(
    http: http1::Builder,
    (stream, peer): (FrontStream, Peer),
    connection: Arc<Connection>,
    router: axum::Router,
    stats: Arc<NodeStats>,
    close: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let own = Arc::clone(&connection);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Arc::clone(&own));
        request.extensions_mut().insert(peer);
        let (answer, own) = (router.call(request), Arc::clone(&own));
        async move {
            let answer = answer.await?;
            answer.extensions().get::<LongAnswer>().into_iter().for_each(|long| own.allow_long(*long));
            Ok::<_, Infallible>(answer)
        }
    });
    let mut talk = http.serve_connection(TokioIo::new(stream), service);
    let mut last_orders = std::pin::pin!(async {
        tokio::select! {
            () = close.cancelled() => {}
            () = tokio::time::sleep(HTTP_CONNECTION_LIFE) => {}
        }
    });
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
    // What is not done after twice that time is cut, unless it said that it takes long.
    let mut patience = 2 * HTTP_CONNECTION_LIFE;
    let ended = loop {
        if let Ok(ended) = tokio::time::timeout(patience, ended.as_mut()).await {
            break ended;
        }
        let Some(extra) = connection.take_extra() else { break Ended::Over(Ok(())) };
        patience = extra;
    };
    match ended {
        Ended::Over(Ok(())) => {}
        Ended::Over(Err(error)) => {
            if error.is_timeout() {
                stats.handshake(Handshake::TimedOut);
            }
            tracing::debug!(%error, "an HTTP connection ended badly");
        }
        Ended::Claimed(claim) => {
            let parts = talk.into_parts();
            // Copied, as `read_buf` owns the HTTP server's buffer of 8 KiB even when it is empty: it must not live on.
            let early = parts.read_buf.to_vec();
            hand_over(parts.io.into_inner(), early, claim).await;
        }
    }
}

/// How the HTTP phase of a connection ended.
enum Ended {
    Over(hyper::Result<()>),
    Claimed(Claim),
}

async fn hand_over(stream: FrontStream, early: Vec<u8>, claim: Claim) {
    let Ok(stream) = stream.detach() else { return };
    let arrival = Box::new(Arrival { stream, early, head: claim.head, guest: claim.guest });
    if claim.worker.send_timeout(Errand::Arrive(arrival), HANDOVER_TIMEOUT).await.is_err() {
        tracing::warn!("a worker took no new socket in time");
    }
}

fn prepare(stream: &TcpStream, rules: AcceptRules) {
    let nodelay = stream.set_nodelay(true);
    let timeout = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(rules.tcp_user_timeout));
    if let Err(error) = nodelay.and(timeout) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}
