//! The server that the official test suites of Engine.IO and Socket.IO ask for: an echo of every message at `/engine.io/`, and at
//! `/socket.io/` a small application in the namespaces `/` and `/custom`.
//!
//! `cargo run --example conformance -- --port 3000`

use clap::Parser;
use roomcast::app::{App, Builder, Mode};
use roomcast::config::Settings;
use roomcast::protocol::websocket::Limits;
use roomcast::session::{Answer, Entrance, Framing, Namespace, RawAnswers, RawMessage};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Largest message, in bytes.
const MAX_PAYLOAD: usize = 1_000_000;

/// The server for the official suites of Engine.IO and Socket.IO.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on all addresses of this machine
    #[arg(long, default_value_t = 3_000)]
    port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { port } = Arguments::parse();
    let app = server().build(settings(port), Mode::Open)?;
    writeln!(std::io::stdout(), "listening on {}", app.public_address()?)?;
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    app.run(stop).await?;
    Ok(())
}

/// The server, but for its settings.
pub(crate) fn server() -> Builder {
    App::builder()
        .entrance(Entrance {
            path: "/engine.io/".to_owned(),
            framing: Framing::EngineIo,
            limits: Limits { message_bytes: MAX_PAYLOAD, fragments: 4_096 },
            unlimited: true,
            open: true,
            handler: Arc::new(|message: RawMessage<'_>, answers: &mut RawAnswers| answers.send(message)),
        })
        .namespace("/", application)
        .namespace("/custom", application)
}

/// Says right after CONNECT with what the client authenticated itself, and sends everything back.
fn application(namespace: Namespace) -> Namespace {
    namespace
        .without_vocabulary()
        .ignoring_unknown_events()
        .on_connect(|call| {
            // The argument of a connect is the auth object.
            let auth = call.arguments()?;
            Ok(call.emit("auth", auth)?)
        })
        .on("message", |call| {
            let arguments = call.arguments()?;
            call.emit("message-back", arguments)?;
            Ok(Answer::None)
        })
        .on("message-with-ack", |call| Ok(Answer::Args(call.arguments()?)))
}

/// What the suites expect of the server, and nothing that would hold them up.
pub(crate) fn settings(port: u16) -> Settings {
    let mut settings = Settings::default();
    settings.listen.listen = SocketAddr::from(([0, 0, 0, 0], port));
    settings.listen.admin_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.listen.allow_origins = vec!["*".to_owned()];
    settings.heartbeat.ping_interval = Duration::from_millis(300);
    settings.heartbeat.ping_timeout = Duration::from_millis(200);
    settings.limits.handshake_timeout = Duration::from_secs(1);
    settings.limits.max_packet_bytes = MAX_PAYLOAD;
    settings.limits.packets_per_second = 0;
    settings.drain.drain_delay = Duration::ZERO;
    settings.drain.drain_window = Duration::ZERO;
    settings
}
