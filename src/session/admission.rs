//! An application's word on a handshake, before anything is opened for it.

use super::HandshakeDetails;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Decides whether a handshake may go on; it may take its time, as long as a handshake may. The error is the sentence that
/// is answered.
#[derive(Clone)]
pub struct Admission(Arc<Decide>);

type Decide = dyn Fn(HandshakeDetails) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

impl Admission {
    /// Decides by `decide`.
    pub fn new<F, D>(decide: D) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
        D: Fn(HandshakeDetails) -> F + Send + Sync + 'static,
    {
        Self(Arc::new(move |handshake| Box::pin(decide(handshake))))
    }

    /// What it says of a handshake.
    ///
    /// # Errors
    /// Why it may not go on.
    pub async fn decide(&self, handshake: HandshakeDetails) -> Result<(), String> {
        (self.0)(handshake).await
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}
