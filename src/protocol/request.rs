//! What clients ask for, whichever door they came through: the keys that requests have in common.

use super::DecodeError;
use super::json::{Scanner, unquote, write_string};
use super::name::{check_room_name, is_published, is_reserved};
use super::refusal::{Code, Refusal};
use smallvec::SmallVec;
use std::borrow::Cow;

/// Raw values of the known keys of a request object; whatever else it holds has only been checked to be JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// One room.
    pub room: Option<&'a str>,
    /// Several rooms, in place of `room`.
    pub rooms: Option<&'a str>,
    /// Rooms whose members are left out.
    pub except: Option<&'a str>,
    /// Name of the event to publish.
    pub event: Option<&'a str>,
    /// Its only argument.
    pub data: Option<&'a str>,
    /// Its arguments, when there is not exactly one.
    pub args: Option<&'a str>,
    /// `false` leaves the sender out.
    pub echo: Option<&'a str>,
    /// Where the next page of a listing starts.
    pub cursor: Option<&'a str>,
    /// How many entries a listing may have.
    pub limit: Option<&'a str>,
    /// A fresh token.
    pub token: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// Takes one key of an object. Says whether it is one of these.
    pub fn take(&mut self, key: &str, value: &'a str) -> bool {
        let slot = match key {
            "\"room\"" => &mut self.room,
            "\"rooms\"" => &mut self.rooms,
            "\"except\"" => &mut self.except,
            "\"event\"" => &mut self.event,
            "\"data\"" => &mut self.data,
            "\"args\"" => &mut self.args,
            "\"echo\"" => &mut self.echo,
            "\"cursor\"" => &mut self.cursor,
            "\"limit\"" => &mut self.limit,
            "\"token\"" => &mut self.token,
            _ => return false,
        };
        *slot = Some(value);
        true
    }

    /// Whether the sender wants its own event back; it does unless `echo` is `false`.
    ///
    /// # Errors
    /// When `echo` is neither `true` nor `false`.
    pub fn wants_echo(&self) -> Result<bool, Refusal> {
        match self.echo {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Refusal::new(Code::BadPacket, "\"echo\" is true or false")),
        }
    }

    /// The rooms that this request names, checked.
    ///
    /// # Errors
    /// When there is none, too many, or one has no valid name.
    pub fn target_rooms(&self, most: usize) -> Result<Rooms<'a>, Refusal> {
        match self.rooms.or(self.room) {
            Some(raw) => room_list(raw, most),
            None => Err(Refusal::new(Code::BadPacket, "name the room: {\"room\":\"…\"}")),
        }
    }

    /// Whether it names its rooms in a list, even if that has one name: then it is answered with a list.
    #[must_use]
    pub fn has_room_list(&self) -> bool {
        self.rooms.is_some() || self.room.is_some_and(|raw| raw.starts_with('['))
    }

    /// The rooms to leave out, checked.
    ///
    /// # Errors
    /// When there are too many, or one has no valid name.
    pub fn excepted_rooms(&self, most: usize) -> Result<Rooms<'a>, Refusal> {
        self.except.map_or_else(|| Ok(Rooms::new()), |raw| room_list(raw, most))
    }
}

/// A few room names; one needs no allocation.
pub type Rooms<'a> = SmallVec<[Cow<'a, str>; 1]>;

/// Room names from the raw text of a string or of an array of strings.
///
/// # Errors
/// When it is neither, the list is empty or longer than `most`, or a name is not valid.
pub fn room_list(raw: &str, most: usize) -> Result<Rooms<'_>, Refusal> {
    let mut rooms = Rooms::new();
    let mut add = |raw| -> Result<(), Refusal> {
        let name = unquote(raw).map_err(|_| Refusal::new(Code::NameInvalid, "a room name is a string"))?;
        check_room_name(&name)?;
        if !rooms.contains(&name) {
            rooms.push(name);
        }
        Ok(())
    };
    if raw.starts_with('[') {
        let (mut count, mut outcome) = (0, Ok(()));
        let listed = Scanner::new(raw, 2).array(|element| {
            count += 1;
            if count <= most && outcome.is_ok() {
                outcome = add(element);
            }
        });
        outcome?;
        if listed.is_err() || count == 0 || count > most {
            return Err(Refusal::new(Code::BadPacket, format!("a list of rooms has 1 to {most} names")));
        }
    } else {
        add(raw)?;
    }
    Ok(rooms)
}

