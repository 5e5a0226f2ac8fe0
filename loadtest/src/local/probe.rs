//! Asks a node whether it is ready, as a kubelet would.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest head of an answer that is looked at.
const HEAD: usize = 12;

/// The status of the answer to a GET on this machine; `None`: there was none in time.
pub(crate) fn status(port: u16, path: &str, timeout: Duration) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_does_not_answer_has_no_status() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(status(port, "/readyz", Duration::from_millis(50)), None, "accepted by the system alone");
        let answering = std::thread::spawn(move || {
            // the one above is still in the queue
            for mut stream in listener.incoming().flatten().take(2) {
                stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n").ok();
            }
        });
        assert_eq!(status(port, "/readyz", Duration::from_secs(5)), Some(503));
        answering.join().unwrap();
        assert_eq!(status(port, "/readyz", Duration::from_secs(5)), None, "nobody is there");
    }
}
