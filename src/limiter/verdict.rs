//! What is asked of a limiter, for whom, and what the answer says.

use super::address::AddressKey;
use crate::metrics::{LimitHit, SharedLimit};
use aws_lc_rs::digest::{Context, SHA256};
use std::net::IpAddr;
use std::time::Duration;

/// What a rate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// New sessions.
    Handshakes,
    /// Requests to the HTTP API.
    Requests,
    /// What the clients of one user say.
    Packets,
}

impl Scope {
    /// Every rate by key.
    pub const ALL: [Self; 3] = [Self::Handshakes, Self::Requests, Self::Packets];

    /// Its name, where all nodes count together.
    #[must_use]
    pub const fn label(self) -> &'static str {
        self.shared().label()
    }

    pub(super) const fn shared(self) -> SharedLimit {
        match self {
            Self::Handshakes => SharedLimit::Handshakes,
            Self::Requests => SharedLimit::Requests,
            Self::Packets => SharedLimit::Packets,
        }
    }

    pub(super) const fn hit(self) -> LimitHit {
        match self {
            Self::Handshakes => LimitHit::HandshakesPerAddress,
            Self::Requests => LimitHit::Requests,
            Self::Packets => LimitHit::PacketsPerUser,
        }
    }
}

/// Who a rate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// A key that services have, as the digest under which it is known.
    #[must_use]
    pub fn of_digest(digest: [u8; 32]) -> Self {
        Self(u64::from_be_bytes(*digest.first_chunk().expect("32 bytes are more than 8")))
    }

    /// A user, who is one of an issuer's if there are several. It is the same on every node.
    #[must_use]
    pub fn of_user(issuer: Option<&str>, user: &str) -> Self {
        let mut digest = Context::new(&SHA256);
        // The length says where one name ends and the other begins.
        let issuer = issuer.unwrap_or_default();
        digest.update(&(issuer.len() as u64).to_be_bytes());
        digest.update(issuer.as_bytes());
        digest.update(user.as_bytes());
        let first = digest.finish().as_ref().first_chunk().copied();
        Self(u64::from_be_bytes(first.expect("32 bytes are more than 8")))
    }

    #[cfg(test)]
    pub(super) const fn of_number(number: u64) -> Self {
        Self(number)
    }

    /// The key as a number.
    #[must_use]
    pub const fn id(self) -> u64 {
        self.0
    }
}

impl From<AddressKey> for Key {
    fn from(address: AddressKey) -> Self {
        Self(address.id())
    }
}

/// How a rate stands after something was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be done.
    pub allowed: bool,
    /// How many may be done at once; 0 when there is no limit.
    pub limit: u32,
    /// How many more may be done now.
    pub remaining: u32,
    /// When all of them may be done again.
    pub reset_after: Duration,
    /// When to try again; zero when it was allowed.
    pub retry_after: Duration,
}

impl Verdict {
    /// There is no limit.
    pub const UNLIMITED: Self =
        Self { allowed: true, limit: 0, remaining: 0, reset_after: Duration::ZERO, retry_after: Duration::ZERO };
}

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The address that counts.
    pub address: IpAddr,
    /// Whether it says that it asks for another, but is no proxy that is believed.
    pub unproven: bool,
}

impl From<IpAddr> for Caller {
    fn from(address: IpAddr) -> Self {
        Self { address, unproven: false }
    }
}
