//! A socket with what waits to be written to it and what has come incompletely.

use std::net::SocketAddr;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::fleet::sockets;

/// A connection, established once it could be written to.
#[derive(Debug)]
pub(super) struct Pipe {
    socket: OwnedFd,
    /// What waits to be written.
    pub(super) out: Vec<u8>,
    /// What has come and is not complete.
    rest: Vec<u8>,
}

/// Begins to connect; `mark` says later what is ready.
pub(super) fn open(poll: &OwnedFd, target: SocketAddr, mark: u64) -> Result<Pipe, String> {
    let opened = sockets::open(target, None).and_then(|socket| {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poll, &socket, EventData::new_u64(mark), interest)?;
        Ok(Pipe { socket, out: Vec::new(), rest: Vec::new() })
    });
    opened.map_err(|error| format!("connect: {error}"))
}

impl Pipe {
    /// Writes as much as the socket takes.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        while !self.out.is_empty() {
            match rustix::net::send(&self.socket, &self.out, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.out.drain(..sent)),
                // not yet connected
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(error) => return Err(format!("send: {error}")),
            }
        }
        Ok(())
    }

    /// Reads until nothing is left and lets `consume` take what is complete: it returns how many bytes that were.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        to_end: bool,
        mut consume: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, String>,
    ) -> Result<(), String> {
        loop {
            let have = self.rest.len();
            if buffer.len() < have * 2 {
                buffer.resize(have * 2, 0);
            }
            buffer[..have].copy_from_slice(&self.rest);
            let space = buffer.len() - have;
            let got = match rustix::net::recv(&self.socket, &mut buffer[have..], RecvFlags::empty()) {
                Ok((0, _)) => return Err("the connection was closed".to_owned()),
                Ok((got, _)) => got,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(format!("receive: {error}")),
            };
            let bytes = &buffer[..have + got];
            let used = consume(bytes, &mut self.out)?;
            self.rest.clear();
            self.rest.extend_from_slice(&bytes[used..]);
            if got < space && !to_end {
                return Ok(());
            }
        }
    }
}
