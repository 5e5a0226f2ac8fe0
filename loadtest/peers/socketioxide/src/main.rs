//! socketioxide on axum, configured for throughput, speaking the room vocabulary.
//!
//! `PORT=4002 PING_INTERVAL_MS=25000 RUNTIME=multi roomcast-peer-socketioxide` (or the port as the first argument).

use std::{
    borrow::Cow,
    collections::HashMap,
    env,
    error::Error,
    net::Ipv4Addr,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, serve::ListenerExt};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use socketioxide::{
    SocketIo,
    adapter::LocalAdapter,
    extract::{AckSender, SocketRef},
    handler::{FromMessageParts, MessageHandler, Value},
    socket::Socket,
};
use tokio::{net::TcpSocket, runtime};

#[cfg(not(feature = "system-malloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The only part of an argument that the server looks at; everything else is passed over unread.
#[derive(Deserialize)]
struct Addressed<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
}

#[derive(Serialize)]
struct Joined<'a> {
    room: &'a str,
    members: usize,
}

#[derive(Serialize)]
struct Done<'a> {
    room: &'a str,
}

/// Splits `["event",{…}]` into the room and the argument's own text, both borrowed from the packet.
fn addressed(packet: &Value) -> Option<(Cow<'_, str>, &RawValue)> {
    let (_, argument): (IgnoredAny, &RawValue) = serde_json::from_str(packet.as_str()?).ok()?;
    let Addressed { room } = serde_json::from_str(argument.get()).ok()?;
    Some((room, argument))
}

fn ack(socket: &Arc<Socket>, packet: &mut Value, id: Option<i64>, answer: &impl Serialize) {
    if id.is_some()
        && let Ok(sender) = AckSender::from_message_parts(socket, packet, &id)
    {
        sender.send(answer).ok();
    }
}

/// Members per room: socketioxide has no such count, and collecting the members to count them would make a big room's joins quadratic.
#[derive(Clone, Default)]
struct Members(Arc<Mutex<HashMap<String, usize>>>);

impl Members {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, room: &str) {
        let mut rooms = self.lock();
        if let Some(members) = rooms.get_mut(room) {
            *members -= 1;
            if *members == 0 {
                rooms.remove(room);
            }
        }
    }
}

// The handlers implement `MessageHandler` themselves: a closure would be spawned as a task of its own for every packet, which
// costs more and lets two messages of one sender overtake each other.

struct Join(Members);

impl MessageHandler<LocalAdapter, Join> for Join {
    fn call(&self, socket: Arc<Socket>, mut packet: Value, id: Option<i64>) {
        let Some((room, _)) = addressed(&packet) else { return };
        let room = room.into_owned();
        let is_new = !socket.rooms().iter().any(|joined| *joined == room);
        let members = {
            let mut rooms = self.0.lock();
            let members = rooms.entry(room.clone()).or_default();
            *members += usize::from(is_new);
            *members
        };
        socket.join(room.clone());
        ack(&socket, &mut packet, id, &Joined { room: &room, members });
    }
}

struct Leave(Members);

impl MessageHandler<LocalAdapter, Leave> for Leave {
    fn call(&self, socket: Arc<Socket>, mut packet: Value, id: Option<i64>) {
        let Some((room, _)) = addressed(&packet) else { return };
        let room = room.into_owned();
        if socket.rooms().iter().any(|joined| *joined == room) {
            socket.leave(room.clone());
            self.0.leave(&room);
        }
        ack(&socket, &mut packet, id, &Done { room: &room });
    }
}

struct Say;

impl MessageHandler<LocalAdapter, Say> for Say {
    fn call(&self, socket: Arc<Socket>, mut packet: Value, id: Option<i64>) {
        let Some((room, argument)) = addressed(&packet) else { return };
        // The in-memory adapter's broadcast is ready at once.
        socket.within(room.clone().into_owned()).emit("message", argument).now_or_never();
        if id.is_some() {
            let room = room.into_owned();
            ack(&socket, &mut packet, id, &Done { room: &room });
        }
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let port = env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or_else(|| setting("PORT", 3000));
    let host = setting("HOST", Ipv4Addr::LOCALHOST);
    let ping_interval = Duration::from_millis(setting("PING_INTERVAL_MS", 25_000));

    let (layer, io) = SocketIo::builder()
        .ping_interval(ping_interval)
        .ping_timeout(Duration::from_secs(20))
        .max_payload(1_000_000)
        // Packets waiting for one socket; the default of 128 loses messages early under load.
        .max_buffer_size(4_096)
        .build_layer();

    let members = Members::default();
    io.ns("/", async move |socket: SocketRef| {
        socket.on("joinRoom", Join(members.clone()));
        socket.on("join", Join(members.clone()));
        socket.on("leaveRoom", Leave(members.clone()));
        socket.on("leave", Leave(members.clone()));
        socket.on("message", Say);
        socket.on_disconnect(async move |socket: SocketRef| {
            for room in socket.rooms() {
                members.leave(&room);
            }
        });
    });

    let listener = TcpSocket::new_v4()?;
    listener.set_reuseaddr(true)?;
    listener.bind((host, port).into())?;
    let listener = listener.listen(4_096)?.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    println!("socketioxide on {host}:{port}, ping every {} ms", ping_interval.as_millis());
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut runtime = match env::var("RUNTIME").as_deref() {
        Ok("current") => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(serve())
}
