//! What changes about a request and its answer on the way from one node to another: what is said between two ends of one
//! connection (RFC 9110 §7.6.1) is not passed on, and the owner is told whose request it is. Pure.

use super::Astray;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{Request, Uri, Version};
use std::net::IpAddr;

/// Under this name a node shows that it is one: with the key that the owner has given to all nodes.
pub(in crate::transport) const RELAY: HeaderName = HeaderName::from_static("roomcast-relay");

/// Whose request it is.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is meant for the other end of one connection.
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    // The HTTP client says itself how long a body is.
    CONTENT_LENGTH,
    UPGRADE,
    EXPECT,
];

/// Takes away what is meant for the other end of one connection.
pub(super) fn strip(headers: &mut HeaderMap) {
    let listed = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let listed = listed.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok());
    let listed: Vec<HeaderName> = listed.collect();
    for name in OF_ONE_CONNECTION.iter().chain(&listed) {
        headers.remove(name);
    }
}

/// The request for the owner. `None`: its key or the request's address cannot be written.
pub(super) fn outgoing(astray: &Astray<'_>, body: Body, upgrades: bool) -> Option<Request<Body>> {
    let head = astray.head;
    let mut headers = head.headers.clone();
    strip(&mut headers);
    if upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    headers.remove(FORWARDED_FOR);
    if let Some(client) = astray.client {
        headers.insert(FORWARDED_FOR, client.to_string().try_into().ok()?);
    }
    let mut key = HeaderValue::from_str(&astray.owner.key).ok()?;
    key.set_sensitive(true);
    headers.insert(RELAY, key);
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(head.uri.path_and_query()?.clone());
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Some(request)
}

/// For whom a request was relayed.
pub(in crate::transport) fn client_of(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(FORWARDED_FOR)?.to_str().ok()?.parse().ok()
}

/// The head of the owner's answer to a WebSocket handshake, as the client gets it.
pub(super) fn switching_protocols(headers: &HeaderMap) -> Vec<u8> {
    let lines = headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    head.extend(lines.flatten());
    head.extend(b"\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Peer;
    use crate::lifecycle;
    use axum::http::Method;
    use std::time::Duration;

    fn relayed(lines: &[(&str, &str)], upgrades: bool) -> Request<Body> {
        let mut request = Request::builder().method(Method::POST).uri("http://rooms.example/socket.io/?sid=x");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (head, body) = request.body(Body::empty()).unwrap().into_parts();
        let owner = Peer {
            uid: "uid".into(),
            node: [1, 2, 3],
            address: "10.0.0.2:3000".into(),
            tls: false,
            key: "the key".into(),
            version: "0.1.0".into(),
            sockets: 0,
            rooms: 0,
            members: crate::protocol::peers::Members::default(),
            heard: lifecycle::now(),
        };
        let client = Some("192.0.2.7".parse().unwrap());
        outgoing(&Astray { owner: &owner, head: &head, client, patience: Duration::ZERO }, body, upgrades).unwrap()
    }

    #[test]
    fn the_owner_is_told_whose_request_it_is_and_by_nobody_else() {
        let lines =
            [("Host", "rooms.example"), ("X-Forwarded-For", "1.1.1.1"), ("Roomcast-Relay", "a"), ("Origin", "o")];
        let request =
            relayed(&[&lines[..], &[("x-forwarded-for", "2.2.2.2"), ("roomcast-relay", "b")]].concat(), false);
        let text = |name: &str| request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        let texts: [Vec<_>; 4] = ["host", "x-forwarded-for", "roomcast-relay", "origin"].map(text);
        assert_eq!(texts, [vec!["rooms.example"], vec!["192.0.2.7"], vec!["the key"], vec!["o"]]);
        assert_eq!(request.uri(), "/socket.io/?sid=x");
        assert_eq!(client_of(request.headers()), Some("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn what_is_said_between_two_ends_of_a_connection_stays_there() {
        let lines = [
            ("Connection", "close, X-Secret"),
            ("X-Secret", "1"),
            ("Keep-Alive", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "3"),
            ("Expect", "100-continue"),
            ("Upgrade", "h2c"),
        ];
        let request = relayed(&lines, false);
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-forwarded-for", "roomcast-relay"]);
        let request = relayed(&lines, true);
        assert_eq!(
            (&request.headers()["connection"], &request.headers()["upgrade"]),
            (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
    }
}
