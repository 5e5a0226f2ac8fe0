//! What sessions and broadcasts allocate, counted by the allocator itself: a binary of its own, as the count is the whole
//! process's. The clients are bare sockets that allocate nothing while it is taken.
#![cfg(test)]

use clap::Parser;
use roomcast::app::{App, Mode};
use roomcast::config::Settings;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const HANDSHAKE: &[u8] =
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `40` and a join of `room`, masked with zeroes.
const CONNECT_AND_JOIN: &[u8] = b"\x81\x82\0\0\0\x0040\x81\x9b\0\0\0\x00420[\"join\",{\"room\":\"room\"}]";

/// `42["message",{"room":"room"}]`, masked with zeroes.
const PUBLISH: &[u8] = b"\x81\x9d\0\0\0\x0042[\"message\",{\"room\":\"room\"}]";

/// What a member receives of it.
const EVENT: &[u8] = b"\x81\x1d42[\"message\",{\"room\":\"room\"}]";

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Starts a server with one worker, and no limit on how fast it is spoken to.
fn start() -> SocketAddr {
    let (tell, address) = mpsc::sync_channel(1);
    #[expect(clippy::disallowed_methods, reason = "the server of this test ends with the process")]
    std::thread::spawn(move || {
        let arguments = ["it", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--workers=1"];
        let limits = ["--packets-per-second=0", "--joins-per-second=0"];
        let settings = Arguments::parse_from(arguments.into_iter().chain(limits)).settings;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::build(settings, Mode::Open).unwrap();
            tell.send(app.public_address().unwrap()).unwrap();
            app.run(std::future::pending()).await.unwrap();
        });
    });
    address.recv().unwrap()
}

/// Connects a member, reading until its join is answered.
fn join(server: SocketAddr, buffer: &mut [u8]) -> TcpStream {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(HANDSHAKE).unwrap();
    read_until(&mut socket, buffer, b"maxPayload");
    socket.write_all(CONNECT_AND_JOIN).unwrap();
    read_until(&mut socket, buffer, b"430[");
    socket
}

fn read_until(socket: &mut TcpStream, buffer: &mut [u8], wanted: &[u8]) {
    let mut filled = 0;
    while !buffer[..filled].windows(wanted.len()).any(|window| window == wanted) {
        let taken = socket.read(&mut buffer[filled..]).unwrap();
        assert!(taken > 0, "the server closed a member");
        filled += taken;
    }
}

/// Heap bytes of one idle session in a room. Measured: about 1,300. The HTTP server's read buffer, were it kept, would add
/// 8 KiB; the finished task of the HTTP connection, were it pinned by a forgotten waker, 2.2 KiB.
const SESSION_BYTES_MAX: usize = 2 * 1024;

const MEMBERS: usize = 1_000;

/// Allocations of one broadcast, whatever the number of members: its frames, the room's batch, the list of steps.
const BROADCAST_BLOCKS_MAX: u64 = 32;

#[test]
fn a_session_keeps_no_handshake_buffers_and_a_broadcast_allocates_nothing_per_member() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let server = start();
    let mut buffer = vec![0; 64 * 1024];
    let mut members: Vec<TcpStream> = Vec::with_capacity(MEMBERS);

    members.extend((0..MEMBERS / 2).map(|_| join(server, &mut buffer)));
    let before = dhat::HeapStats::get().curr_bytes;
    members.extend((0..MEMBERS / 2).map(|_| join(server, &mut buffer)));
    let each = dhat::HeapStats::get().curr_bytes.saturating_sub(before) / (MEMBERS / 2);
    println!("{each} bytes of heap for each session");
    assert!(each <= SESSION_BYTES_MAX, "{each} bytes of heap for each session");

    let broadcast = |members: &mut Vec<TcpStream>, buffer: &mut [u8]| {
        members[0].write_all(PUBLISH).unwrap();
        for member in members {
            member.read_exact(&mut buffer[..EVENT.len()]).unwrap();
            assert_eq!(&buffer[..EVENT.len()], EVENT);
        }
    };
    // The first ones make room in the queues; after them the state is steady.
    (0..3).for_each(|_| broadcast(&mut members, &mut buffer));
    let before = dhat::HeapStats::get().total_blocks;
    (0..20).for_each(|_| broadcast(&mut members, &mut buffer));
    let each = (dhat::HeapStats::get().total_blocks - before) / 20;
    assert!(each <= BROADCAST_BLOCKS_MAX, "{each} allocations for a broadcast to {MEMBERS} members");
    println!("{each} allocations for a broadcast to {MEMBERS} members");
}
