//! roomcast.
pub mod protocol;
