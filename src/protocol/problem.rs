//! Problem details (RFC 9457): how HTTP answers say what is wrong, written where there is no HTTP server to write them.

use super::json::write_string;
use super::refusal::{Code, Refusal};
use std::fmt::Write as _;

/// Media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What all names of problems begin with.
pub const PROBLEM_PREFIX: &str = "urn:roomcast:problem:";

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem<'a> {
    /// HTTP status.
    pub status: u16,
    /// Stable name, behind the prefix of all names.
    pub name: &'a str,
    /// The same in words.
    pub title: &'a str,
    /// One sentence about this occurrence.
    pub detail: &'a str,
    /// The code that clients on other doors see for it, if there is one.
    pub code: Option<Code>,
    /// When to try again, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl<'a> Problem<'a> {
    /// A refusal has the same name at every door.
    #[must_use]
    pub fn of(Refusal { code, detail, retry_after_ms }: &'a Refusal) -> Self {
        Self::of_code(*code, detail, *retry_after_ms)
    }

    /// The problem that a refusal with this code is.
    #[must_use]
    pub fn of_code(code: Code, detail: &'a str, retry_after_ms: Option<u64>) -> Self {
        let (status, name, title) = (code.http_status(), code.as_str(), code.title());
        Self { status, name, title, detail, code: Some(code), retry_after_ms }
    }

    /// The answer's body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Self { status, name, title, .. } = self;
        let mut out =
            format!("{{\"type\":\"{PROBLEM_PREFIX}{name}\",\"title\":\"{title}\",\"status\":{status},\"detail\":");
        write_string(self.detail, &mut out);
        // Writing to a String cannot fail.
        let _infallible = self.code.map_or(Ok(()), |code| write!(out, ",\"code\":\"{}\"", code.as_str()));
        let _infallible = self.retry_after_ms.map_or(Ok(()), |ms| write!(out, ",\"retry_after_ms\":{ms}"));
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_with_its_code() {
        let refusal = Refusal::rate_limited("\"joins\"", 1_500);
        assert_eq!(
            Problem::of(&refusal).to_json(),
            r#"{"type":"urn:roomcast:problem:rate-limited","title":"Rate limited","status":429,"detail":"too many \"joins\"; slow down","code":"rate-limited","retry_after_ms":1500}"#
        );
    }
}
