//! The scenarios: what is connected, what is sent, what is measured.

pub(crate) mod autoscale;
pub(crate) mod avalanche;
pub(crate) mod chaos;
pub(crate) mod drain;
pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod incidents;
pub(crate) mod jitter;
pub(crate) mod ownership;
pub(crate) mod pages;
pub(crate) mod ramp;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod setting;
pub(crate) mod side_by_side;
mod talk;
pub(crate) mod trouble;
