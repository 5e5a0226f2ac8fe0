//! Sockets: the only place that reads from and writes to clients.
//!
//! | file | |
//! |---|---|
//! | [`listener`] | accepts connections and gives them to the HTTP router |
//! | [`connection`] | a connection in its HTTP phase, and the way to take it over |
//! | [`door`] | every request that wants a session: WebSocket, long-polling, event stream |
//! | [`gate`] | who may come in now: rates and places |
//! | [`handshake`] | who may come in, and the answers to those who may not |
//! | [`worker`] | one thread: its sockets, their timers, the turn that writes what is due |
//! | [`entry`] | a session and what carries it |
//! | [`socket`] | a connection taken over: read once, decode in place, write once |
//! | [`pace`] | how long a connection may take to ask for something |
//! | [`relay`] | requests for sessions of other nodes |
//! | [`polling`] | a session whose requests come and go |
//! | [`stream`] | what is under a socket: TCP, or TLS on TCP |
//! | [`tls`] | TLS handshakes, sessions and certificates |
//! | [`wheel`] | the timers of all sessions of a worker |

pub mod connection;
pub mod door;
mod entry;
mod gate;
mod handshake;
pub mod listener;
mod pace;
pub mod polling;
mod relay;
mod socket;
mod stream;
mod tls;
mod wheel;
pub mod worker;

pub use door::Doors;
pub use gate::{Gate, Place};
pub use handshake::Origins;
pub use stream::{Detached, FrontStream};
pub use tls::Tls;
pub use worker::{Errand, WorkerSeat, run};
