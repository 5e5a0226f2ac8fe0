//! Builds the publish frames: constant text around a mark of fixed width.
//!
//! A room's text up to the mark is made once; a publish copies it, writes the digits and appends
//! shared filler.

use super::dialect::Wire;
use super::frame;
use crate::mark::{MARK_LEN, Mark, Tag, write_eight};

/// First ack id; eight digits without a leading zero, so that it is a valid number.
const FIRST_ACK: u64 = 10_000_000;
/// How many ack ids there are before they start again.
const ACK_IDS: u64 = 90_000_000;
/// Stands in the text for an ack id until the id is known.
const ACK_PLACE: &str = "########";
/// Text between the mark and the filler.
const BEFORE_FILL: &[u8] = b"\",\"fill\":\"";

/// What all publish frames of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    wire: Wire,
    tag: Tag,
    size: usize,
    acks: bool,
    filler: Vec<u8>,
}

/// One room's part of its publish frames: everything up to the mark.
#[derive(Clone, Debug)]
pub(crate) struct RoomText {
    head: Vec<u8>,
    ack_at: Option<usize>,
    fill: usize,
}

impl Template {
    /// A template for data objects of `size` bytes.
    pub(crate) fn new(wire: Wire, tag: Tag, size: usize, acks: bool) -> Self {
        Self { wire, tag, size, acks, filler: vec![b'x'; size] }
    }

    /// Prepares `room`'s text.
    pub(crate) fn room(&self, room: &str) -> RoomText {
        let text = match (self.wire, self.acks) {
            (Wire::Socketio, true) => {
                format!("42{ACK_PLACE}[\"message\",{{\"room\":\"{room}\",\"mark\":\"")
            }
            (Wire::Socketio, false) => {
                format!("42[\"message\",{{\"room\":\"{room}\",\"mark\":\"")
            }
            (Wire::Json, true) => format!(
                "{{\"id\":{ACK_PLACE},\"publish\":\"{room}\",\"event\":\"message\",\
                 \"data\":{{\"mark\":\""
            ),
            (Wire::Json, false) => {
                format!("{{\"publish\":\"{room}\",\"event\":\"message\",\"data\":{{\"mark\":\"")
            }
        };
        let object = text.len() - text.rfind('{').unwrap_or(0);
        let fill = self.size.saturating_sub(object + MARK_LEN + BEFORE_FILL.len() + 2);
        let length = text.len() + MARK_LEN + BEFORE_FILL.len() + fill + self.end().len();
        let mut head = Vec::with_capacity(text.len() + 14);
        frame::append_head(&mut head, frame::TEXT, length);
        let ack_at = text.find(ACK_PLACE).map(|at| head.len() + at);
        head.extend_from_slice(text.as_bytes());
        RoomText { head, ack_at, fill }
    }

    /// Appends the frame that publishes `mark`.
    #[inline]
    pub(crate) fn append(&self, out: &mut Vec<u8>, room: &RoomText, mark: &Mark) {
        let start = out.len();
        out.extend_from_slice(&room.head);
        if let Some(at) = room.ack_at {
            let id = FIRST_ACK + mark.sequence % ACK_IDS;
            write_eight(&mut out[start + at..start + at + 8], id);
        }
        mark.append(&self.tag, out);
        out.extend_from_slice(BEFORE_FILL);
        out.extend_from_slice(&self.filler[..room.fill]);
        out.extend_from_slice(self.end());
    }

    fn end(&self) -> &'static [u8] {
        match self.wire {
            Wire::Socketio => b"\"}]",
            Wire::Json => b"\"}}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark;

    fn published(wire: Wire, size: usize, acks: bool) -> String {
        let template = Template::new(wire, mark::tag(1), size, acks);
        let mut out = Vec::new();
        let mark = Mark { room: 17, publisher: 0, sequence: 5, intended: 1 };
        template.append(&mut out, &template.room("room-17"), &mark);
        assert_eq!(out[0], 0x81);
        let start = if out[1] & 0x7f == 126 { 8 } else { 6 };
        let declared = match out[1] & 0x7f {
            126 => usize::from(u16::from_be_bytes([out[2], out[3]])),
            short => usize::from(short),
        };
        assert_eq!(out[start - 4..start], [0; 4], "zero mask key");
        assert_eq!(out.len() - start, declared);
        String::from_utf8(out[start..].to_vec()).unwrap()
    }

    #[test]
    fn the_socketio_object_has_the_size_asked_for() {
        let text = published(Wire::Socketio, 1_024, false);
        let json: serde_json::Value = serde_json::from_str(&text[2..]).unwrap();
        assert_eq!(json[0], "message");
        assert_eq!(json[1]["room"], "room-17");
        assert_eq!(text.len(), 1_024 + "42[\"message\",]".len());
    }

    #[test]
    fn the_json_object_has_the_size_asked_for() {
        let text = published(Wire::Json, 200, true);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["id"], 10_000_005);
        assert_eq!(json["publish"], "room-17");
        assert_eq!(json["data"].to_string().len(), 200);
    }

    #[test]
    fn an_ack_id_follows_the_packet_type() {
        let text = published(Wire::Socketio, 10, true);
        assert!(text.starts_with("4210000005[\"message\","), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text[10..]).is_ok());
    }
}
