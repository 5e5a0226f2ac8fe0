//! roomcast.
pub mod app;
pub mod cli;
pub mod config;
pub mod http;
pub mod hub;
pub mod lifecycle;
pub mod metrics;
pub mod protocol;
pub mod session;
pub mod telemetry;
pub mod transport;
