//! Goal: any client of these protocols works. Method: what the protocols' own suites and Autobahn's ask for, in our words,
//! of the application that those suites need, `examples/conformance.rs`. `tests/conformance` runs the suites themselves.

mod engineio;
mod socketio;
mod websocket;

use crate::support::{RawSocket, TestServer};
use roomcast::app::{App, Builder, Mode};
use roomcast::config::Settings;
use roomcast::protocol::websocket::Limits;
use roomcast::session::{Entrance, Framing, RawAnswers, RawMessage};
use std::net::SocketAddr;
use std::sync::Arc;

#[path = "../../../examples/conformance.rs"]
#[expect(dead_code, reason = "its command line is not called here")]
mod application;

/// Heartbeat of the application, in milliseconds.
const PING_INTERVAL: u64 = 300;
const PING_TIMEOUT: u64 = 200;

/// Where Engine.IO is spoken: with an application that echoes every message, and with Socket.IO's.
const ENGINES: [&str; 2] = ["/engine.io/", "/socket.io/"];

/// The application that the suites need.
fn server() -> TestServer {
    start(application::server(), application::settings(0))
}

/// An echo of WebSocket messages of up to 16 MiB.
fn echo_server() -> TestServer {
    let echo = Entrance {
        path: "/ws-echo".to_owned(),
        framing: Framing::WebSocket,
        limits: Limits { message_bytes: 16 * 1024 * 1024, fragments: 4_096 },
        unlimited: true,
        open: true,
        handler: Arc::new(|message: RawMessage<'_>, answers: &mut RawAnswers| answers.send(message)),
    };
    start(App::builder().entrance(echo), application::settings(0))
}

fn start(application: Builder, mut settings: Settings) -> TestServer {
    settings.listen.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    TestServer::run(application, settings, Mode::Open)
}

/// A WebSocket of Engine.IO whose open packet has been read.
async fn engine_socket(server: &TestServer, path: &str) -> RawSocket {
    let mut socket = RawSocket::websocket(server, &format!("{path}?EIO=4&transport=websocket")).await;
    assert!(socket.text().await.starts_with("0{"));
    socket
}
