//! Looks at the world around the run: the server's process, its metrics, and the machine.

pub(crate) mod broker;
pub(crate) mod host;
pub(crate) mod metrics;
pub(crate) mod process;
pub(crate) mod series;
pub(crate) mod watching;
