//! What roomcast nodes say to each other, beside what they share with Socket.IO's servers: JSON text on channels of their own.
//!
//! Every text has a version, and says whose it is. Fields that are not known are ignored, so that nodes of two releases can
//! meet; whatever else is not as it should be is refused as a whole.

mod attendance;
mod members;
mod question;

pub use attendance::{Attended, Changed, News, Somebody};
pub use members::Members;
pub use question::{Answer, Member, Order, Question, RevokedToken, Said};

use super::DecodeError;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version that is spoken and understood.
const VERSION: u32 = 1;

/// Longest text.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest name of a node, as others see it.
const UID_BYTES_MAX: usize = 64;

/// Longest address: a host name of 253 characters and a port.
const ADDRESS_BYTES_MAX: usize = 260;

/// Longest key, longest version, and longest id of a question.
const WORD_BYTES_MAX: usize = 64;

/// The channels on which roomcast nodes talk. Socket.IO's servers do not listen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerChannels {
    all: String,
    own: String,
}

impl PeerChannels {
    /// The channels as the node `uid` names them. Different clusters on one Redis have different prefixes.
    #[must_use]
    pub fn new(prefix: &str, uid: &str) -> Self {
        let all = format!("{prefix}-roomcast#");
        Self { own: format!("{all}{uid}#"), all }
    }

    /// Where all are spoken to.
    #[must_use]
    pub fn all(&self) -> &str {
        &self.all
    }

    /// Where this node alone is spoken to.
    #[must_use]
    pub fn own(&self) -> &str {
        &self.own
    }

    /// Where the node `uid` alone is spoken to.
    #[must_use]
    pub fn of(&self, uid: &str) -> String {
        format!("{}{uid}#", self.all)
    }
}

/// One text.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Whose it is.
    pub uid: Box<str>,
    /// What it says.
    pub word: Word,
}

/// What nodes say.
#[derive(Debug, Clone)]
pub enum Word {
    /// It is there, and this is how it is.
    Beat(Beat),
    /// It leaves.
    Bye,
    /// It asks something.
    Ask {
        /// Id of the question.
        request: Box<str>,
        /// What it asks; nothing if it is not known here.
        question: Option<Box<Question>>,
    },
    /// It answers.
    Answer {
        /// Id of the question.
        request: Box<str>,
        /// What it answers.
        answer: Answer,
    },
    /// Who came and who went.
    News(News),
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// What the ids of its sessions begin with.
    #[serde(with = "node_text")]
    pub node: [u8; 3],
    /// Where other nodes reach its public listener: host and port.
    pub address: Box<str>,
    /// Whether that listener speaks TLS.
    #[serde(default)]
    pub tls: bool,
    /// What other nodes show it when they pass a request on.
    pub key: Box<str>,
    /// Its release.
    pub version: Box<str>,
    /// Open sockets.
    pub sockets: u64,
    /// Rooms with members on it.
    pub rooms: u64,
    /// The number of its last [`News`].
    #[serde(default)]
    pub news: u64,
    /// Members of its rooms.
    #[serde(default)]
    pub members: Members,
}

/// Three bytes as the four characters that ids of sessions begin with.
mod node_text {
    use super::URL_SAFE_NO_PAD;
    use base64::Engine as _;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(node: &[u8; 3], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(node))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 3], D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = Some(&*text).filter(|text| text.len() == 4).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| D::Error::custom("no id of a node"))
    }
}

/// The text as it is written: one of the words.
#[derive(Debug, Serialize, Deserialize)]
struct Form {
    v: u32,
    uid: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beat: Option<Beat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bye: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ask: Option<Asked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    news: Option<News>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    id: Box<str>,
    /// Text, so that a question that is not known has at least an id.
    question: Box<RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    id: Box<str>,
    is: Answer,
}

impl Letter {
    /// The text.
    ///
    /// # Errors
    /// When it would be too long to be read.
    pub fn encode(self) -> Result<Vec<u8>, DecodeError> {
        let empty = Form { v: VERSION, uid: self.uid, beat: None, bye: None, ask: None, answer: None, news: None };
        let form = match self.word {
            Word::Beat(beat) => Form { beat: Some(beat), ..empty },
            Word::Bye => Form { bye: Some(true), ..empty },
            Word::Ask { request, question } => {
                let question = serde_json::value::to_raw_value(&question).map_err(|_| DecodeError::Json)?;
                Form { ask: Some(Asked { id: request, question }), ..empty }
            }
            Word::Answer { request, answer } => Form { answer: Some(Answered { id: request, is: answer }), ..empty },
            Word::News(news) => Form { news: Some(news), ..empty },
        };
        let text = serde_json::to_vec(&form).map_err(|_| DecodeError::Json)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(DecodeError::Packet);
        }
        Ok(text)
    }

    /// Reads a text that came from another node. `None`: a word of a version that is not known here.
    ///
    /// # Errors
    /// When it is no such text, or too long.
    pub fn decode(text: &[u8]) -> Result<Option<Self>, DecodeError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(DecodeError::Packet);
        }
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Version { v } = serde_json::from_slice(text).map_err(|_| DecodeError::Json)?;
        if v != VERSION {
            return Ok(None);
        }
        let form: Form = serde_json::from_slice(text).map_err(|_| DecodeError::Packet)?;
        let Form { uid, beat, bye, ask, answer, news, .. } = form;
        fits(&uid, UID_BYTES_MAX)?;
        let word = match (beat, bye, ask, answer, news) {
            (Some(beat), None, None, None, None) => Word::Beat(beat.checked()?),
            (None, Some(true), None, None, None) => Word::Bye,
            (None, None, Some(Asked { id, question }), None, None) => {
                fits(&id, WORD_BYTES_MAX)?;
                Word::Ask { request: id, question: serde_json::from_str(question.get()).ok() }
            }
            (None, None, None, Some(Answered { id, is }), None) => Word::Answer { request: id, answer: is },
            (None, None, None, None, Some(news)) => Word::News(news),
            (None, None, None, None, None) => return Ok(None),
            _ => return Err(DecodeError::Packet),
        };
        Ok(Some(Self { uid, word }))
    }
}

