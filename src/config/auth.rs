//! Who may connect and who may publish by HTTP: secrets, which are never printed and may come from files.

use std::path::{Path, PathBuf};

/// Shortest secret that tokens may be signed with, in bytes (RFC 7518 §3.2).
pub const AUTH_SECRET_MIN_BYTES: usize = 32;

/// Shortest key of the HTTP API, in characters.
pub const API_KEY_MIN_CHARS: usize = 16;

/// Largest file that secrets are read from.
const SECRET_FILE_MAX_BYTES: u64 = 64 * 1024;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
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

/// Who may connect and who may publish by HTTP.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Authentication")]
pub struct AuthSettings {
    /// Secret that client tokens (JWT, HS256) are signed with; at least 32 bytes
    #[arg(
        long,
        env = "ROOMCAST_AUTH_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub auth_secret: Option<Secret>,
    /// File that holds that secret
    #[arg(long, env = "ROOMCAST_AUTH_SECRET_FILE", value_name = "FILE")]
    pub auth_secret_file: Option<PathBuf>,
    /// Keys that services use for the HTTP API (`Authorization: Bearer KEY`); at least 16 characters each
    #[arg(
        long = "api-key",
        env = "ROOMCAST_API_KEYS",
        value_name = "KEY",
        value_delimiter = ',',
        hide_env_values = true,
        hide_default_value = true
    )]
    pub api_keys: Vec<Secret>,
    /// File that holds those keys, one a line
    #[arg(long, env = "ROOMCAST_API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<PathBuf>,
}

impl AuthSettings {
    /// Fills in the secrets that are in files. Returns what is wrong, one sentence each.
    pub fn read_files(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(path) = self.auth_secret_file.take() {
            match read_secret(&path) {
                _ if self.auth_secret.is_some() => {
                    problems.push("auth-secret and auth-secret-file are both given; leave one out".into())
                }
                Ok(text) => self.auth_secret = Some(Secret(text)),
                Err(problem) => problems.push(format!("auth-secret-file: {problem}")),
            }
        }
        if let Some(path) = self.api_keys_file.take() {
            match read_secret(&path) {
                _ if !self.api_keys.is_empty() => {
                    problems.push("api-key and api-keys-file are both given; leave one out".into())
                }
                Ok(text) => self.api_keys = text.split_whitespace().map(|key| Secret(key.to_owned())).collect(),
                Err(problem) => problems.push(format!("api-keys-file: {problem}")),
            }
        }
        problems
    }

    /// What is wrong with the secrets themselves, one sentence each.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let length = self.auth_secret.as_ref().map(|secret| secret.expose().len());
        if let Some(length) = length.filter(|length| *length < AUTH_SECRET_MIN_BYTES) {
            problems.push(format!(
                "the auth-secret has {length} bytes, but at least {AUTH_SECRET_MIN_BYTES} are needed: \
                 set ROOMCAST_AUTH_SECRET, for example to the output of `openssl rand -hex 32`"
            ));
        }
        let is_bad = |key: &Secret| {
            let key = key.expose();
            key.chars().count() < API_KEY_MIN_CHARS || !key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(number) = self.api_keys.iter().position(is_bad) {
            let number = number + 1;
            problems.push(format!(
                "api-key number {number} is too weak: a key has at least {API_KEY_MIN_CHARS} characters, \
                 printable ASCII without spaces"
            ));
        }
        problems
    }

    /// What to do when nobody could be authenticated, since there is no secret.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        self.auth_secret.is_none().then(|| {
            format!(
                "no secret to verify tokens with: set ROOMCAST_AUTH_SECRET (or --auth-secret-file) to at least \
                 {AUTH_SECRET_MIN_BYTES} random bytes, for example the output of `openssl rand -hex 32`"
            )
        })
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let read = std::fs::metadata(path).and_then(|about| Ok((about.len(), std::fs::read_to_string(path)?)));
    let (bytes, text) = read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    match text.trim() {
        "" => Err(format!("{shown} is empty")),
        _ if bytes > SECRET_FILE_MAX_BYTES => Err(format!("{shown} is too large to be a secret")),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(secret: Option<&str>, keys: &[&str]) -> AuthSettings {
        AuthSettings {
            auth_secret: secret.map(|secret| secret.parse().unwrap()),
            auth_secret_file: None,
            api_keys: keys.iter().map(|key| key.parse().unwrap()).collect(),
            api_keys_file: None,
        }
    }

    #[test]
    fn short_secrets_and_keys_are_found_and_not_printed() {
        assert_eq!(
            settings(Some("0123456789abcdef0123456789abcdef"), &["0123456789abcdef"]).check(),
            Vec::<String>::new()
        );
        let problems = settings(Some("hunter2"), &["0123456789abcdef", "correct horse battery"]).check();
        assert_eq!(problems.len(), 2);
        assert!(!format!("{problems:?}").contains("hunter2"));
        assert!(problems[1].contains("number 2"), "{problems:?}");
        assert!(settings(None, &[]).missing().is_some());
    }

    #[test]
    fn secrets_are_read_from_files_and_trimmed() {
        let folder = std::env::temp_dir().join(format!("roomcast-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (secret, keys) = (folder.join("secret"), folder.join("keys"));
        std::fs::write(&secret, " s3cret\n").unwrap();
        std::fs::write(&keys, "one\n\ntwo\n").unwrap();
        let mut auth = settings(None, &[]);
        (auth.auth_secret_file, auth.api_keys_file) = (Some(secret.clone()), Some(keys));
        assert_eq!(auth.read_files(), Vec::<String>::new());
        assert_eq!(auth.auth_secret.as_ref().map(Secret::expose), Some("s3cret"));
        assert_eq!(auth.api_keys.iter().map(Secret::expose).collect::<Vec<_>>(), ["one", "two"]);
        auth.auth_secret_file = Some(secret);
        auth.api_keys_file = Some(folder.join("absent"));
        auth.api_keys.clear();
        let problems = auth.read_files();
        assert!(problems[0].contains("both given") && problems[1].contains("cannot read"), "{problems:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