/// An event as a client wrote it: the name and the arguments as raw JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// The name, a JSON string with its quotes.
    pub name: &'a str,
    /// The arguments, separated by commas, without the brackets.
    pub args: &'a str,
    /// How many arguments there are.
    pub arity: u32,
}

impl<'a> RawEvent<'a> {
    /// The event to publish that the keys `event`, `data` and `args` describe.
    ///
    /// # Errors
    /// When `event` is no string, or a name that Socket.IO or this server keeps for itself.
    pub fn from_fields(fields: &Fields<'a>) -> Result<Self, Refusal> {
        if !is_published(fields.event.unwrap_or("\"message\"")) {
            return Err(Refusal::new(Code::BadPacket, "\"event\" is a string and not a reserved name"));
        }
        Self::said(fields)
    }

    /// The event for the server's application that the same keys describe. It may have any name that the application may
    /// have a handler for.
    ///
    /// # Errors
    /// When `event` is no string, or a name that Socket.IO keeps for itself.
    pub fn said(fields: &Fields<'a>) -> Result<Self, Refusal> {
        let name = fields.event.unwrap_or("\"message\"");
        if unquote(name).is_err() || is_reserved(name) {
            return Err(Refusal::new(Code::BadPacket, "\"event\" is a string and not a reserved name"));
        }
        let Some(list) = fields.args else {
            let (args, arity) = fields.data.map_or(("", 0), |data| (data, 1));
            return Ok(Self { name, args, arity });
        };
        let mut arity = 0;
        let counted = Scanner::new(list, super::json::DEPTH_MAX).array(|_| arity += 1);
        counted.map_err(|_| Refusal::new(Code::BadPacket, "\"args\" is an array"))?;
        Ok(Self { name, args: list[1..list.len() - 1].trim(), arity })
    }
}

/// The name of an event as JSON.
///
/// # Errors
/// When Socket.IO keeps it for itself.
pub fn raw_name(event: &str) -> Result<String, Refusal> {
    let mut name = String::with_capacity(event.len() + 2);
    write_string(event, &mut name);
    if is_reserved(&name) {
        return Err(Refusal::new(Code::Internal, format!("{event} is an event that Socket.IO keeps for itself")));
    }
    Ok(name)
}

/// Takes the object that comes next, remembering the known keys.
///
/// # Errors
/// When no valid object comes next.
pub fn take_fields<'a>(scanner: &mut Scanner<'a>) -> Result<Fields<'a>, DecodeError> {
    let mut fields = Fields::default();
    scanner.object(|key, value| {
        fields.take(key, value);
    })?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_come_alone_or_in_a_list_without_duplicates() {
        assert_eq!(room_list("\"a\"", 2).unwrap().as_slice(), ["a"]);
        assert_eq!(room_list("[\"a\", \"b\",\"a\"]", 3).unwrap().as_slice(), ["a", "b"]);
        assert_eq!(room_list("\"caf\\u00e9\"", 2).unwrap().as_slice(), ["café"]);
    }

    #[test]
    fn what_is_no_room_is_refused() {
        for bad in ["7", "[]", "[7]", "{}", "[[\"a\"]]", "[\"a\",\"b\",\"c\"]", "\"\"", "\"\\ud800\"", "\"\\n\""] {
            assert!(room_list(bad, 2).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_has_one_argument_or_a_list() {
        let event = |fields| RawEvent::from_fields(&fields);
        let one = event(Fields { event: Some("\"e\""), data: Some("{}"), ..Fields::default() }).unwrap();
        assert_eq!(one, RawEvent { name: "\"e\"", args: "{}", arity: 1 });
        let two = event(Fields { args: Some("[1, [2]]"), ..Fields::default() }).unwrap();
        assert_eq!(two, RawEvent { name: "\"message\"", args: "1, [2]", arity: 2 });
        assert!(event(Fields { event: Some("\"connect\""), ..Fields::default() }).is_err());
        assert!(event(Fields { event: Some("7"), ..Fields::default() }).is_err());
        let open = Fields { event: Some("\"open\""), ..Fields::default() };
        assert!(event(open).is_err(), "nobody publishes what only the server says");
        assert!(RawEvent::said(&open).is_ok(), "an application may have a handler of this name");
    }
}
