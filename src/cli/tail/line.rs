//! One line for each event.

use super::connection::Packet;
use crate::protocol::utc::{clock, rfc3339};
use serde::Serialize;
use serde_json::value::RawValue;

/// Columns that are kept for the name of an event.
const EVENT_WIDTH: usize = 16;

/// How events are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    /// For programs.
    Json,
    /// For people.
    Line {
        /// Columns of the longest room.
        room_width: usize,
        /// Whether the terminal shows colours.
        colour: bool,
    },
}

/// An event for programs.
#[derive(Serialize)]
struct Record<'a> {
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

impl Look {
    /// The line of an event that came at `now`, in seconds since 1970.
    pub(super) fn line(self, packet: &Packet, now: u64) -> String {
        let room = packet.room.as_deref();
        let event = packet.event.as_deref().unwrap_or_default();
        let (data, args) = (packet.data.as_deref(), packet.args.as_deref());
        let mut line = match self {
            Self::Json => {
                let record = Record { time: &rfc3339(now), room, event, data, args, seq: packet.seq };
                serde_json::to_string(&record).unwrap_or_default()
            }
            Self::Line { room_width, colour } => {
                let [dim, cyan, bold, plain] =
                    if colour { ["\x1b[2m", "\x1b[36m", "\x1b[1m", "\x1b[0m"] } else { [""; 4] };
                let time = clock(now);
                let (room, event) = (harmless(room.unwrap_or_default()), harmless(event));
                let data = harmless(data.or(args).map_or("", RawValue::get));
                format!(
                    "{dim}{time}{plain}  {cyan}{room:<room_width$}{plain}  {bold}{event:<EVENT_WIDTH$}{plain}  {data}"
                )
            }
        };
        line.push('\n');
        line
    }
}

/// Text of strangers, which must not command the terminal.
pub(super) fn harmless(text: &str) -> String {
    let is_command = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_command(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(look: Look, packet: &str) -> String {
        look.line(&serde_json::from_str(packet).unwrap(), 1_767_225_599)
    }

    #[test]
    fn programs_get_an_object_with_the_bytes_that_were_published() {
        let text = line(Look::Json, r#"{"room":"a","event":"e","data":{"n":1.0,"z":[ ]},"seq":4}"#);
        assert_eq!(
            text,
            "{\"time\":\"2025-12-31T23:59:59Z\",\"room\":\"a\",\"event\":\"e\",\"data\":{\"n\":1.0,\"z\":[ ]},\"seq\":4}\n"
        );
        let text = line(Look::Json, r#"{"room":"a","event":"e","args":[1,2]}"#);
        assert!(text.ends_with(",\"args\":[1,2]}\n"), "{text}");
        let text = line(Look::Json, r#"{"event":"e","data":1}"#);
        assert!(
            text.ends_with("Z\",\"event\":\"e\",\"data\":1}\n"),
            "what is said in several rooms names none: {text}"
        );
    }

    #[test]
    fn people_get_aligned_columns() {
        let look = Look::Line { room_width: 5, colour: false };
        assert_eq!(
            line(look, r#"{"room":"abc","event":"message","data":"hi"}"#),
            "23:59:59  abc    message           \"hi\"\n"
        );
        assert!(
            line(Look::Line { room_width: 1, colour: true }, r#"{"room":"a","event":"e"}"#)
                .contains("\x1b[36ma\x1b[0m")
        );
    }

    #[test]
    fn strangers_do_not_command_the_terminal() {
        let packet = "{\"room\":\"\\u001b]0;x\\u0007\",\"event\":\"\u{9b}2J\",\"data\":\"\u{7f}\u{202e}\"}";
        let text = line(Look::Line { room_width: 1, colour: false }, packet);
        assert_eq!(text.trim_end().chars().filter(|c| c.is_control() || *c == '\u{202e}').count(), 0, "{text:?}");
    }
}