impl Beat {
    fn checked(self) -> Result<Self, DecodeError> {
        fits(&self.address, ADDRESS_BYTES_MAX)?;
        fits(&self.key, WORD_BYTES_MAX)?;
        fits(&self.version, WORD_BYTES_MAX)?;
        Ok(self)
    }
}

/// Text that is shown and put into addresses: neither empty nor long, and nothing in it but visible ASCII.
fn fits(text: &str, most: usize) -> Result<(), DecodeError> {
    let fine = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fine.then_some(()).ok_or(DecodeError::Packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> Beat {
        Beat {
            node: [1, 2, 3],
            address: "10.0.0.7:3000".into(),
            tls: false,
            key: "00ff".into(),
            version: "0.1.0".into(),
            sockets: 7,
            rooms: 2,
            news: 3,
            members: Members { free: 5, ..Members::default() },
        }
    }

    fn changed() -> Changed {
        let somebody = || Somebody { user: Some("ada".into()), ..Somebody::default() };
        let info = RawValue::from_string("{\"n\":1.0}".into()).ok();
        let came = vec![somebody(), Somebody { info, ..somebody() }];
        Changed { namespace: "/".into(), room: "r".into(), came, went: vec![somebody()] }
    }

    fn decode(text: &str) -> Result<Option<Letter>, DecodeError> {
        Letter::decode(text.as_bytes())
    }

    #[test]
    fn what_is_written_is_read() {
        let request = || "1f".into();
        let question = || Some(Box::new(Question::Room { namespace: "/".into(), room: "r".into() }));
        for word in [
            Word::Beat(beat()),
            Word::Bye,
            Word::Ask { request: request(), question: question() },
            Word::Answer { request: request(), answer: Answer::Rooms(vec![("r".into(), 7)]) },
            Word::Answer { request: request(), answer: Answer::Nothing },
            Word::News(News { number: 7, rooms: vec![changed()] }),
        ] {
            let text = Letter { uid: "AQIDx".into(), word }.encode().unwrap();
            let read = Letter::decode(&text).unwrap().unwrap();
            assert_eq!(&*read.uid, "AQIDx");
            assert_eq!(read.encode().unwrap(), text);
        }
        let text = Letter { uid: "u".into(), word: Word::Beat(beat()) }.encode().unwrap();
        assert!(String::from_utf8(text).unwrap().starts_with(r#"{"v":1,"uid":"u","beat":{"node":"AQID","#));
    }

    #[test]
    fn unknown_fields_words_and_versions_are_no_faults() {
        let word = |text| decode(text).unwrap().map(|letter| letter.word);
        assert!(matches!(word(r#"{"v":1,"uid":"u","bye":true,"new":[1]}"#), Some(Word::Bye)));
        assert!(word(r#"{"v":1,"uid":"u","sing":"la"}"#).is_none());
        assert!(word(r#"{"v":2,"name":7}"#).is_none());
        let unknown = word(r#"{"v":1,"uid":"u","ask":{"id":"7","question":{"dreams":{}}}}"#);
        assert!(matches!(unknown, Some(Word::Ask { question: None, .. })), "it can be answered all the same");
    }

    #[test]
    fn what_is_not_as_it_should_be_is_refused() {
        let text = String::from_utf8(Letter { uid: "u".into(), word: Word::Beat(beat()) }.encode().unwrap()).unwrap();
        for (from, to) in [
            ("AQID", "AQI"),
            ("AQID", "AQIDAQID"),
            ("AQID", "A*ID"),
            ("10.0.0.7:3000", ""),
            ("10.0.0.7:3000", "a b"),
            ("10.0.0.7:3000", "a\\r\\nb"),
            (r#""uid":"u""#, r#""uid":"""#),
            (r#""sockets":7"#, r#""sockets":-7"#),
            (r#""sockets":7"#, r#""sockets":"7""#),
            (r#""key":"00ff","#, ""),
        ] {
            assert!(decode(&text.replace(from, to)).is_err(), "{from} → {to}");
        }
        let long = text.replace("00ff", &"0".repeat(WORD_BYTES_MAX + 1));
        assert!(decode(&long).is_err());
        for bad in ["", "7", "[]", "{", "{}", r#"{"v":"1"}"#, r#"{"v":1}"#, r#"{"v":1,"uid":"u","beat":7}"#] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn channels_of_different_nodes_differ() {
        let channels = PeerChannels::new("socket.io", "AQIDx");
        assert_eq!((channels.all(), channels.own()), ("socket.io-roomcast#", "socket.io-roomcast#AQIDx#"));
        assert_eq!(channels.of("AQIDx"), channels.own());
    }
}
