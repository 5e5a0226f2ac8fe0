//! What browsers are told about the page: where it may load things from, and who may show it.

use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Headers that every answer of the page has.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// What the page may load, and whom it may ask: this server alone, and nothing that stands in its text. `request` says how the browser
/// called this server, for browsers in which `'self'` is not about WebSockets.
pub(super) fn restrict(headers: &mut HeaderMap, request: &HeaderMap) {
    let host = request.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    let sockets = host.map_or_else(String::new, |host| format!(" ws://{host} wss://{host}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{sockets}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    );
    let policy = HeaderValue::from_str(&policy);
    // Without odd characters it is always valid.
    let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
}

/// Whether a name of this server may stand in a policy: no space or semicolon makes more of it.
fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(host: Option<&str>) -> String {
        let (mut headers, mut request) = (HeaderMap::new(), HeaderMap::new());
        host.map(|host| request.insert(HOST, host.parse().unwrap()));
        restrict(&mut headers, &request);
        headers[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_policy_names_the_server_as_it_was_called_and_nothing_else() {
        assert!(
            policy(Some("rooms.example:8443")).contains("'self' ws://rooms.example:8443 wss://rooms.example:8443;")
        );
        assert!(policy(Some("[::1]:3000")).contains(" ws://[::1]:3000 "));
        for odd in [None, Some(""), Some("a.example; script-src *"), Some("a b"), Some("*"), Some("a,b")] {
            assert!(policy(odd).contains("connect-src 'self';"), "{odd:?}");
        }
        assert!(!policy(None).contains("unsafe"));
    }
}
