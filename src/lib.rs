//! roomcast: a realtime room server.
//!
//! Clients join rooms over WebSocket, as Socket.IO or as plain JSON or MessagePack; whatever is published to a room
//! reaches every member. The modules are the journey of one packet, from the wire to the rooms and back:
//!
//! | module | |
//! |---|---|
//! | [`protocol`] | bytes ⇄ packets; pure |
//! | [`hub`] | who is in which room on this node, and fan-out |
//! | [`session`] | one client from handshake to goodbye |
//! | [`transport`] | sockets: the only place that reads from and writes to clients |
//! | [`adapter`] | the other nodes: what they are told and asked, and what comes from them |
//! | [`limiter`] | what strangers may cost, by address and by key |
//! | [`incidents`] | what monitoring says, and what people do about it |
//! | [`dashboard`] | how things stand, in rooms of their own |
//! | [`store`] | what lasts: the only place with SQL |
//! | [`http`] | REST for services and operators |
//! | [`app`] | wires, runs, drains; the only one that knows everyone |
//! | [`cli`] | the commands of the program |
//!
//! Leaves that anyone may use: [`config`] (every setting), [`metrics`] (every metric), [`lifecycle`] (every task and the
//! clock), [`telemetry`] (logs). Who may name whom is held by a test, `tests/it/tidy.rs`.

pub mod adapter;
pub mod app;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod http;
pub mod hub;
pub mod incidents;
pub mod lifecycle;
pub mod limiter;
pub mod metrics;
pub mod protocol;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod transport;

/// The example of the documentation, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
mod library {}
