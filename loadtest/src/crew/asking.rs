//! Connections on which requests are sent, one at a time on each, and what waits for one of them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rustix::fd::OwnedFd;

use super::pipe::{self, Pipe};
use super::{Audience, answer};
use crate::clock::Clock;

/// The connections, and what waits.
#[derive(Debug)]
pub(super) struct Asking {
    /// Requests that wait for a connection, and their texts.
    pub(super) queue: VecDeque<(u64, Vec<u8>)>,
    lines: Vec<Line>,
    idle: Vec<usize>,
}

/// A connection and the request on it.
#[derive(Debug, Default)]
struct Line {
    pipe: Option<Pipe>,
    request: Option<u64>,
}

impl Asking {
    pub(super) fn new(connections: usize) -> Self {
        let lines = (0..connections).map(|_| Line::default()).collect();
        // the first ones are used first, so no more are opened than are needed
        Self { queue: VecDeque::new(), lines, idle: (0..connections).rev().collect() }
    }

    /// Gives requests to connections that are free.
    pub(super) fn send(&mut self, poll: &OwnedFd, target: SocketAddr, clock: &Clock, audience: &mut impl Audience) {
        while !self.queue.is_empty()
            && let Some(at) = self.idle.pop()
            && let Some((request, bytes)) = self.queue.pop_front()
        {
            let line = &mut self.lines[at];
            line.request = Some(request);
            let opened = match line.pipe.take() {
                Some(pipe) => Ok(pipe),
                None => pipe::open(poll, target, at as u64),
            };
            let sent = opened.and_then(|mut pipe| {
                pipe.out.extend_from_slice(&bytes);
                pipe.flush()?;
                line.pipe = Some(pipe);
                Ok(())
            });
            if let Err(why) = sent {
                self.end(at, &why, clock, audience);
            }
        }
    }

    /// Something came on a connection, or it can be written to.
    pub(super) fn ready(&mut self, at: usize, buffer: &mut Vec<u8>, clock: &Clock, audience: &mut impl Audience) {
        let line = &mut self.lines[at];
        let Some(pipe) = &mut line.pipe else { return };
        let mut is_last = false;
        let (request, idle) = (&mut line.request, &mut self.idle);
        let came = pipe.flush().and_then(|()| {
            pipe.read(buffer, false, |bytes, _| {
                let Some((answer, length)) = answer::answer(bytes)? else { return Ok(0) };
                let request = request.take().ok_or("an answer to nothing came")?;
                audience.answered(request, &answer, clock.now());
                idle.push(at);
                is_last = answer.is_last;
                Ok(length)
            })
        });
        match came {
            Err(why) => self.end(at, &why, clock, audience),
            Ok(()) if is_last => line.pipe = None,
            Ok(()) => {}
        }
    }

    /// A connection has ended; an idle one may.
    fn end(&mut self, at: usize, why: &str, clock: &Clock, audience: &mut impl Audience) {
        let line = &mut self.lines[at];
        line.pipe = None;
        if let Some(request) = line.request.take() {
            self.idle.push(at);
            audience.failed(request, why, clock.now());
        }
    }
}
