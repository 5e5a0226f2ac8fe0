//! Whoever signs tokens: keys, and a server that shows the public ones.

use super::{beside, within};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A private key (Ed25519).
pub(crate) struct Signer {
    kid: String,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x});
        let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self { kid: kid.to_owned(), key: EncodingKey::from_ed_der(private.as_ref()), jwk }
    }

    /// A token that says this.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// A server with a key set.
#[derive(Clone)]
pub(crate) struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    body: String,
    status: &'static str,
    fetches: usize,
    pause: Duration,
}

impl Issuer {
    /// Starts one that shows these keys.
    pub(crate) async fn start(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state =
            Arc::new(Mutex::new(State { body: String::new(), status: "200 OK", fetches: 0, pause: Duration::ZERO }));
        let issuer = Self { address: listener.local_addr().unwrap(), state };
        issuer.show(keys);
        let state = Arc::clone(&issuer.state);
        drop(beside(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, &state).await;
            }
        }));
        issuer
    }

    /// The address of the key set.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Starts one that speaks TLS. Returns it, its address, and its certificate as PEM.
    pub(crate) async fn start_secure(keys: &[&Signer]) -> (Self, String, String) {
        let issuer = Self::start(keys).await;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config =
            config.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::clone(&issuer.state));
        drop(beside(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, &state).await;
                }
            }
        }));
        let pem =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(made.cert.der()));
        (issuer, format!("https://localhost:{port}/keys"), pem)
    }

    /// Shows these keys from now on.
    pub(crate) fn show(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|signer| &signer.jwk).collect();
        self.show_text(json!({ "keys": keys }).to_string());
    }

    /// Shows this from now on.
    pub(crate) fn show_text(&self, body: String) {
        let mut state = self.state.lock().unwrap();
        (state.body, state.status) = (body, "200 OK");
    }

    /// Has nothing to say from now on.
    pub(crate) fn fail(&self) {
        self.state.lock().unwrap().status = "500 Internal Server Error";
    }

    /// Sends whoever asks elsewhere from now on.
    pub(crate) fn redirect(&self) {
        self.state.lock().unwrap().status = "302 Found\r\nLocation: /elsewhere";
    }

    /// Takes so long for each answer from now on.
    pub(crate) fn take(&self, pause: Duration) {
        self.state.lock().unwrap().pause = pause;
    }

    /// How often it was asked.
    pub(crate) fn fetches(&self) -> usize {
        self.state.lock().unwrap().fetches
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if within("a request for keys", stream.read(&mut byte)).await.unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    assert!(request.starts_with(b"GET /keys HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&request));
    let pause = state.lock().unwrap().pause;
    tokio::time::sleep(pause).await;
    let answer = {
        let mut state = state.lock().unwrap();
        state.fetches += 1;
        format!("HTTP/1.1 {}\r\nContent-Length: {}\r\n\r\n{}", state.status, state.body.len(), state.body)
    };
    // Whoever asked may have had enough.
    let _gone = stream.write_all(answer.as_bytes()).await;
    let _closed = stream.shutdown().await;
}
