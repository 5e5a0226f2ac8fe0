//! Tests of the house as a whole: one binary, one module for each subject.

// `cfg(test)` is always true here; it tells clippy that the modules are tests, where `unwrap` is fine.
#[cfg(test)]
mod abuse;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod embedding;
#[cfg(test)]
mod encode;
#[cfg(test)]
mod entrances;
#[cfg(test)]
mod envelopes;
#[cfg(test)]
mod every_door;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod http;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod native;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod polling;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod recovery;
mod redis_servers;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod socketio;
#[cfg(test)]
mod source;
#[cfg(test)]
mod sse;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tls;
