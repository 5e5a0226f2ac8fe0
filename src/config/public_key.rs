//! Public keys in PEM: which kind one is, and the part of it that verifies signatures.
//!
//! Only `SubjectPublicKeyInfo` (RFC 5280, `-----BEGIN PUBLIC KEY-----`), what `openssl pkey -pubout` writes. Its three forms
//! differ in a fixed beginning, so this needs no parser of ASN.1 and none of its dependencies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// What says that a key is for RSA (RFC 8017), P-256 (RFC 5480) or Ed25519 (RFC 8410).
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// Shortest RSA key in bytes of its modulus: 2048 bits (RFC 7518 §3.3).
const RSA_MIN_BYTES: usize = 256;

/// A public key that tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA: `RSAPublicKey` of PKCS #1, in DER.
    Rsa(Vec<u8>),
    /// A point on P-256, not compressed.
    P256(Vec<u8>),
    /// Ed25519.
    Ed25519(Vec<u8>),
}

type Kind = fn(Vec<u8>) -> PublicKey;

impl PublicKey {
    /// Reads a key from the text of a PEM file.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        if text.contains("PRIVATE KEY-----") {
            return Err("this is a private key; give the public one (openssl pkey -in KEY -pubout)".into());
        }
        let body = text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
        let body: String = body.ok_or_else(|| format!("there is no {BEGIN}"))?.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| "what stands in it is not base64".to_owned())?;
        Self::from_der(&der)
            .ok_or_else(|| "it is no RSA key of at least 2048 bits, no P-256 key and no Ed25519 key".into())
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let (info, []) = element(der, 0x30)? else { return None };
        let (rest, kind) = None
            .or_else(|| Some((info.strip_prefix(RSA)?, Self::Rsa as Kind)))
            .or_else(|| Some((info.strip_prefix(P256)?, Self::P256 as Kind)))
            .or_else(|| Some((info.strip_prefix(ED25519)?, Self::Ed25519 as Kind)))?;
        // A bit string begins with the number of bits that its last byte lacks.
        let (bits, []) = element(rest, 0x03)? else { return None };
        let key = kind(bits.strip_prefix(&[0])?.to_vec());
        key.is_fine().then_some(key)
    }

    fn is_fine(&self) -> bool {
        match self {
            Self::Rsa(key) => {
                let modulus = element(key, 0x30).and_then(|(inner, _)| element(inner, 0x02));
                modulus
                    .is_some_and(|(modulus, _)| modulus.iter().skip_while(|byte| **byte == 0).count() >= RSA_MIN_BYTES)
            }
            Self::P256(point) => point.len() == 65 && point[0] == 4,
            Self::Ed25519(key) => key.len() == 32,
        }
    }
}

/// The content of the element of this type that `der` begins with, and what is behind it.
fn element(der: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.strip_prefix(&[kind])?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 3))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ED: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_of_rfc_8410_is_read() {
        let PublicKey::Ed25519(key) = PublicKey::from_pem(ED).unwrap() else { panic!("another kind") };
        assert_eq!((key[0], key[31]), (0x19, 0xe1));
    }

    #[test]
    fn what_is_no_public_key_is_said() {
        for (text, expected) in [
            ("".to_owned(), "there is no"),
            ("-----BEGIN PRIVATE KEY-----".to_owned(), "private key"),
            (ED.replace("MCow", "MC!w"), "not base64"),
            (ED.replace("BQYDK2Vw", "BQYDK2Vv"), "no RSA key"),
            (format!("{BEGIN}{END}"), "no RSA key"),
        ] {
            assert!(PublicKey::from_pem(&text).unwrap_err().contains(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..3usize) {
            let start = [RSA, P256, ED25519][kind];
            let info = [start, &bytes].concat();
            let mut der = vec![0x30, 0x82];
            der.extend(u16::try_from(info.len()).unwrap().to_be_bytes());
            der.extend(info);
            let _key = PublicKey::from_der(&der);
            let _other = PublicKey::from_der(&bytes);
        }
    }
}
