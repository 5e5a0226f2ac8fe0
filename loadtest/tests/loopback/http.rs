//! The tiny room server's sessions that are carried by HTTP. It keeps the order that the protocol asks for, and hangs up on
//! who does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// An event stream: hello, and a comment that keeps it open.
pub(crate) fn stream(mut stream: TcpStream) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    write!(stream, "{head}28\r\nevent: server.hello\ndata: {{\"sid\":\"s-1\"}}\n\n\r\n3\r\n:\n\n\r\n").ok()?;
    let mut end = Vec::new();
    stream.read_to_end(&mut end).ok()?;
    assert!(end.is_empty(), "who listens says nothing");
    Some(())
}

/// Long-polling: what a session says, it hears an answer to in its next poll; then its poll waits.
pub(crate) fn poll(mut stream: TcpStream) -> Option<()> {
    let mut requests = BufReader::new(stream.try_clone().ok()?);
    answer(&mut stream, "0{\"sid\":\"p-1\",\"pingInterval\":25000}")?;
    for (said, heard) in [("40", "40{\"sid\":\"n\"}\x1e2"), ("420[\"joinRoom\"", "430[{}]")] {
        let (head, body) = request(&mut requests)?;
        assert!(head.starts_with("POST /socket.io/?EIO=4&transport=polling&sid=p-1 "), "{head}");
        assert!(body.starts_with(said), "{body}");
        assert!(said == "40" || body.ends_with("\x1e3"), "{body}");
        answer(&mut stream, "ok")?;
        let (head, _) = request(&mut requests)?;
        assert!(head.starts_with("GET /socket.io/?EIO=4&transport=polling&sid=p-1 "), "{head}");
        answer(&mut stream, heard)?;
    }
    let (head, _) = request(&mut requests)?;
    assert!(head.starts_with("GET "), "{head}");
    answer(&mut stream, "2")?;
    let (_, pong) = request(&mut requests)?;
    assert_eq!(pong, "3");
    answer(&mut stream, "ok")?;
    request(&mut requests)?;
    requests.read_to_end(&mut Vec::new()).ok().map(drop)
}

fn request(from: &mut impl BufRead) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let at = head.len();
        (from.read_line(&mut head).ok()? > 0).then_some(())?;
        if let Some(value) = head[at..].strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

fn answer(to: &mut TcpStream, body: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // in two pieces, as networks do
    let (first, second) = answer.split_at(answer.len() - 1);
    to.write_all(first.as_bytes()).ok()?;
    to.write_all(second.as_bytes()).ok()
}
