//! Just enough of an HTTP client for key sets: one GET on a connection of its own, by HTTP/1.1, with TLS where the address
//! says so. It follows no redirect and asks no proxy, so it goes nowhere but where the settings send it.

use crate::config::{AuthSettings, trusting};
use anyhow::{Context as _, bail};
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, HOST, USER_AGENT};
use axum::http::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest key set.
const KEY_SET_MAX_BYTES: usize = 256 * 1024;

/// Fetches key sets.
#[derive(Clone)]
pub(super) struct Fetcher {
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("tls", &self.tls.is_some()).finish()
    }
}

impl Fetcher {
    /// For the addresses of the settings: with the certificates that they and this machine trust, if one needs TLS.
    pub(super) fn new(auth: &AuthSettings) -> anyhow::Result<Self> {
        if !auth.auth_jwks_urls.iter().any(|set| set.url.scheme_str() == Some("https")) {
            return Ok(Self { tls: None });
        }
        let config = trusting(auth.auth_jwks_ca.as_deref()).map_err(anyhow::Error::msg);
        let config = config.context("cannot fetch key sets by https (auth-jwks-ca-file)")?;
        Ok(Self { tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    /// What is at this address.
    pub(super) async fn get(&self, url: &Uri) -> anyhow::Result<Vec<u8>> {
        let host = url.host().context("the address has no host")?;
        // An IPv6 address stands in brackets there.
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((name.as_str(), port)).await.context("cannot connect")?;
        match &self.tls {
            Some(tls) if secure => {
                let stream = tls.connect(ServerName::try_from(name)?, stream).await.context("no TLS")?;
                ask(stream, url).await
            }
            None if secure => bail!("no TLS here"),
            _ => ask(stream, url).await,
        }
    }
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, url: &Uri) -> anyhow::Result<Vec<u8>> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().context("the address has no host")?;
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("roomcast/", env!("CARGO_PKG_VERSION")))
        .body(Body::empty())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let answer = sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            bail!("answered {}", answer.status());
        }
        Ok(to_bytes(Body::new(answer.into_body()), KEY_SET_MAX_BYTES).await?.to_vec())
    };
    // The connection ends when its sender is dropped, which is when the answer is there.
    let (answer, _connection) = tokio::join!(answer, connection);
    answer
}
