//! Tokens that were refused, and the keys that tokens are verified with.

use super::NodeStats;
use super::samples::{counters, family, gauge, single_gauge};
use prometheus::proto::{MetricFamily, MetricType};
use std::sync::PoisonError;

/// Why a token was refused. Its sender is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Above the size limit.
    TooLarge,
    /// No JWT, or one with parts that are not understood.
    Malformed,
    /// Signed with an algorithm that is not allowed.
    Algorithm,
    /// Signed with a key that nobody knows.
    UnknownKey,
    /// The issuer's keys could not be fetched.
    NoKeys,
    /// The signature is wrong.
    Signature,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// Of an issuer that is not trusted.
    Issuer,
    /// For another audience.
    Audience,
    /// It lacks a claim, or one has the wrong form or is too large.
    Claims,
    /// It has been revoked.
    Revoked,
    /// A fresh token for a session of another user.
    OtherUser,
}

impl TokenRefusal {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::TooLarge,
        Self::Malformed,
        Self::Algorithm,
        Self::UnknownKey,
        Self::NoKeys,
        Self::Signature,
        Self::Expired,
        Self::NotYet,
        Self::Issuer,
        Self::Audience,
        Self::Claims,
        Self::Revoked,
        Self::OtherUser,
    ];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::NoKeys => "no-keys",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claims => "claims",
            Self::Revoked => "revoked",
            Self::OtherUser => "other-user",
        }
    }
}

impl NodeStats {
    fn key_sets(&self) -> MetricFamily {
        let cells = self.key_sets.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = (1..).zip(cells.iter()).map(|(position, cell)| {
            let position: u32 = position;
            gauge(&[("issuer", &position.to_string())], cell.get())
        });
        family(
            "roomcast_key_set_fetched_seconds",
            "When the key set of an issuer, by its position in the settings, was last fetched, in seconds since 1970; 0 = never.",
            MetricType::GAUGE,
            samples.collect(),
        )
    }

    /// The metrics about tokens.
    pub(super) fn tokens(&self) -> Vec<MetricFamily> {
        let refused = TokenRefusal::ALL.map(|why| (why.label(), self.tokens_refused[why as usize].get()));
        let fetches = [("fetched", self.key_sets_fetched.get()), ("failed", self.key_sets_failed.get())];
        vec![
            counters("roomcast_tokens_refused_total", "Client tokens refused.", "reason", refused),
            counters(
                "roomcast_token_infos_left_out_total",
                "Tokens whose info is too long or nested too deeply for presence.",
                "",
                [("", self.infos_left_out.get())],
            ),
            counters("roomcast_key_set_fetches_total", "Fetches of issuers' key sets.", "result", fetches),
            self.key_sets(),
            single_gauge("roomcast_keys", "Keys of issuers that are known.", self.keys.get()),
            single_gauge("roomcast_revoked_tokens", "Revoked tokens that are remembered.", self.revoked_tokens.get()),
            counters("roomcast_revocations_total", "Tokens revoked.", "", [("", self.revocations.get())]),
            counters(
                "roomcast_revocations_refused_total",
                "Revocations refused because too many tokens are remembered.",
                "",
                [("", self.revocations_refused.get())],
            ),
        ]
    }
}
