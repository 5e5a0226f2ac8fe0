//! What a server that has been built says about itself in the log: whoever looks there later knows how it was set.

use super::Mode;
use crate::config::Settings;

/// Writes the lines. The settings still have their secrets, which are not shown.
pub(super) fn tell(settings: &Settings, mode: Mode, api_keys: usize, workers: usize) {
    let auth = &settings.auth;
    let tokens = match (&auth.auth_secret, &auth.auth_public_key, auth.auth_jwks_urls.len()) {
        (Some(_), _, _) => "secret",
        (None, Some(_), _) => "public key",
        (None, None, 1..) => "key sets",
        (None, None, 0) => "none",
    };
    let tls = if settings.tls.tls_cert.is_some() { "on" } else { "off" };
    let mode = match mode {
        Mode::Open => "open",
        Mode::Authenticated => "authenticated",
    };
    let (key_sets, trusted_proxies) = (auth.auth_jwks_urls.len(), settings.abuse.trusted_proxies.len());
    tracing::info!(mode, tls, tokens, key_sets, api_keys, trusted_proxies, workers, "settings in short");
}

/// Warns when clients that poll have to stay with their node although there are others.
pub(super) fn warn_of_sticky_sessions(settings: &Settings, is_alone: bool) {
    if !is_alone && settings.tls.tls_cert.is_some() {
        tracing::warn!(
            "with tls-cert nodes relay nothing to each other: clients that poll have to stay with their node (sticky sessions), or a proxy has to speak TLS"
        );
    }
}

/// Warns when services are locked out.
pub(super) fn warn_of_closed_api(mode: Mode, api_keys: usize) {
    if mode == Mode::Authenticated && api_keys == 0 {
        tracing::warn!("the HTTP API is closed: no api-key");
    }
}
