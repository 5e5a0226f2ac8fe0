//! What a client keeps so as to come back to its session, as stock Socket.IO clients do: the session's private id, and the
//! offset of the last event that it heard.

use super::Client;

/// What it keeps.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pid: String,
    offset: String,
}

impl Memory {
    /// The CONNECT packet that asks for the session.
    pub(super) fn connect_packet(&self) -> String {
        if self.offset.is_empty() {
            return format!("40{}", serde_json::json!({ "pid": self.pid }));
        }
        format!("40{}", serde_json::json!({ "pid": self.pid, "offset": self.offset }))
    }
}

impl Client {
    /// Whether the answer to CONNECT says that the session goes on; if not, it is the new one that is kept.
    pub(super) fn goes_on(&mut self, payload: &[u8]) -> bool {
        let pid = quoted_after(payload, b"\"pid\":\"").unwrap_or_default();
        let memory = self.memory.get_or_insert_default();
        if !pid.is_empty() && pid == memory.pid {
            self.recovered = true;
            return true;
        }
        **memory = Memory { pid, offset: String::new() };
        false
    }

    /// Keeps the offset of an event: the text that is its last argument.
    pub(super) fn note_offset(&mut self, payload: &[u8]) {
        let (Some(memory), Some(offset)) = (&mut self.memory, offset(payload)) else { return };
        memory.offset.clear();
        memory.offset.push_str(offset);
    }
}

fn offset(payload: &[u8]) -> Option<&str> {
    let body = payload.strip_prefix(b"42[")?.strip_suffix(b"\"]")?;
    let start = memchr::memrchr(b'"', body)?;
    // an event's name alone is no offset
    body[..start].ends_with(b",").then(|| std::str::from_utf8(&body[start + 1..]).ok())?
}

fn quoted_after(payload: &[u8], name: &[u8]) -> Option<String> {
    let rest = &payload[memchr::memmem::find(payload, name)? + name.len()..];
    let end = memchr::memchr(b'"', rest)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_of_an_event_is_its_offset() {
        assert_eq!(offset(b"42[\"message\",{\"room\":\"a\"},\"k-17\"]"), Some("k-17"));
        assert_eq!(offset(b"42[\"message\",{\"room\":\"a\"}]"), None);
        assert_eq!(offset(b"42[\"message\"]"), None);
        assert_eq!(offset(b"430[{\"room\":\"a\"}]"), None);
    }

    #[test]
    fn a_session_goes_on_when_its_id_comes_back() {
        let mut client = Client::default();
        assert!(!client.goes_on(b"40{\"sid\":\"s1\",\"pid\":\"p1\"}"));
        client.note_offset(b"42[\"message\",{},\"o1\"]");
        let memory = client.memory.as_ref().unwrap();
        assert_eq!(memory.connect_packet(), "40{\"offset\":\"o1\",\"pid\":\"p1\"}");
        assert!(client.goes_on(b"40{\"sid\":\"s1\",\"pid\":\"p1\"}") && client.recovered);
        assert!(!client.goes_on(b"40{\"sid\":\"s2\",\"pid\":\"p2\"}"));
        assert_eq!(client.memory.as_ref().unwrap().connect_packet(), "40{\"pid\":\"p2\"}", "nothing of the old one");
    }
}
