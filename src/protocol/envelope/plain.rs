//! The classic broadcast that nodes say most, read in one pass: rooms are names, nothing in it is binary, no key comes twice.
//!
//! Whatever has another form is left to the general way, which makes JSON text of the whole payload first and looks through
//! that for each part. 1 KiB of data costs a third of it here.

use super::{Content, Envelope, Limits, Targets};
use crate::protocol::arguments::Arguments;
use crate::protocol::json::write_string;
use crate::protocol::msgpack::to_json;
use crate::protocol::name::is_reserved;

/// The type of a packet that is an event, in MessagePack.
const EVENT: &[u8] = &[2];

/// `true` in MessagePack.
const TRUE: &[u8] = &[0xc3];

/// Reads the payload; `None` leaves it to the general way, broken ones included.
pub(super) fn broadcast(payload: &[u8], limits: &Limits) -> Option<Envelope> {
    let mut spans = Spans { rest: payload };
    if payload.len() > limits.bytes {
        return None;
    }
    let behind = spans.list()?.checked_sub(3)?;
    let uid = spans.text()?.into();
    let Packet { namespace, name, arguments } = spans.packet(limits)?;
    let (targets, volatile) = spans.opts(limits)?;
    // Some nodes say more behind these three, which others do not look at.
    for _ in 0..behind {
        spans.value()?;
    }
    let content = Content::Broadcast { targets, volatile, name, arguments, request: None };
    spans.rest.is_empty().then(|| Envelope { uid, namespace: namespace.into(), content })
}

struct Packet<'a> {
    namespace: &'a str,
    name: String,
    arguments: Arguments,
}

/// What a value begins with.
enum Head {
    /// So many bytes follow, which are text.
    Text(usize),
    /// So many bytes follow.
    Plain(usize),
    /// So many values follow.
    List(usize),
    /// Twice as many values follow.
    Map(usize),
}

/// MessagePack, piece by piece.
struct Spans<'a> {
    rest: &'a [u8],
}

impl<'a> Spans<'a> {
    fn packet(&mut self, limits: &Limits) -> Option<Packet<'a>> {
        let (mut kind, mut event, mut namespace) = (None, None, None);
        for _ in 0..self.map()? {
            let seen_before = match self.text()? {
                "type" => kind.replace(self.value()?).is_some(),
                "data" => event.replace(self.event(limits)?).is_some(),
                "nsp" => namespace.replace(self.text()?).is_some(),
                _ => self.value()?.is_empty(),
            };
            if seen_before {
                return None;
            }
        }
        let ((name, arguments), namespace) = (event?, namespace.unwrap_or("/"));
        (kind? == EVENT).then_some(Packet { namespace, name, arguments })
    }

    /// Name and arguments of an event.
    fn event(&mut self, limits: &Limits) -> Option<(String, Arguments)> {
        let arity = self.list()?.checked_sub(1)?;
        let mut name = String::new();
        write_string(self.text()?, &mut name);
        let mut args = String::new();
        for _ in 0..arity {
            // The list around them is a level, too.
            let json = to_json(self.value()?, limits.depth.checked_sub(1)?, 0).ok()?.json;
            if args.is_empty() {
                args = json;
            } else {
                args.extend([",", &json]);
            }
        }
        let arguments = Arguments::known(args, u32::try_from(arity).ok()?);
        (!is_reserved(&name)).then_some((name, arguments))
    }

    /// Who is meant, and whether it may be lost.
    fn opts(&mut self, limits: &Limits) -> Option<(Targets, bool)> {
        let (mut rooms, mut except, mut volatile) = (None, None, None);
        for _ in 0..self.map()? {
            let seen_before = match self.text()? {
                "rooms" => rooms.replace(self.names(limits)?).is_some(),
                "except" => except.replace(self.names(limits)?).is_some(),
                "flags" => volatile.replace(self.is_volatile()?).is_some(),
                _ => self.value()?.is_empty(),
            };
            if seen_before {
                return None;
            }
        }
        let targets = Targets { rooms: rooms.unwrap_or_default(), except: except.unwrap_or_default() };
        Some((targets, volatile.unwrap_or(false)))
    }

    fn names(&mut self, limits: &Limits) -> Option<Vec<Box<str>>> {
        let count = self.list()?;
        if count > limits.entries {
            return None;
        }
        (0..count).map(|_| Some(self.text()?.into())).collect()
    }

    fn is_volatile(&mut self) -> Option<bool> {
        let mut volatile = None;
        for _ in 0..self.map()? {
            let is_it = self.text()? == "volatile";
            let value = self.value()?;
            if is_it && volatile.replace(value).is_some() {
                return None;
            }
        }
        Some(volatile == Some(TRUE))
    }

    fn text(&mut self) -> Option<&'a str> {
        match self.head()? {
            Head::Text(length) => std::str::from_utf8(self.take(length)?).ok(),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<usize> {
        match self.head()? {
            Head::List(count) => Some(count),
            _ => None,
        }
    }

    fn map(&mut self) -> Option<usize> {
        match self.head()? {
            Head::Map(count) => Some(count),
            _ => None,
        }
    }

    /// The bytes of a value, whatever is in it but binary values.
    fn value(&mut self) -> Option<&'a [u8]> {
        let (from, mut open) = (self.rest, 1_usize);
        while open > 0 {
            open -= 1;
            match self.head()? {
                Head::Text(length) | Head::Plain(length) => {
                    self.take(length)?;
                }
                Head::List(count) => open = open.checked_add(count)?,
                Head::Map(count) => open = open.checked_add(count.checked_mul(2)?)?,
            }
        }
        Some(&from[..from.len() - self.rest.len()])
    }

    fn head(&mut self) -> Option<Head> {
        let marker = *self.take(1)?.first()?;
        Some(match marker {
            0x80..=0x8f => Head::Map(usize::from(marker & 0x0f)),
            0x90..=0x9f => Head::List(usize::from(marker & 0x0f)),
            0xa0..=0xbf => Head::Text(usize::from(marker & 0x1f)),
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Head::Plain(0),
            0xca | 0xce | 0xd2 => Head::Plain(4),
            0xcb | 0xcf | 0xd3 => Head::Plain(8),
            0xcc | 0xd0 => Head::Plain(1),
            0xcd | 0xd1 => Head::Plain(2),
            0xd9..=0xdb => Head::Text(self.number(1 << (marker - 0xd9))?),
            0xdc | 0xdd => Head::List(self.number(2 << (marker - 0xdc))?),
            0xde | 0xdf => Head::Map(self.number(2 << (marker - 0xde))?),
            // Binary values and extensions.
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => return None,
        })
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}
