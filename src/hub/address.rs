//! Session ids: unguessable, never reused, and they say where the session lives.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The public id of a session in a namespace: 20 characters, as Socket.IO's are.
///
/// Inside are 15 bytes: 3 of the node, 1 of the worker, 3 of the place in that worker, 8 random. So any node can tell
/// whose a session is, without a table; the random part is what nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid([u8; Self::LEN]);

/// Where a session lives in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Which worker owns it.
    pub worker: u8,
    /// Its place in the worker's table, below 2^24.
    pub place: u32,
}

impl Sid {
    /// Length of the text.
    pub const LEN: usize = 20;

    /// A new id for the session at `address` of the node.
    ///
    /// # Panics
    /// When the operating system has no randomness.
    #[must_use]
    pub fn new(node: [u8; 3], address: Address) -> Self {
        let mut bytes = [0; 15];
        getrandom::fill(&mut bytes[7..]).expect("the operating system has randomness");
        bytes[..3].copy_from_slice(&node);
        bytes[3] = address.worker;
        bytes[4..7].copy_from_slice(&address.place.to_be_bytes()[1..]);
        let mut text = [0; Self::LEN];
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        debug_assert_eq!(written, Ok(Self::LEN));
        Self(text)
    }

    /// What all ids of a node begin with: its three bytes are four characters.
    #[must_use]
    pub fn prefix(node: [u8; 3]) -> String {
        URL_SAFE_NO_PAD.encode(node)
    }

    /// Reads an id that somebody sent.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sid = Self(text.as_bytes().try_into().ok()?);
        sid.bytes().map(|_| sid)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Where the session lives, if it is one of this node.
    #[must_use]
    pub fn address(&self, node: [u8; 3]) -> Option<Address> {
        let bytes = self.bytes().filter(|bytes| bytes[..3] == node)?;
        Some(Address { worker: bytes[3], place: u32::from_be_bytes([0, bytes[4], bytes[5], bytes[6]]) })
    }

    /// The node that has made it.
    #[must_use]
    pub fn node(&self) -> Option<[u8; 3]> {
        let [a, b, c, ..] = self.bytes()?;
        Some([a, b, c])
    }

    fn bytes(&self) -> Option<[u8; 15]> {
        let mut bytes = [0; 15];
        let read = URL_SAFE_NO_PAD.decode_slice(self.0, &mut bytes);
        (read == Ok(15)).then_some(bytes)
    }
}

impl std::fmt::Debug for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_says_where_its_session_lives_and_only_at_home() {
        let address = Address { worker: 63, place: 1_234_567 };
        let sid = Sid::new([1, 2, 3], address);
        assert_eq!(Sid::parse(sid.as_str()), Some(sid));
        assert_eq!(sid.address([1, 2, 3]), Some(address));
        assert_eq!(sid.address([1, 2, 4]), None);
        assert_ne!(sid, Sid::new([1, 2, 3], address));
        for bad in ["", "short", "!!!!!!!!!!!!!!!!!!!!", "ééééééééééé"] {
            assert_eq!(Sid::parse(bad), None, "{bad}");
        }
    }
}
