//! A small application on the embedding interface, to be compared event by event with other Socket.IO servers that run the
//! same one. What needs a database is refused at the start.
//!
//! `cargo run --example contract -- --port 3000 --node A`

use anyhow::Context as _;
use clap::Parser;
use roomcast::app::{App, Mode};
use roomcast::config::{Secret, Settings};
use roomcast::hub::{Action, Hub, NodeEvent, Selection};
use roomcast::protocol::arguments::{Argument, Arguments};
use roomcast::protocol::refusal::{Code, Refusal};
use roomcast::protocol::websocket::Limits;
use roomcast::session::{Answer, Call, Entrance, Framing, Namespace, RawAnswers, RawMessage, Rejection, To};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Largest message of the plain echo: what the largest cases of the Autobahn suite ask for.
const ECHO_BYTES: usize = 16 * 1024 * 1024;

/// Most fragments of such a message: those of 4 MiB in pieces of 1 KiB, and not those of smaller ones.
const ECHO_FRAGMENTS: u32 = 8_192;

/// Time-out of questions to clients that names none, in milliseconds.
const ASK_MS: u64 = 5_000;

/// The contract application; each default is the one of the official server.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 3_000)]
    port: u16,
    #[arg(long, default_value = "/socket.io/")]
    path: String,
    #[arg(long, default_value_t = 25_000)]
    ping_interval: u64,
    #[arg(long, default_value_t = 20_000)]
    ping_timeout: u64,
    #[arg(long, default_value_t = 45_000)]
    connect_timeout: u64,
    /// Largest packet, in bytes
    #[arg(long, default_value_t = 1_000_000)]
    max: usize,
    #[arg(long, default_value = "*")]
    cors: String,
    /// What `whoami` says of the node
    #[arg(long, default_value = "A")]
    node: String,
    #[arg(long)]
    redis: Option<String>,
    #[arg(long, default_value = "socket.io")]
    prefix: String,
    #[arg(long, default_value_t = 0)]
    specific: u8,
    #[arg(long, default_value_t = 5_000)]
    requests_timeout: u64,
    #[arg(long, default_value_t = 0)]
    sharded: u8,
    /// How long a session may be away, in milliseconds
    #[arg(long, default_value_t = 0)]
    recovery: u64,
    /// Clients of both parsers are served, whatever this says
    #[arg(long, default_value = "default", value_parser = ["default", "msgpack"])]
    parser: String,
    #[arg(long)]
    pg: Option<String>,
}

