//! What the environment says that is no setting.

/// Whether to write with colours: only on a terminal, and not when `NO_COLOR` is set to anything (no-color.org).
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
pub fn wants_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
