//! Whoever comes to a server for development, and the page that it shows them.

use super::{Claims, Mode, Right, RoomClaim};
use crate::config::Settings;
use crate::http::Page;
use crate::lifecycle;
use crate::session::TokenKey;
use anyhow::Context as _;
use std::time::Duration;

/// How long a token is valid that `dev` gives away.
pub const VISIT: Duration = Duration::from_secs(12 * 3_600);

/// The reserved rooms that it opens: those in which the server says what happens to incidents.
const TOLD: [&str; 5] = ["incident:*", "service:*", "team:*", "dashboard:*", "incidents"];

/// Those of them in which people talk too.
const TALKED_IN: &str = "incident:*";

/// What the token of a visitor says who calls itself `user`.
#[must_use]
pub fn visitor_claims(user: &str) -> Claims {
    let claim = |rooms: &str, rights: &[Right]| RoomClaim {
        r#match: rooms.to_owned(),
        allow: rights.iter().map(|right| right.as_str().to_owned()).collect(),
    };
    let heard = TOLD.map(|rooms| claim(rooms, &[Right::Join, Right::Presence, Right::History]));
    let rooms = heard.into_iter().chain([claim(TALKED_IN, &[Right::Publish])]).collect();
    Claims { sub: user.to_owned(), rooms, ..Claims::default() }
}

/// The live page, if the settings want it. A server for development gives its visitors tokens, if it can sign any.
pub(super) fn page(settings: &Settings, mode: Mode) -> Option<Page> {
    if !settings.listen.page {
        return None;
    }
    let key = TokenKey::of(&settings.auth).filter(|_| mode == Mode::Open);
    let Some(key) = key else { return Some(Page::closed()) };
    let (iss, aud) = (settings.auth.auth_issuers.first().cloned(), settings.auth.auth_audiences.first().cloned());
    Some(Page::open(move |user| {
        let exp = lifecycle::unix_seconds().saturating_add(VISIT.as_secs());
        let claims = Claims { exp, iss: iss.clone(), aud: aud.clone(), ..visitor_claims(user) };
        key.sign(&claims).context("cannot sign a token")
    }))
}