impl Options {
    /// What is asked for and cannot be had yet.
    fn refusal(&self) -> Option<&'static str> {
        match self {
            Self { pg: Some(_), .. } => Some("--pg: nothing is stored in a database yet; leave it out"),
            _ => None,
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.listen.listen = SocketAddr::from(([0, 0, 0, 0], self.port));
        settings.listen.admin_listen = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.listen.socketio_path.clone_from(&self.path);
        settings.listen.allow_origins = self.cors.split(',').map(str::to_owned).collect();
        settings.heartbeat.ping_interval = Duration::from_millis(self.ping_interval);
        settings.heartbeat.ping_timeout = Duration::from_millis(self.ping_timeout);
        settings.limits.handshake_timeout = Duration::from_millis(self.connect_timeout);
        settings.limits.max_packet_bytes = self.max;
        settings.limits.packets_per_second = 0;
        settings.redis.redis_url = self.redis.as_deref().map(Secret::new);
        settings.redis.redis_prefix.clone_from(&self.prefix);
        settings.redis.redis_sharded = self.sharded > 0;
        settings.redis.redis_specific_responses = self.specific > 0;
        settings.recovery.recovery_window = Duration::from_millis(self.recovery);
        settings.drain.drain_delay = Duration::ZERO;
        settings.drain.drain_window = Duration::ZERO;
        settings
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut errors = std::io::stderr();
    if let Some(refusal) = options.refusal() {
        let _unheard = writeln!(errors, "{refusal}");
        return ExitCode::from(2);
    }
    match Box::pin(run(&options)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unheard = writeln!(errors, "{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let (node, settings) = (options.node.as_str(), options.settings());
    let timeout = Duration::from_millis(options.requests_timeout);
    let events = |namespace| events(namespace, node, timeout);
    let authed = |namespace| events(namespace).on_connect(|call| let_in(call).and_then(|()| greet(call)));
    let app = App::builder()
        .keep_handshake(true)
        .entrance(Entrance {
            path: "/ws-echo".to_owned(),
            framing: Framing::WebSocket,
            limits: Limits { message_bytes: ECHO_BYTES, fragments: ECHO_FRAGMENTS },
            unlimited: true,
            open: true,
            handler: Arc::new(|message: RawMessage<'_>, answers: &mut RawAnswers| answers.send(message)),
        })
        .namespace("/", events)
        .namespace("/custom", events)
        .namespace("/authed", authed)
        .build(settings, Mode::Open)?;
    let address = app.public_address().context("no address")?;
    writeln!(std::io::stdout(), "node {node} listens on {address}")?;
    app.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

// === the events ===

fn events(namespace: Namespace, node: &str, timeout: Duration) -> Namespace {
    let (node, heard_on) = (node.to_owned(), node.to_owned());
    let namespace = namespace
        .without_vocabulary()
        .ignoring_unknown_events()
        .on_connect(greet)
        .on("message", |call| {
            let arguments = call.arguments()?;
            call.emit("message-back", arguments)?;
            Ok(Answer::None)
        })
        .on("message-with-ack", |call| Ok(Answer::Args(call.arguments()?)))
        .on("whoami", move |call| answer(Ok(whoami(call, &node))))
        .on("join", |call| or_err(join(call)))
        .on("leave", |call| answer(leave(call)))
        .on("rooms", |call| Answer::json(&call.rooms()))
        .on("bye", |call| {
            let close = call.arg::<Option<bool>>(0).unwrap_or_default().unwrap_or(false);
            call.disconnect(close);
            Ok(Answer::None)
        })
        .on("cast", |call| answer(cast(call)))
        .on("cast-ack", |call| or_err(cast_ack(call)))
        .on("ask-me", |call| or_err(ask_me(call)));
    managed(namespace, timeout).on_node("sse-test", move |hub, event| heard_from_node(hub, event, &heard_on))
}

/// What concerns all sessions of the cluster.
fn managed(namespace: Namespace, timeout: Duration) -> Namespace {
    namespace
        .on("fetch", move |call| or_err(fetch(call, timeout)))
        .on("sockets-join", |call| {
            or_err(manage(call, |Manage { rooms, .. }| Ok(Action::Join(named(rooms.ok_or_else(no_rooms)?)))))
        })
        .on("sockets-leave", |call| {
            or_err(manage(call, |Manage { rooms, .. }| Ok(Action::Leave(named(rooms.ok_or_else(no_rooms)?)))))
        })
        .on("sockets-disconnect", |call| or_err(manage(call, |Manage { close, .. }| Ok(Action::Disconnect { close }))))
        .on("server-side-emit", move |call| or_err(server_side_emit(call, timeout)))
        .on("server-count", |call| {
            let (hub, later) = (call.hub(), call.defer()?);
            let namespace = call.namespace();
            call.spawn(async move {
                let count = hub.node_count(namespace).await;
                later.answer(answer(count.map(|n| json!({"n": n}))));
            });
            Ok(Answer::None)
        })
}

fn greet(call: &mut Call<'_, '_>) -> Result<(), Rejection> {
    // The argument of a connect is the auth object.
    let auth = call.arguments()?;
    Ok(call.emit("auth", auth)?)
}

fn let_in(call: &mut Call<'_, '_>) -> Result<(), Rejection> {
    if call.arg::<Value>(0)?["token"] == "let-me-in" {
        return Ok(());
    }
    Err(Rejection::new("unauthorized").with(json!({"code": 401})))
}

fn whoami(call: &mut Call<'_, '_>, node: &str) -> Value {
    let query: BTreeMap<_, _> =
        call.handshake().map_or_else(BTreeMap::new, |said| said.query.iter().cloned().collect());
    json!({
        "id": call.sid().as_str(), "node": node, "nsp": call.namespace_name(),
        "transport": call.transport().label(), "recovered": call.recovered(), "query": query,
    })
}

fn join(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let rooms = named(call.arg(0)?);
    rooms.iter().try_for_each(|room| call.join(room).map(drop))?;
    Ok(call.once_heard(&rooms, Answer::json(&json!({"ok": true}))?))
}

fn leave(call: &mut Call<'_, '_>) -> Result<Value, Refusal> {
    named(call.arg(0)?).iter().for_each(|room| {
        call.leave(room);
    });
    Ok(json!({"ok": true}))
}

/// A room, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    One(Box<str>),
    Many(Vec<Box<str>>),
}

fn named(names: Names) -> Vec<Box<str>> {
    match names {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    }
}

// === broadcasts and questions ===

#[derive(Debug, Deserialize)]
struct Cast {
    rooms: Option<Names>,
    except: Option<Names>,
    event: String,
    #[serde(default)]
    args: Vec<Argument>,
    #[serde(default, rename = "self")]
    with_sender: bool,
    #[serde(default)]
    volatile: bool,
    #[serde(default)]
    local: bool,
    timeout: Option<u64>,
}

impl Cast {
    fn whom<'a, 'cx>(&mut self, call: &'a mut Call<'_, 'cx>) -> To<'a, 'cx> {
        let [rooms, except] = [self.rooms.take(), self.except.take()].map(|names| names.map(named).unwrap_or_default());
        call.to(rooms).except(except)
    }
}

fn cast(call: &mut Call<'_, '_>) -> Result<Value, Refusal> {
    let mut cast: Cast = call.arg(0)?;
    let arguments = Arguments::of(&cast.args)?;
    let mut to = cast.whom(call);
    if cast.with_sender {
        to = to.with_sender();
    }
    if cast.volatile {
        to = to.volatile();
    }
    if cast.local {
        to = to.local();
    }
    to.emit(&cast.event, &arguments)?;
    Ok(json!({"ok": true}))
}

/// What was asked of one client or of many.
#[derive(Debug, Serialize)]
struct Report {
    err: Option<&'static str>,
    answers: Vec<Argument>,
}

const TIMED_OUT: &str = "operation has timed out";
const NODES_TIMED_OUT: &str = "timeout reached while waiting for the other nodes";

fn cast_ack(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let mut cast: Cast = call.arg(0)?;
    let (arguments, timeout) = (Arguments::of(&cast.args)?, Duration::from_millis(cast.timeout.unwrap_or(ASK_MS)));
    let answers = cast.whom(call).with_sender().gather(&cast.event, &arguments, timeout)?;
    let later = call.defer()?;
    call.spawn(async move {
        let gathered = answers.all().await;
        // Of each answer the first argument counts.
        let first = |answer: &Arguments| answer.parse::<Vec<Argument>>().ok()?.into_iter().next();
        let answers = gathered.answers.iter().map(|answer| first(answer).unwrap_or_default()).collect();
        let err = (gathered.missing > 0).then_some(TIMED_OUT);
        later.answer(Answer::json(&Report { err, answers }));
    });
    Ok(Answer::None)
}

fn ask_me(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let event: String = call.arg(0)?;
    let args: Option<Vec<Argument>> = call.arg(1)?;
    let ms: Option<u64> = call.arg(2)?;
    let arguments = Arguments::of(&args.unwrap_or_default())?;
    let answer = call.emit_with_ack(&event, arguments, Duration::from_millis(ms.unwrap_or(ASK_MS)))?;
    let later = call.defer()?;
    call.spawn(async move {
        let answers = answer.await.ok().and_then(|answer| answer.parse().ok());
        let err = answers.is_none().then_some(TIMED_OUT);
        later.answer(Answer::json(&Report { err, answers: answers.unwrap_or_default() }));
    });
    Ok(Answer::None)
}

// === all sessions ===

#[derive(Debug, Deserialize)]
struct Manage {
    #[serde(rename = "in")]
    of: Option<Names>,
    rooms: Option<Names>,
    #[serde(default)]
    close: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Fetch {
    rooms: Option<Names>,
    #[serde(default)]
    local: bool,
}

/// What clients hear of another node's word.
#[derive(Debug, Serialize)]
struct GotFromNode<'a> {
    node: &'a str,
    args: &'a [Argument],
}

fn no_rooms() -> Refusal {
    Refusal::new(Code::BadPacket, "which rooms?")
}

fn manage(call: &mut Call<'_, '_>, action: impl Fn(Manage) -> Result<Action, Refusal>) -> Result<Answer, Refusal> {
    let mut asked: Manage = call.arg(0)?;
    let rooms = asked.of.take().map(named).unwrap_or_default();
    let selection = Selection { namespace: call.namespace(), rooms, except: Vec::new() };
    let (action, hub, later) = (action(asked)?, call.hub(), call.defer()?);
    call.spawn(async move {
        let done = hub.manage(selection, action).await;
        later.answer(answer(done.map(|_| json!({"ok": true}))));
    });
    Ok(Answer::None)
}

fn fetch(call: &mut Call<'_, '_>, timeout: Duration) -> Result<Answer, Refusal> {
    let asked: Option<Fetch> = call.arg(0)?;
    let Fetch { rooms, local } = asked.unwrap_or_default();
    let rooms = rooms.map(named).unwrap_or_default();
    let selection = Selection { namespace: call.namespace(), rooms, except: Vec::new() };
    let (hub, later) = (call.hub(), call.defer()?);
    call.spawn(async move {
        let sockets = if local {
            hub.fetch_here(selection).await
        } else {
            match hub.fetch_sockets(selection, timeout).await {
                Ok(fetched) if fetched.missing_nodes == 0 => fetched.sockets,
                Ok(_) => return later.answer(Answer::json(&json!({"err": NODES_TIMED_OUT}))),
                Err(refusal) => return later.answer(answer(Err(refusal))),
            }
        };
        let ids: Vec<_> = sockets.iter().map(|socket| socket.id.clone()).collect();
        let rooms: BTreeMap<_, _> = sockets.into_iter().map(|socket| (socket.id, socket.rooms)).collect();
        later.answer(Answer::json(&json!({"ids": ids, "rooms": rooms})));
    });
    Ok(Answer::None)
}

fn server_side_emit(call: &mut Call<'_, '_>, timeout: Duration) -> Result<Answer, Refusal> {
    let args: Option<Vec<Argument>> = call.arg(0)?;
    let wants_ack: Option<bool> = call.arg(1)?;
    let arguments = Arguments::of(&args.unwrap_or_default())?;
    let (hub, namespace) = (call.hub(), call.namespace());
    if wants_ack != Some(true) {
        hub.tell_nodes(namespace, "sse-test", &arguments)?;
        return Answer::json(&json!({"ok": true}));
    }
    let later = call.defer()?;
    call.spawn(async move {
        let heard = match hub.emit_to_nodes(namespace, "sse-test", &arguments, timeout).await {
            Ok(heard) => heard,
            Err(refusal) => return later.answer(answer(Err(refusal))),
        };
        let first = |answer: &Arguments| answer.parse::<Vec<Argument>>().ok()?.into_iter().next();
        let answers = heard.answers.iter().map(|answer| first(answer).unwrap_or_default()).collect();
        let err = (heard.missing_nodes > 0).then_some(NODES_TIMED_OUT);
        later.answer(Answer::json(&Report { err, answers }));
    });
    Ok(Answer::None)
}

/// Says to the clients here what another node says, and who heard it to that node.
fn heard_from_node(hub: &Hub, event: &NodeEvent, node: &str) -> Option<Arguments> {
    let args: Vec<Argument> = event.arguments.parse().ok()?;
    let got = Arguments::of(&[GotFromNode { node, args: &args }]).ok()?;
    hub.emit_here(event.namespace, "sse-got", &got).ok()?;
    Arguments::of(&[GotFromNode { node, args: &args }]).ok()
}

// === answers ===

/// The answer, or `{err}`.
fn answer(outcome: Result<Value, Refusal>) -> Result<Answer, Refusal> {
    or_err(outcome.and_then(|value| Answer::json(&value)))
}

/// Wrong arguments end nothing: the ack says what is wrong.
fn or_err(outcome: Result<Answer, Refusal>) -> Result<Answer, Refusal> {
    outcome.or_else(|refusal| Answer::json(&json!({"err": refusal.detail})))
}
