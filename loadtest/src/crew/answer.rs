//! Reads an answer of HTTP/1.1 that says how long it is.

use memchr::memmem;

/// An answer's head longer than this is not a room server's.
const MAX_HEAD: usize = 16 * 1024;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// The number in `ETag`.
    pub(crate) version: Option<u64>,
    /// Its body.
    pub(crate) body: &'a [u8],
    /// Whether the server ends the connection with it.
    pub(crate) is_last: bool,
}

/// The answer at the start of `bytes` and how long it is; `None` while it is not complete.
pub(super) fn answer(bytes: &[u8]) -> Result<Option<(Answer<'_>, usize)>, String> {
    let Some((head, start)) = head(bytes)? else { return Ok(None) };
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or("an answer has no status")?;
    let mut answer = Answer { status, retry_after: None, version: None, body: &[], is_last: false };
    let mut length = (status == 204).then_some(0);
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("retry-after") {
            answer.retry_after = value.parse().ok();
        } else if name.eq_ignore_ascii_case("etag") {
            answer.version = value.trim_matches('"').parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            answer.is_last = value.eq_ignore_ascii_case("close");
        }
    }
    let length: usize = length.ok_or("an answer does not say how long it is")?;
    let Some(body) = bytes.get(start..start + length) else { return Ok(None) };
    Ok(Some((Answer { body, ..answer }, start + length)))
}

/// The head of an answer and how long it is; `None` while it is not complete.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(&str, usize)>, String> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD { Err("an answer's head has no end".to_owned()) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "an answer's head is no text")?;
    Ok(Some((head, end + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_awaited_to_its_last_byte() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nContent-Length: 2\r\nETag: \"7\"\r\n\r\nok";
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
        let expected = Answer { status: 503, retry_after: Some(2), version: Some(7), body: b"ok", is_last: false };
        let mut two = bytes.to_vec();
        two.extend_from_slice(b"HTTP");
        assert_eq!(answer(&two).unwrap(), Some((expected, bytes.len())));
        let last = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        assert!(answer(last).unwrap().unwrap().0.is_last);
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
