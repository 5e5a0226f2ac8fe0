//! A slow network: relays TCP connections of this machine, with a delay and within a bandwidth.
//!
//! One thread relays all connections. A chunk that came is written once its delay is over and the chunks before it have had
//! their time on the line.
//!
//! # Invariants
//! - At most [`HELD`] bytes wait in each direction of a connection; beyond, nothing more is read, and TCP tells the sender.
//! - At most [`MOST`] connections are relayed; one more is closed at once.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

/// Bytes that may wait in each direction of a connection.
const HELD: usize = 1024 * 1024;
/// Connections that are relayed.
const MOST: usize = 20_000;
/// Largest chunk.
const CHUNK: usize = 16 * 1024;
/// Time between two rounds while something waits for its time; no delay is more exact.
const ROUND: i64 = 1_000_000;
/// The same while nothing does: how long a new connection may wait.
const LONG_ROUND: i64 = 5 * ROUND;
/// Readiness events taken at once.
const EVENTS: usize = 256;

/// From one port to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Where it is entered.
    pub(crate) from: u16,
    /// Where it leads.
    pub(crate) to: u16,
}

/// How slow the network is. Nothing: it is not.
#[derive(Debug, Default)]
struct Slowness {
    delay_us: AtomicU64,
    /// Of each connection and direction; 0: no limit.
    bytes_per_s: AtomicU64,
}

/// The relay.
#[derive(Debug)]
pub(crate) struct SlowNetwork {
    slowness: Arc<Slowness>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Lane {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    written: usize,
    free_at: Option<Instant>,
    ended: bool,
    told: bool,
}

#[derive(Debug)]
struct Connection {
    sides: [TcpStream; 2],
    /// Whether there may be something to read at a side.
    readable: [bool; 2],
    /// From the first side to the second, and back.
    lanes: [Lane; 2],
}

/// Everything that the thread has.
#[derive(Debug)]
struct Relay {
    epoll: OwnedFd,
    doors: Vec<(TcpListener, u16)>,
    slowness: Arc<Slowness>,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

impl SlowNetwork {
    /// Relays, for now without any slowness.
    pub(crate) fn start(ways: &[Way]) -> Result<Self> {
        let mut doors = Vec::new();
        for way in ways {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, way.from)).context("cannot listen")?;
            listener.set_nonblocking(true)?;
            doors.push((listener, way.to));
        }
        let (slowness, stop) = (Arc::new(Slowness::default()), Arc::new(AtomicBool::new(false)));
        let mut relay = Relay {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            doors,
            slowness: slowness.clone(),
            connections: Vec::new(),
            buffer: vec![0; CHUNK],
        };
        let until = stop.clone();
        let relay = move || {
            while !until.load(Relaxed) && relay.round().is_ok() {}
        };
        let thread = std::thread::Builder::new().name("slow network".to_owned()).spawn(relay)?;
        Ok(Self { slowness, stop, thread: Some(thread) })
    }

    /// Every chunk takes so long from now on, and every connection no more than so many bytes a second (0: as many as it likes).
    pub(crate) fn set(&self, delay: Duration, bytes_per_s: u64) {
        self.slowness.delay_us.store(delay.as_micros() as u64, Relaxed);
        self.slowness.bytes_per_s.store(bytes_per_s, Relaxed);
    }
}

impl Drop for SlowNetwork {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Relay {
    fn round(&mut self) -> Result<()> {
        for at in 0..self.doors.len() {
            while let Ok((near, _)) = self.doors[at].0.accept() {
                // whoever is not relayed sees a connection that ends, as behind any relay
                self.take(near, self.doors[at].1).ok();
            }
        }
        let mut waits = false;
        for place in &mut self.connections {
            if let Some(connection) = place {
                connection.turn(&self.slowness, &mut self.buffer);
                waits |= connection.lanes.iter().any(|lane| !lane.chunks.is_empty());
                if connection.is_over() {
                    *place = None;
                }
            }
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: if waits { ROUND } else { LONG_ROUND } };
        let mut events = Vec::with_capacity(EVENTS);
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)).ok();
        for event in &events {
            let data = event.data;
            let mark = data.u64() as usize;
            if let Some(Some(connection)) = self.connections.get_mut(mark / 2) {
                connection.readable[mark % 2] = true;
            }
        }
        Ok(())
    }

    fn take(&mut self, near: TcpStream, to: u16) -> Result<()> {
        let at = self.connections.iter().position(Option::is_none).unwrap_or(self.connections.len());
        anyhow::ensure!(at < MOST, "too many connections");
        let far = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, to)))?;
        let sides = [near, far];
        for (side, mark) in sides.iter().zip([at * 2, at * 2 + 1]) {
            side.set_nonblocking(true)?;
            side.set_nodelay(true)?;
            let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, side, EventData::new_u64(mark as u64), interest)?;
        }
        let connection = Connection { sides, readable: [true; 2], lanes: [Lane::default(), Lane::default()] };
        if at == self.connections.len() {
            self.connections.push(Some(connection));
        } else {
            self.connections[at] = Some(connection);
        }
        Ok(())
    }
}

