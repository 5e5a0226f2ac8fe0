//! Sockets: the only place that reads from and writes to clients.
//!
//! | file | |
//! |---|---|
//! | [`listener`] | accepts connections and gives them to the HTTP router |
//! | [`door`] | answers a WebSocket handshake and takes the socket over |
//! | [`handshake`] | who may come in, and the answers to those who may not |
//! | [`worker`] | one thread: its sockets, their timers, the turn that writes what is due |
//! | [`socket`] | one connection: read once, decode in place, write once |
//! | [`wheel`] | the timers of all sessions of a worker |

pub mod door;
mod handshake;
pub mod listener;
mod socket;
mod wheel;
pub mod worker;

pub use door::{Arrival, Doors};
pub use handshake::Origins;
pub use worker::{WorkerSeat, run};
