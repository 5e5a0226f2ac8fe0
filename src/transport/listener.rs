//! Accepts connections and serves HTTP on them, until the node takes no more.

use crate::lifecycle::Lifecycle;
use crate::metrics::{Handshake, NodeStats};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Connections that may be in their HTTP phase at once; WebSockets do not count. More wait in the listen backlog.
const HTTP_CONNECTIONS_MAX: usize = 8_192;

/// How long an HTTP connection lives; its client opens another one then. So nobody holds a place for ever.
const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(60);

type HttpConnection =
    hyper::server::conn::http1::UpgradeableConnection<TokioIo<TcpStream>, TowerToHyperService<axum::Router>>;

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

/// Serves `router` on every connection until the lifecycle's word comes, then stops accepting.
pub async fn serve(
    listener: TcpListener,
    router: axum::Router,
    rules: AcceptRules,
    stats: Arc<NodeStats>,
    lifecycle: Lifecycle,
    close: tokio_util::sync::CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = close.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        stats.connections.add_shared(1);
        let spacious = slots.available_permits() > HTTP_CONNECTIONS_MAX / 2;
        prepare(&stream, rules);
        let (router, close, stats) = (router.clone(), close.clone(), Arc::clone(&stats));
        lifecycle.spawn("http connection", async move {
            let service = TowerToHyperService::new(router);
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(rules.head_timeout).max_buf_size(HEAD_BYTES_MAX);
            http.keep_alive(spacious);
            let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
            let outcome = tokio::select! {
                outcome = connection.as_mut() => outcome,
                () = close.cancelled() => finish(connection).await,
                () = tokio::time::sleep(HTTP_CONNECTION_LIFE) => finish(connection).await,
            };
            if let Err(error) = outcome {
                if error.is_timeout() {
                    stats.handshake(Handshake::TimedOut);
                }
                tracing::debug!(%error, "an HTTP connection ended badly");
            }
            drop(slot);
        });
    }
}

/// Lets the request that is under way come to its end, and no other begin.
async fn finish(mut connection: Pin<&mut HttpConnection>) -> hyper::Result<()> {
    connection.as_mut().graceful_shutdown();
    // What is still not done then is cut.
    tokio::time::timeout(HTTP_CONNECTION_LIFE, connection).await.unwrap_or(Ok(()))
}

fn prepare(stream: &TcpStream, rules: AcceptRules) {
    let nodelay = stream.set_nodelay(true);
    let timeout = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(rules.tcp_user_timeout));
    if let Err(error) = nodelay.and(timeout) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}
