//! What was given is wrong: an option, a scenario file, a report, a target. The run does not begin, and the exit code is
//! that of a wrong command line.

use std::fmt;

/// Says what is wrong, with the field's name and what it allows.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl Wrong {
    /// An error of this kind.
    pub(crate) fn error(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(text.into()))
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}
