//! Names of the channels on which nodes talk about one namespace.

use super::Format;
use std::borrow::Cow;

/// Which rooms have channels of their own in the sharded format; all nodes of a cluster have to be set alike. In the
/// classic format every room has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// None.
    Static,
    /// Those whose names do not look like ids of sessions: what nodes do unless they are told otherwise.
    #[default]
    Dynamic,
    /// All.
    DynamicPrivate,
}

/// What is said on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// Broadcasts; in the sharded format everything but answers and what is said in rooms.
    Main,
    /// Broadcasts for this room alone.
    Room(&'a str),
    /// Requests to all nodes: classic only.
    Request,
    /// Answers.
    Response,
}

/// The channels of one namespace, as one node names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    format: Format,
    mode: Mode,
    main: String,
    request: String,
    response: String,
    own: String,
}

/// Characters of the ids that Socket.IO's servers for Node give to sessions, as JavaScript counts them.
const SID_CHARS: usize = 20;

impl Channels {
    /// The channels of `namespace` for the node `uid`. Different clusters on one Redis have different prefixes.
    #[must_use]
    pub fn new(format: Format, mode: Mode, prefix: &str, namespace: &str, uid: &str) -> Self {
        let main = format!("{prefix}#{namespace}#");
        let (request, response) = match format {
            Format::Classic => (format!("{prefix}-request#{namespace}#"), format!("{prefix}-response#{namespace}#")),
            Format::Sharded => (main.clone(), main.clone()),
        };
        let own = format!("{response}{uid}#");
        Self { format, mode, main, request, response, own }
    }

    /// What this node always listens to: requests, answers, and what is said to the namespace as a whole.
    #[must_use]
    pub fn always(&self) -> Vec<&str> {
        match self.format {
            Format::Classic => vec![&self.main, &self.request, &self.response, &self.own],
            Format::Sharded => vec![&self.main, &self.own],
        }
    }

    /// The channel for a broadcast: that of its room, if it has exactly one and nobody is asked for answers.
    #[must_use]
    pub fn broadcast<S: AsRef<str>>(&self, rooms: &[S], asks: bool) -> Cow<'_, str> {
        match rooms {
            _ if asks => self.question().into(),
            [room] => self.room(room.as_ref()).map_or(Cow::Borrowed(&*self.main), Cow::Owned),
            _ => Cow::Borrowed(&self.main),
        }
    }

    /// The channel of a room, if it has one of its own.
    #[must_use]
    pub fn room(&self, room: &str) -> Option<String> {
        let has_one = match (self.format, self.mode) {
            (Format::Classic, _) | (_, Mode::DynamicPrivate) => true,
            (_, Mode::Dynamic) => room.encode_utf16().count() != SID_CHARS,
            (_, Mode::Static) => false,
        };
        has_one.then(|| [&*self.main, room, "#"].concat())
    }

    /// The channel for requests, and for everything that the other nodes are to do. Whoever listens there is a node: the
    /// number of listeners is the number of nodes.
    #[must_use]
    pub fn question(&self) -> &str {
        &self.request
    }

    /// The channel for an answer to the node `uid`. Classic nodes listen to one for all as well, and answer there unless
    /// all are told to be `specific`; those that gave no uid hear nothing elsewhere.
    #[must_use]
    pub fn answer(&self, uid: &str, specific: bool) -> Cow<'_, str> {
        if self.format == Format::Classic && (!specific || uid.is_empty()) {
            return Cow::Borrowed(&self.response);
        }
        Cow::Owned(format!("{}{uid}#", self.response))
    }

    /// What is said on a channel, if it is one of these. A room's name may hold any character, so this is what stands
    /// between the namespace's part and the last `#`; without a name it is the namespace as a whole.
    #[must_use]
    pub fn place<'a>(&self, channel: &'a str) -> Option<Place<'a>> {
        if channel == self.own {
            return Some(Place::Response);
        }
        if let Some(rest) = channel.strip_prefix(&*self.main) {
            return match rest.strip_suffix('#') {
                None if rest.is_empty() => Some(Place::Main),
                Some("") => Some(Place::Main),
                Some(room) => Some(Place::Room(room)),
                None => None,
            };
        }
        match self.format {
            Format::Classic if channel == self.request => Some(Place::Request),
            Format::Classic if channel == self.response => Some(Place::Response),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(format: Format, mode: Mode) -> Channels {
        Channels::new(format, mode, "socket.io", "/admin", "aB3xYz")
    }

    #[test]
    fn classic_nodes_meet_on_these_channels() {
        let channels = channels(Format::Classic, Mode::Dynamic);
        let always = [
            "socket.io#/admin#",
            "socket.io-request#/admin#",
            "socket.io-response#/admin#",
            "socket.io-response#/admin#aB3xYz#",
        ];
        assert_eq!(channels.always(), always);
        assert_eq!(channels.broadcast::<&str>(&[], false), always[0]);
        assert_eq!(channels.broadcast(&["a", "b"], false), always[0]);
        assert_eq!(channels.broadcast(&["a#b"], false), "socket.io#/admin#a#b#");
        assert_eq!(channels.broadcast(&["a"], true), always[1]);
        assert_eq!((channels.question(), &*channels.answer("x", false)), (always[1], always[2]));
        for (channel, place) in [
            ("socket.io#/admin#", Some(Place::Main)),
            ("socket.io#/admin##", Some(Place::Main)),
            ("socket.io#/admin#a#b#", Some(Place::Room("a#b"))),
            ("socket.io#/admin###", Some(Place::Room("#"))),
            ("socket.io#/admin#a", None),
            ("socket.io#/admi", None),
            ("socket.io#/", None),
            ("other#/admin#", None),
            (always[1], Some(Place::Request)),
            (always[2], Some(Place::Response)),
            (always[3], Some(Place::Response)),
            ("socket.io-response#/admin#other#", None),
        ] {
            assert_eq!(channels.place(channel), place, "{channel}");
        }
    }

    #[test]
    fn sharded_nodes_narrow_down_rooms_that_do_not_look_like_sessions() {
        let twenty = "oSO0OpakMV_3jnilAAAA";
        // Of two units each in JavaScript's count: ten characters of forty bytes.
        let faces = "😀".repeat(10);
        for (mode, room, expected) in [
            (Mode::Dynamic, "a", true),
            (Mode::Dynamic, twenty, false),
            (Mode::Dynamic, &faces, false),
            (Mode::Dynamic, &"é".repeat(20), false),
            (Mode::Dynamic, &"😀".repeat(20), true),
            (Mode::Static, "a", false),
            (Mode::DynamicPrivate, twenty, true),
        ] {
            let channel = channels(Format::Sharded, mode).broadcast(&[room], false).into_owned();
            let main = "socket.io#/admin#";
            assert_eq!(channel, if expected { format!("{main}{room}#") } else { main.into() }, "{mode:?} {room}");
        }
        let channels = channels(Format::Sharded, Mode::Dynamic);
        assert_eq!(channels.always(), ["socket.io#/admin#", "socket.io#/admin#aB3xYz#"]);
        assert_eq!(channels.broadcast(&["a"], true), "socket.io#/admin#");
        assert_eq!((channels.question(), &*channels.answer("x", false)), ("socket.io#/admin#", "socket.io#/admin#x#"));
        assert_eq!(channels.place("socket.io#/admin#aB3xYz#"), Some(Place::Response));
        assert_eq!(channels.place("socket.io#/admin#aB3xYz"), None);
        assert_eq!(channels.place("socket.io#/admin#r#"), Some(Place::Room("r")));
    }
}
