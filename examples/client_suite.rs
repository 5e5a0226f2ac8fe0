//! The application that socket.io-client's own test suite asks of the server it is pointed at.
//!
//! `cargo run --example client_suite -- --port 3210`

use clap::Parser;
use roomcast::app::{App, Mode};
use roomcast::config::Settings;
use roomcast::hub::SessionEvent;
use roomcast::lifecycle::unix_millis;
use roomcast::protocol::arguments::{Argument, Arguments, Binary};
use roomcast::protocol::refusal::{Code, Refusal};
use roomcast::protocol::utc;
use roomcast::session::{Answer, Call, Namespace, Rejection};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a handshake is held: some tests of the suite are about time-outs that would never be reached otherwise.
const HELD: Duration = Duration::from_millis(10);

/// The server for socket.io-client's own suite.
#[derive(Debug, Parser)]
struct Options {
    /// Port on all addresses of this machine
    #[arg(long, default_value_t = 3_210)]
    port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut settings = Settings::default();
    settings.listen.listen = SocketAddr::from(([0, 0, 0, 0], Options::parse().port));
    settings.listen.admin_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.listen.allow_origins = vec!["*".to_owned()];
    settings.recovery.recovery_window = Duration::from_secs(120);
    settings.heartbeat.ping_interval = Duration::from_secs(2);
    settings.limits.max_packet_bytes = 1_000_000;
    settings.limits.packets_per_second = 0;
    (settings.drain.drain_delay, settings.drain.drain_window) = (Duration::ZERO, Duration::ZERO);
    let mut builder = App::builder().keep_handshake(true).namespace("/", main_namespace);
    for name in ["/timeout_socket", "/valid", "/asd"] {
        builder = builder.namespace(name, Namespace::without_vocabulary);
    }
    let app = builder
        .admit(|_| async {
            tokio::time::sleep(HELD).await;
            Ok(())
        })
        .namespace("/foo", |namespace| namespace.without_vocabulary().on("getId", id))
        .namespace("/abc", |namespace| {
            namespace.without_vocabulary().on_connect(|call| {
                let said = Arguments::of(&(handshake(call),)).map_err(Refusal::from)?;
                Ok(call.emit("handshake", said)?)
            })
        })
        .namespace("/no", |namespace| {
            namespace.without_vocabulary().on_connect(|_| Err(Rejection::new("Auth failed (custom namespace)")))
        })
        .build(settings, Mode::Open)?;
    writeln!(std::io::stdout(), "listening on {}", app.public_address()?)?;
    app.run(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

fn main_namespace(namespace: Namespace) -> Namespace {
    let namespace = namespace
        .without_vocabulary()
        .ignoring_unknown_events()
        .on_connect(|call| {
            let fails = call.handshake().is_some_and(|said| said.query.iter().any(|(key, _)| key == "fail"));
            if fails { Err(Rejection::new("Auth failed (main namespace)")) } else { Ok(()) }
        })
        .on("getId", id)
        .on("getHandshake", |call| Answer::json(&handshake(call)))
        .on("echo", |call| Answer::json(&call.arg::<Argument>(0)?))
        .on("ack", ask)
        .on("hi", |call| say(call, "hi", Arguments::none()))
        .on("false", |call| say(call, "false", Arguments::json("false")))
        .on("getAckDate", |_| Answer::json(&now()))
        .on("getDate", |call| say(call, "takeDate", Arguments::of(&(now(),))?))
        .on("getDateObj", |call| say(call, "takeDateObj", Arguments::of(&(json!({"date": now()}),))?))
        .on("getUtf8", |call| {
            for text in ["てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"] {
                call.emit("takeUtf8", Arguments::of(&(text,))?)?;
            }
            Ok(Answer::None)
        });
    binary(namespace)
}

/// Events that carry binary, or check that it arrives as such, and in order.
fn binary(namespace: Namespace) -> Namespace {
    let bytes = || Binary(b"asdfasdf".as_slice().into());
    namespace
        .on("doge", move |call| say(call, "doge", Arguments::of(&(bytes(),))?))
        .on("getbin", move |call| say(call, "takebin", Arguments::of(&(bytes(),))?))
        .on("buffa", |call| call.args::<(Binary,)>().and_then(|_| say(call, "buffack", Arguments::none())))
        .on("blob", |call| call.args::<(Binary,)>().and_then(|_| say(call, "back", Arguments::none())))
        .on("jsonbuff", |call| mixed(call, "jsonbuff-ack"))
        .on("jsonblob", |call| mixed(call, "jsonblob-ack"))
        .on("abuff1", |call| call.args::<(Binary,)>().and_then(|_| step(call, 0)))
        .on("abuff2", |call| step(call, 1).and_then(|_| say(call, "abuff2-ack", Arguments::none())))
        .on("blob1", |call| call.args::<(Binary,)>().and_then(|_| step(call, 0)))
        .on("blob2", |call| {
            let (text,): (String,) = call.args()?;
            if text == "second" { step(call, 1) } else { Err(Refusal::new(Code::BadPacket, "not the second")) }
        })
        .on("blob3", |call| {
            call.args::<(Binary,)>().and_then(|_| step(call, 2))?;
            say(call, "blob3-ack", Arguments::none())
        })
}

fn say(call: &mut Call<'_, '_>, event: &str, arguments: Arguments) -> Result<Answer, Refusal> {
    call.emit(event, arguments).map(|()| Answer::None)
}

fn id(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    Answer::json(call.sid().as_str())
}

/// Asks the client, and says so when it got what it wanted.
fn ask(call: &mut Call<'_, '_>) -> Result<Answer, Refusal> {
    let answer = call.emit_with_ack("ack", Arguments::none(), Duration::from_secs(10))?;
    let (hub, sid) = (call.hub(), call.sid());
    call.spawn(async move {
        let right = answer.await.ok().and_then(|answer| answer.parse::<(u8, Value)>().ok());
        if right.is_some_and(|(five, object)| five == 5 && object["test"] == true)
            && let Ok(event) = SessionEvent::new("got it", Arguments::none())
        {
            // The client may have gone.
            let _gone = hub.emit(sid, event).await;
        }
    });
    Ok(Answer::None)
}

#[derive(Deserialize)]
struct Mixed {
    hello: String,
    #[serde(rename = "message")]
    _message: Binary,
    goodbye: String,
}

fn mixed(call: &mut Call<'_, '_>, answer: &str) -> Result<Answer, Refusal> {
    let (mixed,): (Mixed,) = call.args()?;
    if mixed.hello != "lol" || mixed.goodbye != "gotcha" {
        return Err(Refusal::new(Code::BadPacket, "not what was expected"));
    }
    say(call, answer, Arguments::none())
}

/// How far a client is in a sequence of events.
#[derive(Default)]
struct Steps(usize);

fn step(call: &mut Call<'_, '_>, expected: usize) -> Result<Answer, Refusal> {
    let Steps(done) = call.note();
    if *done != expected {
        return Err(Refusal::new(Code::BadPacket, "out of order"));
    }
    *done += 1;
    Ok(Answer::None)
}

fn now() -> String {
    utc::iso(i64::try_from(unix_millis()).unwrap_or(i64::MAX))
}

/// What the handshake said, in the form in which Socket.IO's servers tell it.
fn handshake(call: &Call<'_, '_>) -> Value {
    let object =
        |pairs: &[(String, String)]| pairs.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let (headers, query): (Map<_, _>, Map<_, _>) =
        call.handshake().map(|said| (object(&said.headers), object(&said.query))).unwrap_or_default();
    let url = call.handshake().map_or("", |said| &said.url);
    json!({"headers": headers, "query": query, "url": url, "auth": call.auth(), "time": now()})
}
