//! Secrets: values that are never printed, and the files that they come from.

use std::path::Path;

/// Largest file that secrets are read from.
const SECRET_FILE_MAX_BYTES: u64 = 64 * 1024;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// What is in a file, without the spaces around it.
pub(super) fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let read = std::fs::metadata(path).and_then(|about| Ok((about.len(), std::fs::read_to_string(path)?)));
    let (bytes, text) = read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    match text.trim() {
        "" => Err(format!("{shown} is empty")),
        _ if bytes > SECRET_FILE_MAX_BYTES => Err(format!("{shown} is too large to be a secret")),
        text => Ok(text.to_owned()),
    }
}