impl Connection {
    /// Moves what can be moved.
    fn turn(&mut self, slowness: &Slowness, buffer: &mut [u8]) {
        let [near, far] = &mut self.sides;
        let [there, back] = &mut self.lanes;
        let [near_readable, far_readable] = &mut self.readable;
        *near_readable = *near_readable && there.read(near, slowness, buffer);
        *far_readable = *far_readable && back.read(far, slowness, buffer);
        there.write(far);
        back.write(near);
        if there.is_broken() || back.is_broken() {
            // the other side is to notice at once
            for side in &self.sides {
                side.shutdown(Shutdown::Both).ok();
            }
        }
    }

    fn is_over(&self) -> bool {
        self.lanes.iter().any(Lane::is_broken) || self.lanes.iter().all(|lane| lane.told)
    }
}

impl Lane {
    /// Reads until there is no more, or no more is held. Whether there may be more to read.
    fn read(&mut self, from: &mut TcpStream, slowness: &Slowness, buffer: &mut [u8]) -> bool {
        while !self.ended && self.held < HELD {
            if !self.read_once(from, slowness, buffer) {
                return false;
            }
        }
        !self.ended
    }

    fn read_once(&mut self, from: &mut TcpStream, slowness: &Slowness, buffer: &mut [u8]) -> bool {
        match from.read(buffer) {
            Ok(0) => self.ended = true,
            Ok(got) => {
                let now = Instant::now();
                let rate = slowness.bytes_per_s.load(Relaxed);
                let on_line =
                    if rate == 0 { Duration::ZERO } else { Duration::from_secs_f64(got as f64 / rate as f64) };
                let free_at = self.free_at.unwrap_or(now).max(now) + on_line;
                self.free_at = Some(free_at);
                let due = free_at + Duration::from_micros(slowness.delay_us.load(Relaxed));
                // nothing overtakes what is under way
                let due = self.chunks.back().map_or(due, |(last, _)| due.max(*last));
                self.chunks.push_back((due, buffer[..got].to_vec()));
                self.held += got;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.break_off(),
        }
        true
    }

    fn write(&mut self, to: &mut TcpStream) {
        while let Some((due, chunk)) = self.chunks.front()
            && *due <= Instant::now()
        {
            match to.write(&chunk[self.written..]) {
                Ok(sent) => {
                    self.written += sent;
                    self.held -= sent;
                    if self.written == chunk.len() {
                        self.written = 0;
                        self.chunks.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.break_off(),
            }
        }
        if self.ended && self.chunks.is_empty() && !self.told {
            self.told = true;
            to.shutdown(Shutdown::Write).ok();
        }
    }

    /// The connection broke: what waits is of no use to anybody.
    fn break_off(&mut self) {
        self.chunks.clear();
        (self.held, self.ended, self.written) = (usize::MAX, true, 0);
    }

    fn is_broken(&self) -> bool {
        self.held == usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::free_ports;

    #[test]
    fn what_is_relayed_comes_late_whole_and_in_order() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = free_ports(1).unwrap()[0];
        let network = SlowNetwork::start(&[Way { from, to: echo.local_addr().unwrap().port() }]).unwrap();
        let echoing = std::thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut back = stream.try_clone().unwrap();
            std::io::copy(&mut stream, &mut back).unwrap();
        });
        let mut stream = TcpStream::connect(("127.0.0.1", from)).unwrap();
        let mut byte = [0];
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut byte).unwrap();

        network.set(Duration::from_millis(60), 1_000_000);
        let begun = Instant::now();
        stream.write_all(b"b").unwrap();
        stream.read_exact(&mut byte).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(120), "there and back in {:?}", begun.elapsed());

        let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let begun = Instant::now();
        let mut writer = stream.try_clone().unwrap();
        let whole = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&whole).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut came = Vec::new();
        stream.read_to_end(&mut came).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(300), "300 kB at 1 MB/s in {:?}", begun.elapsed());
        assert!(came == sent, "{} bytes of {}", came.len(), sent.len());
        writing.join().unwrap();
        echoing.join().unwrap();
    }
}
