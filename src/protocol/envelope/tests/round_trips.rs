//! Whatever is written is read as it was, and nothing that is read makes either format panic.

use super::*;
use crate::protocol::envelope::classic::broadcast as classic_broadcast;
use crate::protocol::envelope::fields::Text;
use crate::protocol::msgpack::from_json;
use proptest::prelude::*;

fn raw() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Into::into),
            prop::collection::btree_map(".*", inner, 0..20).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Arguments, the last of which are binary.
fn arguments(most: usize) -> impl Strategy<Value = Arguments> {
    let binary = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..3);
    (prop::collection::vec(raw(), 0..=most), binary).prop_map(move |(mut values, binary)| {
        let binary: Vec<_> = binary.into_iter().take(most - values.len()).map(Bytes::from).collect();
        values.extend((0..binary.len()).map(|num| json!({"_placeholder": true, "num": num})));
        let text = Value::from(values).to_string();
        Arguments::relay_list(&text[1..text.len() - 1], &binary).unwrap()
    })
}

fn room_names() -> impl Strategy<Value = Vec<Box<str>>> {
    prop::collection::vec(".{0,24}".prop_map(Into::into), 0..20)
}

fn targets() -> impl Strategy<Value = Targets> {
    (room_names(), room_names()).prop_map(|(rooms, except)| Targets { rooms, except })
}

fn id() -> impl Strategy<Value = Box<str>> {
    "[0-9a-f]{6}".prop_map(Into::into)
}

fn name() -> impl Strategy<Value = String> {
    ".*".prop_map(|name| Value::from(format!("x{name}")).to_string())
}

fn remote() -> impl Strategy<Value = RemoteSocket> {
    let rooms = prop::collection::vec(".*", 0..4);
    (".*", rooms, raw(), raw()).prop_map(|(id, rooms, handshake, data)| RemoteSocket {
        id,
        rooms,
        handshake: handshake.to_string(),
        data: data.to_string(),
    })
}

/// What both formats can say.
fn common() -> impl Strategy<Value = Content> {
    let broadcast = (targets(), any::<bool>(), name(), arguments(5), prop::option::of(id())).prop_map(
        |(targets, volatile, name, arguments, request)| Content::Broadcast {
            targets,
            volatile,
            name,
            arguments,
            request,
        },
    );
    let emit = (name(), arguments(5), prop::option::of(id()))
        .prop_map(|(name, arguments, request)| Content::ServerEmit { name, arguments, request });
    prop_oneof![
        4 => broadcast,
        2 => emit,
        1 => (targets(), room_names()).prop_map(|(targets, rooms)| Content::Join { targets, rooms, request: None }),
        1 => (targets(), room_names()).prop_map(|(targets, rooms)| Content::Leave { targets, rooms, request: None }),
        1 => (targets(), any::<bool>())
            .prop_map(|(targets, close)| Content::Disconnect { targets, close, request: None }),
        1 => (id(), targets()).prop_map(|(request, targets)| Content::Fetch { request, targets }),
        1 => (id(), prop::collection::vec(remote(), 0..4))
            .prop_map(|(request, sockets)| Content::Found { request, sockets }),
        1 => (id(), any::<u64>()).prop_map(|(request, clients)| Content::Count { request, clients }),
        2 => (id(), arguments(1)).prop_map(|(request, arguments)| Content::Answer { request, arguments }),
        2 => (id(), arguments(1)).prop_map(|(request, arguments)| Content::ServerAnswer { request, arguments }),
    ]
}

fn of_classic() -> impl Strategy<Value = Content> {
    let texts = || prop::collection::vec(".*", 1..20);
    prop_oneof![
        id().prop_map(|request| Content::AllRooms { request }),
        (id(), room_names()).prop_map(|(request, rooms)| Content::Sockets { request, rooms }),
        (id(), texts()).prop_map(|(request, rooms)| Content::Rooms { request, rooms }),
        (id(), texts()).prop_map(|(request, sids)| Content::Sids { request, sids }),
        id().prop_map(|request| Content::Done { request }),
    ]
}

/// Where the classic format says it, and whether it says there who says it.
fn place(content: &Content) -> (Place<'_>, bool) {
    match content {
        Content::Broadcast { request: None, .. } => (Place::Main, true),
        answer if answer.answers().is_some() => (Place::Response, false),
        _ => (Place::Request, true),
    }
}

proptest! {
    #[test]
    fn whatever_is_said_in_the_classic_format_comes_back(content in prop_oneof![4 => common(), 1 => of_classic()]) {
        let (place, named) = place(&content);
        let uid = if named { "aB3xYz" } else { "" };
        let envelope = Envelope { uid: uid.into(), namespace: "/".into(), content: content.clone() };
        let payload = Format::Classic.encode(&envelope).unwrap();
        prop_assert_eq!(classic(place, &payload).unwrap(), envelope);
    }

    #[test]
    fn whatever_is_said_in_the_sharded_format_comes_back(content in common()) {
        let envelope = Envelope { uid: "aB3xYz".into(), namespace: "/admin".into(), content };
        let payload = Format::Sharded.encode(&envelope).unwrap();
        prop_assert_eq!(sharded(&payload).unwrap(), envelope);
    }

    #[test]
    fn what_the_sharded_format_has_no_form_for_is_refused(content in of_classic()) {
        let envelope = Envelope { uid: "u".into(), namespace: "/".into(), content };
        prop_assert_eq!(Format::Sharded.encode(&envelope), Err(DecodeError::PacketType));
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for place in [Place::Main, Place::Request, Place::Response] {
            let _outcome = classic(place, &bytes);
        }
        let _outcome = sharded(&bytes);
    }

    #[test]
    fn what_is_read_in_one_pass_is_what_the_general_way_reads(
        content in common(), cut in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let Content::Broadcast { request: None, .. } = &content else { return Ok(()) };
        let envelope = Envelope { uid: "aB3xYz".into(), namespace: "/".into(), content };
        let mut payload = Format::Classic.encode(&envelope).unwrap();
        agree(&payload)?;
        let at = cut.index(payload.len());
        payload[at] = byte;
        agree(&payload)?;
        agree(&payload[..at])?;
    }
}

/// Whatever is read in one pass at all is read in the same way otherwise.
fn agree(payload: &[u8]) -> Result<(), TestCaseError> {
    if let Some(envelope) = plain::broadcast(payload, &LIMITS) {
        let general = Text::unpack(payload, &LIMITS).and_then(|text| classic_broadcast(&text));
        prop_assert_eq!(general, Ok(envelope));
    }
    Ok(())
}

#[test]
fn both_ways_end_at_the_same_depth() {
    for depth in 28..36 {
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        let event = from_json(&format!(r#"{{"type":2,"data":["e",{nested}],"nsp":"/"}}"#), &[]).unwrap();
        let payload = [&[0x93, 0xa1, b'u'], &event[..], &[0x80]].concat();
        assert_eq!(plain::broadcast(&payload, &LIMITS).is_some(), depth < usize::from(LIMITS.depth), "{depth}");
        agree(&payload).unwrap();
    }
}
