//! Goal: behind TLS everything is as it is without, and nobody can use it to hurt others. Method: certificates made here,
//! stock TLS clients, and bytes that are no TLS.

use crate::support::{PATIENCE, RawSocket, TestServer, beside, eventually, within};
use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use roomcast::config::Settings;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// A certificate for `localhost` and its key, in files of their own; the files go when this is dropped.
pub(crate) struct Certificate {
    folder: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("roomcast-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let der = write_certificate(&folder, 2_040);
        Self { folder, der }
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// Puts another certificate in its place.
    pub(crate) fn renew(&mut self, year: i32) {
        self.der = write_certificate(&self.folder, year);
    }

    pub(crate) fn use_in(&self, settings: &mut Settings) {
        (settings.tls.tls_cert, settings.tls.tls_key) = (Some(self.cert()), Some(self.key()));
        settings.tls.tls_reload = Duration::from_millis(20);
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // What is left is in the folder for temporary files.
        let _left = std::fs::remove_dir_all(&self.folder);
    }
}

fn write_certificate(folder: &std::path::Path, year: i32) -> CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("cert.pem"), pem("CERTIFICATE", certificate.der())).unwrap();
    std::fs::write(folder.join("key.pem"), pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    certificate.der().clone()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn connector(trusted: &CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(server: &TestServer, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4().unwrap();
    let stream = within("a connection", socket.connect(server.public)).await?;
    stream.set_nodelay(true)?;
    shake_hands(stream, trusted).await
}

async fn shake_hands(stream: TcpStream, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    within("a TLS handshake", connector(trusted).connect(name, stream)).await
}

/// A plain or Socket.IO client behind TLS.
struct Client {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl Client {
    async fn over(stream: TlsStream<TcpStream>, path: &str) -> Self {
        let url = format!("wss://localhost{path}");
        let config = WebSocketConfig::default().max_message_size(Some(16 << 20)).max_frame_size(Some(16 << 20));
        let opened = Box::pin(tokio_tungstenite::client_async_with_config(url, stream, Some(config)));
        Self { socket: within("a handshake", opened).await.unwrap().0 }
    }

    /// A member of a room over the plain door.
    async fn member(server: &TestServer, certificate: &Certificate, room: &str) -> Self {
        let stream = connect(server, &certificate.der).await.unwrap();
        Self::join(stream, room).await
    }

    async fn join(stream: TlsStream<TcpStream>, room: &str) -> Self {
        let mut client = Self::over(stream, "/ws").await;
        client.say(json!({"id": 0, "join": room}).to_string()).await;
        while !client.heard().await.contains("\"ok\"") {}
        client
    }

    async fn say(&mut self, text: String) {
        within("a message to be taken", self.socket.send(Message::text(text))).await.unwrap();
    }

    /// The next text.
    async fn heard(&mut self) -> String {
        loop {
            match within("a message", self.socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Close(close) => panic!("closed: {close:?}"),
                _ => {}
            }
        }
    }

    /// The next event.
    async fn event(&mut self) -> Value {
        loop {
            let packet: Value = serde_json::from_str(&self.heard().await).unwrap();
            if packet.get("event").is_some() {
                return packet;
            }
        }
    }
}

#[tokio::test]
async fn both_doors_and_the_api_speak_tls() {
    let certificate = Certificate::new("doors");
    let server = TestServer::start(|settings| certificate.use_in(settings));
    let mut plain = Client::member(&server, &certificate, "r").await;
    let mut stock =
        Client::over(connect(&server, &certificate.der).await.unwrap(), "/socket.io/?EIO=4&transport=websocket").await;
    assert!(stock.heard().await.starts_with("0{"));
    stock.say("40".into()).await;
    assert!(stock.heard().await.starts_with("40{"));
    stock.say(r#"420["join",{"room":"r"}]"#.into()).await;
    assert_eq!(stock.heard().await, r#"430[{"room":"r","members":2}]"#);
    stock.say(r#"42["message",{"room":"r","n":1}]"#.into()).await;
    assert_eq!(plain.event().await["data"]["n"], 1);
    assert_eq!(stock.heard().await, r#"42["message",{"room":"r","n":1}]"#);

    let mut http = connect(&server, &certificate.der).await.unwrap();
    assert_eq!(http.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    http.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("the answer", http.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
    assert_eq!(server.metric("roomcast_tls_handshakes_total", "").await, 3);
    assert_eq!(server.metric("roomcast_tls_certificate_expiry_seconds", "").await, 2_208_988_800);
}

#[tokio::test]
async fn event_streams_and_polls_pass_through_tls() {
    let certificate = Certificate::new("streams");
    let server = TestServer::start(|settings| certificate.use_in(settings));
    let mut stream = connect(&server, &certificate.der).await.unwrap();
    stream.write_all(b"GET /sse?room=r HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    let mut read_until = async |part: &str| {
        while !String::from_utf8_lossy(&seen).contains(part) {
            assert!(within(part, stream.read_buf(&mut seen)).await.unwrap() > 0);
        }
    };
    read_until("text/event-stream").await;
    eventually!(server.metric("roomcast_rooms", "").await == 1);
    let mut speaker = Client::member(&server, &certificate, "r").await;
    speaker.say(json!({"publish": "r", "event": "e", "data": "through TLS"}).to_string()).await;
    read_until("through TLS").await;

    let mut poll = connect(&server, &certificate.der).await.unwrap();
    let request = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    poll.write_all(request).await.unwrap();
    let mut answer = String::new();
    within("the answer", poll.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("0{\"sid\":"), "{answer}");
}

#[tokio::test]
async fn large_messages_pass_in_both_directions() {
    let certificate = Certificate::new("large");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.max_packet_bytes = 4 << 20;
        settings.limits.packets_per_second = 0;
        settings.delivery.outbox_bytes = 16 << 20;
    });
    let mut speaker = Client::member(&server, &certificate, "r").await;
    let mut listener = Client::member(&server, &certificate, "r").await;
    for bytes in [1, 1_000, 16_384, 100_000, 1 << 20, 3 << 20] {
        let text = "x".repeat(bytes);
        let said = beside(async move {
            speaker.say(json!({"publish": "r", "event": "e", "data": text}).to_string()).await;
            assert_eq!(speaker.event().await["data"].as_str().unwrap().len(), bytes);
            speaker
        });
        assert_eq!(listener.event().await["data"].as_str().unwrap().len(), bytes);
        speaker = said.await.unwrap();
    }
}

/// What waits inside of TLS when the kernel takes no more has to leave as soon as it does, without anybody saying more.
#[tokio::test]
async fn a_client_that_pauses_gets_everything_to_the_last_byte() {
    let certificate = Certificate::new("pause");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.packets_per_second = 0;
        settings.delivery.send_buffer = 16 * 1024;
        settings.delivery.outbox_bytes = 4 << 20;
    });
    let mut speaker = Client::member(&server, &certificate, "elsewhere").await;
    for count in [3, 20, 40, 150] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = socket.connect(server.public).await.unwrap();
        let room = format!("r{count}");
        let mut sleeper = Client::join(shake_hands(stream, &certificate.der).await.unwrap(), &room).await;
        for n in 0..count {
            let text = "x".repeat(7_000);
            speaker.say(json!({"id": n, "publish": room, "data": {"n": n, "text": text}}).to_string()).await;
            while !speaker.heard().await.contains("\"ok\"") {}
        }
        for n in 0..count {
            assert_eq!(sleeper.event().await["data"]["n"], n);
        }
    }
    assert_eq!(server.closes("slow-consumer").await, 0);
    eventually!(server.metric("roomcast_outbox_bytes", "").await == 0);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_and_the_others_lose_nothing() {
    let certificate = Certificate::new("slow");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.packets_per_second = 0;
        settings.delivery.send_buffer = 16 * 1024;
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(server.public).await.unwrap();
    let _sleeper = Client::join(shake_hands(stream, &certificate.der).await.unwrap(), "r").await;
    let mut speaker = Client::member(&server, &certificate, "r").await;
    let text = "x".repeat(30_000);
    for n in 0..100 {
        speaker.say(json!({"publish": "r", "data": {"n": n, "text": text}}).to_string()).await;
        assert_eq!(speaker.event().await["data"]["n"], n);
    }
    eventually!(server.closes("slow-consumer").await == 1);
    eventually!(server.open_sockets().await == 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_cut_although_little_waits() {
    let certificate = Certificate::new("stall");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.packets_per_second = 0;
        settings.delivery.send_buffer = 16 * 1024;
        settings.delivery.slow_consumer_timeout = Duration::from_millis(300);
        settings.delivery.outbox_bytes = 16 << 20;
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(server.public).await.unwrap();
    let _sleeper = Client::join(shake_hands(stream, &certificate.der).await.unwrap(), "r").await;
    let mut speaker = Client::member(&server, &certificate, "r").await;
    let text = "x".repeat(30_000);
    for n in 0..20 {
        speaker.say(json!({"publish": "r", "data": {"n": n, "text": text}}).to_string()).await;
        assert_eq!(speaker.event().await["data"]["n"], n);
    }
    eventually!(server.closes("slow-consumer").await == 1);
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_stays() {
    let certificate = Certificate::new("steady");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.packets_per_second = 0;
        settings.delivery.send_buffer = 16 * 1024;
        settings.delivery.slow_consumer_timeout = Duration::from_millis(300);
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(server.public).await.unwrap();
    let mut slow = Client::join(shake_hands(stream, &certificate.der).await.unwrap(), "r").await;
    let mut speaker = Client::member(&server, &certificate, "r").await;
    let text = "x".repeat(7_000);
    for n in 0..40 {
        speaker.say(json!({"publish": "r", "data": {"n": n, "text": text}}).to_string()).await;
        assert_eq!(speaker.event().await["data"]["n"], n);
    }
    // What waits inside of TLS takes longer to leave than a client may take nothing.
    for n in 0..40 {
        assert_eq!(slow.event().await["data"]["n"], n);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.closes("slow-consumer").await, 0);
}

#[tokio::test]
async fn a_client_that_pauses_hears_the_goodbye_behind_what_waits() {
    let certificate = Certificate::new("kicked");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.packets_per_second = 0;
        settings.delivery.send_buffer = 16 * 1024;
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = shake_hands(socket.connect(server.public).await.unwrap(), &certificate.der).await.unwrap();
    let mut paused = Client::over(stream, "/ws?room=r").await;
    let hello: Value = serde_json::from_str(&paused.heard().await).unwrap();
    let mut speaker = Client::member(&server, &certificate, "elsewhere").await;
    let text = "x".repeat(7_000);
    for n in 0..20 {
        speaker.say(json!({"id": n, "publish": "r", "data": {"n": n, "text": text}}).to_string()).await;
        while !speaker.heard().await.contains("\"ok\"") {}
    }
    let mut http = connect(&server, &certificate.der).await.unwrap();
    let sid = hello["hello"]["sid"].as_str().unwrap();
    let request = format!("DELETE /api/v1/sessions/{sid} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    http.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", http.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    for n in 0..20 {
        assert_eq!(paused.event().await["data"]["n"], n);
    }
    let goodbye = within("the goodbye", paused.socket.next()).await.unwrap().unwrap();
    assert!(matches!(&goodbye, Message::Close(Some(close)) if close.reason == "kicked"), "{goodbye:?}");
}

#[tokio::test]
async fn a_session_ends_with_a_goodbye_of_tls_too() {
    let certificate = Certificate::new("goodbye");
    let server = TestServer::start(|settings| certificate.use_in(settings));
    // The client closes; the server answers, says goodbye, and the end is a clean one.
    let mut stream = connect(&server, &certificate.der).await.unwrap();
    stream.write_all(crate::support::handshake("/ws", "").as_bytes()).await.unwrap();
    stream.write_all(&crate::support::frame(0x88, b"\x03\xe8")).await.unwrap();
    let mut all = Vec::new();
    within("the end", stream.read_to_end(&mut all)).await.expect("a goodbye before the end");
    assert!(all.ends_with(b"\x88\x0f\x03\xe8client-closed"), "{:?}", all.last_chunk::<20>());

    // The client says goodbye without a close frame.
    let mut client = Client::member(&server, &certificate, "r").await;
    client.socket.get_mut().shutdown().await.unwrap();
    eventually!(server.open_sockets().await == 0);
    assert_eq!((server.closes("client-closed").await, server.closes("connection-lost").await), (1, 1));
}

#[tokio::test]
async fn what_is_no_tls_is_answered_or_dropped_and_costs_nobody_anything() {
    let certificate = Certificate::new("garbage");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.limits.handshake_timeout = Duration::from_millis(300);
    });
    let mut member = Client::member(&server, &certificate, "r").await;
    let mut http = RawSocket::connect(server.public).await;
    http.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = http.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");

    for garbage in [
        &b"\x16\x03\x01\xff\xff"[..],
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x03\x03\x00\x00\x16\x03\x03\x00\x00",
        b"\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        &[0x16; 20_000],
        &[0; 100],
    ] {
        let mut socket = RawSocket::connect(server.public).await;
        socket.send(garbage).await;
        let mut sink = Vec::new();
        // It may be reset.
        let _ended = within("the end", socket.stream.read_to_end(&mut sink)).await;
    }
    let mut silent = RawSocket::connect(server.public).await;
    assert_eq!(silent.rest().await, "");
    assert!(server.metric("roomcast_tls_handshake_failures_total", "\"not-tls\"").await >= 2);
    assert!(server.metric("roomcast_tls_handshake_failures_total", "\"failed\"").await >= 1);
    assert!(server.metric("roomcast_tls_handshake_failures_total", "\"timed-out\"").await >= 1);

    // Garbage within a session ends that one alone.
    let mut victim = connect(&server, &certificate.der).await.unwrap();
    victim.write_all(crate::support::handshake("/ws", "").as_bytes()).await.unwrap();
    let mut some = [0; 4_096];
    assert!(within("the answer", victim.read(&mut some)).await.unwrap() > 0);
    victim.get_mut().0.write_all(b"\x17\x03\x03\x00\x20garbage that was never encrypted").await.unwrap();
    eventually!(server.open_sockets().await == 1);
    member.say(json!({"publish": "r", "data": 1}).to_string()).await;
    assert_eq!(member.event().await["data"], 1);
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn only_so_many_handshakes_are_under_way() {
    let certificate = Certificate::new("many");
    let server = TestServer::start(|settings| {
        certificate.use_in(settings);
        settings.tls.max_tls_handshakes = 2;
    });
    let held = [RawSocket::connect(server.public).await, RawSocket::connect(server.public).await];
    eventually!(server.metric("roomcast_connections_total", "").await >= 3);
    let mut third = RawSocket::connect(server.public).await;
    assert_eq!(third.rest().await, "");
    assert_eq!(server.metric("roomcast_tls_handshake_failures_total", "\"too-many\"").await, 1);
    drop(held);
    tokio::time::timeout(PATIENCE, async { while connect(&server, &certificate.der).await.is_err() {} }).await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let mut certificate = Certificate::new("renewed");
    let server = TestServer::start(|settings| certificate.use_in(settings));
    let mut old_session = Client::member(&server, &certificate, "r").await;
    let old = certificate.der.clone();
    certificate.renew(2_045);
    eventually!(connect(&server, &certificate.der).await.is_ok());
    assert!(connect(&server, &old).await.is_err(), "the old certificate is still shown");
    assert_eq!(server.metric("roomcast_tls_certificate_expiry_seconds", "").await, 2_366_841_600);

    std::fs::write(certificate.key(), "no key").unwrap();
    eventually!(server.metric("roomcast_tls_reloads_total", "failed").await >= 1);
    assert!(connect(&server, &certificate.der).await.is_ok(), "the certificate before stays");
    let other = Certificate::new("other");
    std::fs::copy(other.key(), certificate.key()).unwrap();
    let failed = server.metric("roomcast_tls_reloads_total", "failed").await;
    eventually!(server.metric("roomcast_tls_reloads_total", "failed").await >= failed + 2);
    assert!(connect(&server, &certificate.der).await.is_ok(), "a key of another certificate is not taken up");

    old_session.say(json!({"publish": "r", "data": 1}).to_string()).await;
    assert_eq!(old_session.event().await["data"], 1);
}
