//! TLS in this process: handshakes on the front, sessions on the workers, and certificates that change.
//!
//! | file | |
//! |---|---|
//! | [`session`] | a connection behind TLS on its worker |
//! | [`expiry`] | until when a certificate is valid |

mod expiry;
mod session;

pub(super) use session::TlsSocket;

use super::stream::FrontStream;
use crate::config::{Certified, TlsFiles, TlsSettings};
use crate::lifecycle::{self, Lifecycle};
use crate::metrics::{NodeStats, TlsFailure};
use rustls::ServerConfig;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;

/// The first byte of every TLS connection: a record with a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What whoever speaks plain HTTP here is told.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 39\r\n\
                         Connection: close\r\n\r\nThis address speaks TLS: use https://.\n";

/// A certificate that has less left is worth a warning.
const SOON: u64 = 14 * 24 * 3_600;

/// The front's side of TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: TlsSettings,
    current: Mutex<Current>,
    handshakes: Semaphore,
    /// Somebody wants the files to be looked at now.
    asked: Notify,
    stats: Arc<NodeStats>,
}

#[derive(Debug)]
struct Current {
    files: TlsFiles,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate and the key, if there is to be TLS.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the files.
    pub fn new(settings: &TlsSettings, stats: Arc<NodeStats>) -> Result<Option<Self>, String> {
        let Some(files) = settings.read()? else { return Ok(None) };
        let certified = files.certified()?;
        tell_expiry(&certified, &stats);
        let inner = Inner {
            settings: settings.clone(),
            current: Mutex::new(Current { files, config: certified.config }),
            handshakes: Semaphore::new(settings.max_tls_handshakes.min(Semaphore::MAX_PERMITS)),
            asked: Notify::new(),
            stats,
        };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// Makes the handshake on a new connection. `None`: there will be no session; it has been counted and answered.
    pub async fn accept(&self, tcp: TcpStream, patience: Duration) -> Option<FrontStream> {
        let stats = &self.inner.stats;
        let Ok(_permit) = self.inner.handshakes.try_acquire() else {
            stats.tls_failure(TlsFailure::TooMany);
            return None;
        };
        match tokio::time::timeout(patience, self.shake_hands(tcp)).await {
            Ok(Ok(stream)) => {
                stats.tls_handshakes.add_shared(1);
                Some(stream)
            }
            Ok(Err(failure)) => {
                stats.tls_failure(failure);
                None
            }
            Err(_) => {
                stats.tls_failure(TlsFailure::TimedOut);
                None
            }
        }
    }

    async fn shake_hands(&self, mut tcp: TcpStream) -> Result<FrontStream, TlsFailure> {
        let mut first = [0];
        let seen = tcp.peek(&mut first).await;
        if seen.is_ok_and(|seen| seen > 0) && first[0] != HANDSHAKE_RECORD {
            // Most often somebody who wrote http:// in place of https://.
            let _gone = tcp.write_all(SPEAK_TLS.as_bytes()).await;
            return Err(TlsFailure::NotTls);
        }
        let config = Arc::clone(&self.current().config);
        match TlsAcceptor::from(config).accept(tcp).await {
            Ok(stream) => Ok(FrontStream::Tls(Box::new(stream))),
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                Err(TlsFailure::Failed)
            }
        }
    }

    /// Has [`Tls::watch`] look at the files now.
    pub fn look(&self) {
        self.inner.asked.notify_one();
    }

    /// Takes up new files when they have changed, until the process ends: now and then, and when it is asked to look. What
    /// cannot be used changes nothing.
    pub async fn watch(self, lifecycle: Lifecycle) {
        let every = self.inner.settings.tls_reload;
        let mut was_bad = None;
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(every), if !every.is_zero() => false,
                () = self.inner.asked.notified() => true,
                () = lifecycle.stopping() => return,
            };
            match self.reload() {
                Ok(changed) => {
                    if asked && !changed {
                        tracing::info!("the certificate for TLS has not changed");
                    }
                    was_bad = None;
                }
                Err(problem) => {
                    // Whoever asks is answered; otherwise one line says it.
                    if asked || was_bad.as_ref() != Some(&problem) {
                        tracing::error!(problem, "the new certificate cannot be used; the old one stays");
                    }
                    was_bad = Some(problem);
                }
            }
        }
    }

    /// Says whether there was something new.
    fn reload(&self) -> Result<bool, String> {
        let outcome = self.inner.settings.read().and_then(|files| {
            let Some(files) = files.filter(|files| *files != self.current().files) else { return Ok(None) };
            let certified = files.certified()?;
            Ok(Some((files, certified)))
        });
        match outcome {
            Ok(None) => Ok(false),
            Ok(Some((files, certified))) => {
                tell_expiry(&certified, &self.inner.stats);
                *self.current() = Current { files, config: certified.config };
                self.inner.stats.tls_reloads.add_shared(1);
                Ok(true)
            }
            Err(problem) => {
                self.inner.stats.tls_reload_failures.add_shared(1);
                Err(problem)
            }
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_expiry(certified: &Certified, stats: &NodeStats) {
    let not_after = expiry::not_after(&certified.certificate);
    stats.tls_not_after.set(not_after.unwrap_or_default());
    let Some(not_after) = not_after else {
        return tracing::warn!("until when the certificate is valid cannot be read");
    };
    let left = not_after.saturating_sub(lifecycle::unix_seconds());
    let days_left = left / (24 * 3_600);
    if left < SOON {
        tracing::warn!(days_left, "the certificate for TLS has to be renewed");
    } else {
        tracing::info!(days_left, "took up a certificate for TLS");
    }
}
