//! Sockets: the only place that reads from and writes to clients.
//!
//! | file | |
//! |---|---|
//! | [`listener`] | accepts connections and gives them to the HTTP router |
//! | [`door`] | checks a WebSocket handshake and takes the socket over |
//! | [`worker`] | one thread: its sockets, their timers, the turn that writes what is due |
//! | [`socket`] | one connection: read once, decode in place, write once |
//! | [`wheel`] | the timers of all sessions of a worker |

pub mod door;
pub mod listener;
mod socket;
mod wheel;
pub mod worker;

pub use door::{Arrival, Doors, Origins};
pub use worker::{WorkerSeat, run};
