//! Names of rooms and of events: what may be one, and whose it is.

use super::json::unquote;
use super::refusal::{Code, Refusal};

/// Longest room name in bytes of UTF-8.
pub const ROOM_NAME_MAX_BYTES: usize = 255;

/// The room that hears of all incidents. Nobody but the server speaks for them, so it is reserved as names with a colon are.
pub const INCIDENTS_ROOM: &str = "incidents";

/// How the names of the rooms of single incidents begin.
pub const INCIDENT_ROOMS: &str = "incident:";

/// How the names of the rooms begin in which dashboards are shown.
pub const DASHBOARD_ROOMS: &str = "dashboard:";

/// What rooms are about, by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    /// One incident.
    Incident,
    /// A service.
    Service,
    /// A dashboard.
    Dashboard,
    /// Anything else that is reserved.
    Reserved,
    /// Whatever people like.
    Free,
}

impl RoomKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Incident, Self::Service, Self::Dashboard, Self::Reserved, Self::Free];

    /// The kind of a room.
    #[must_use]
    pub fn of(room: &str) -> Self {
        match room.split_once(':') {
            Some(("incident", _)) => Self::Incident,
            Some(("service", _)) => Self::Service,
            Some(("dashboard", _)) => Self::Dashboard,
            Some(_) => Self::Reserved,
            None if room == INCIDENTS_ROOM => Self::Reserved,
            None => Self::Free,
        }
    }
}

/// Says whether `name` may be the name of a room: 1–255 bytes, no control characters.
///
/// # Errors
/// A refusal that says which rule was broken.
pub fn check_room_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > ROOM_NAME_MAX_BYTES {
        let detail = format!("a room name has 1 to {ROOM_NAME_MAX_BYTES} bytes, this one {}", name.len());
        return Err(Refusal::new(Code::NameInvalid, detail));
    }
    if name.chars().any(char::is_control) {
        return Err(Refusal::new(Code::NameInvalid, "a room name has no control characters"));
    }
    Ok(())
}

/// Events that Socket.IO keeps for itself: a recipient's parser refuses such an event, and its connection with it.
const SOCKETIO_KEEPS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Events that clients hear from the server alone; an `EventSource` fires the last two itself.
const SERVER_KEEPS: [&str; 2] = ["error", "open"];

/// How the names of all other events begin that clients hear from the server alone.
const SERVER_BEGINS: [&str; 5] = ["server.", "token.", "presence.", "incident.", "dashboard."];

/// Whether a raw event name is one that Socket.IO keeps for itself, however it is escaped.
#[must_use]
pub fn is_reserved(raw_name: &str) -> bool {
    unquote(raw_name).is_ok_and(|name| SOCKETIO_KEEPS.contains(&name.as_ref()))
}

/// Whether an event of this raw name may be published: those that the server says itself would be taken for its own.
#[must_use]
pub fn is_published(raw_name: &str) -> bool {
    unquote(raw_name).is_ok_and(|name| {
        let kept = SOCKETIO_KEEPS.iter().chain(&SERVER_KEEPS).any(|kept| *kept == name);
        !kept && !SERVER_BEGINS.iter().any(|begin| name.starts_with(begin))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_length_and_no_control_characters() {
        assert!(check_room_name("room-17").is_ok());
        assert!(check_room_name(&"é".repeat(127)).is_ok());
        for bad in ["", "a\nb", "\u{7f}", &"é".repeat(128)] {
            assert_eq!(check_room_name(bad).unwrap_err().code, Code::NameInvalid, "{bad:?}");
        }
    }

    #[test]
    fn the_name_of_a_room_says_what_it_is_about() {
        let kinds = ["incident:7", "service:api", "dashboard:global", "team:core", "room-17"].map(RoomKind::of);
        assert_eq!(kinds, RoomKind::ALL);
        assert_eq!(["incidents", "incident"].map(RoomKind::of), [RoomKind::Reserved, RoomKind::Free]);
    }

    #[test]
    fn what_the_server_says_itself_nobody_publishes_however_it_is_written() {
        for kept in [
            "connect",
            "newListener",
            "error",
            "open",
            "server.hello",
            "server.",
            "token.expiring",
            "presence.left",
            "incident.resolved",
            "dashboard.snapshot",
        ] {
            assert!(!is_published(&format!("\"{kept}\"")), "{kept}");
        }
        assert!(!is_published(r#""s\u0065rver.closing""#) && !is_published("7") && !is_published("\"\\ud800\""));
        for free in ["message", "errors", "opened", "server", "servers.up", "tokens", "presence", "", "my.server.hello"]
        {
            assert!(is_published(&format!("\"{free}\"")), "{free}");
        }
        assert!(is_reserved(r#""connec\u0074""#) && !is_reserved("\"error\""));
    }
}
