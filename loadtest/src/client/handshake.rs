//! Writes the HTTP upgrade and reads the server's answer.

use super::Failure;

/// The key may be any 16 bytes; with a constant one the right answer is a constant as well.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const ACCEPT: &[u8] = b"ICX+Yqv66kxgM0FcWaLWlFLwTAI=";
/// An answer's head longer than this is not a WebSocket server's.
const MAX_HEAD: usize = 16 * 1024;

/// The upgrade request for `path`, with a bearer token when there is one.
pub(crate) fn request(host: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{authorization}\r\n"
    )
    .into_bytes()
}

/// Length of the answer's head once it is complete and right; `None` while it is not complete.
pub(crate) fn answer(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD {
            Err(Failure::protocol("the upgrade's answer has no end"))
        } else {
            Ok(None)
        };
    };
    let head = &bytes[..end];
    let status = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    if !status.starts_with(b"HTTP/1.1 101") {
        let status = String::from_utf8_lossy(status);
        return Err(Failure::refused(format!("upgrade answered: {status}")));
    }
    if memchr::memmem::find(head, ACCEPT).is_none() {
        return Err(Failure::protocol("Sec-WebSocket-Accept does not match"));
    }
    Ok(Some(end + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_awaited_checked_and_measured() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: \
                     ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";
        let mut bytes = head.to_vec();
        assert_eq!(answer(&bytes[..20]).unwrap(), None);
        bytes.extend_from_slice(&[0x81, 0x00]);
        assert_eq!(answer(&bytes).unwrap(), Some(head.len()));
    }

    #[test]
    fn a_refusal_is_quoted() {
        let failure = answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert!(failure.to_string().contains("503 Service Unavailable"));
        assert!(answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
    }
}
