//! Who may connect and who may use the HTTP API: secrets, which are never printed and may come from files.

use super::api_key::{API_KEYS_MAX, ApiKey};
use super::secret::{Secret, read_secret};
use super::{KeySetUrl, PublicKey, TokenAlgorithm, parse_duration};
use std::path::PathBuf;
use std::time::Duration;

/// Shortest secret that tokens may be signed with, in bytes (RFC 7518 §3.2).
pub const AUTH_SECRET_MIN_BYTES: usize = 32;

/// Most issuers whose keys are fetched.
const KEY_SETS_MAX: usize = 16;

/// Who may connect and who may use the HTTP API.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Authentication")]
pub struct AuthSettings {
    /// Secret that client tokens (JWT) are signed with; at least 32 bytes
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
    /// File with the public key (PEM: RSA, P-256 or Ed25519) of who signs client tokens, in place of a secret
    #[arg(long, env = "ROOMCAST_AUTH_PUBLIC_KEY_FILE", value_name = "FILE")]
    pub auth_public_key_file: Option<PathBuf>,
    /// The key that is in that file.
    #[arg(skip)]
    pub auth_public_key: Option<PublicKey>,
    /// Addresses of the key sets (JWKS) of who signs client tokens, in place of a key: URL, or ISSUER=URL for several issuers
    #[arg(long = "auth-jwks-url", env = "ROOMCAST_AUTH_JWKS_URLS", value_name = "URL", value_delimiter = ',', value_parser = clap::value_parser!(KeySetUrl))]
    pub auth_jwks_urls: Vec<KeySetUrl>,
    /// File with certificates (PEM) that are trusted when key sets are fetched, besides those that the machine trusts
    #[arg(long, env = "ROOMCAST_AUTH_JWKS_CA_FILE", value_name = "FILE")]
    pub auth_jwks_ca_file: Option<PathBuf>,
    /// The text of that file.
    #[arg(skip)]
    pub auth_jwks_ca: Option<String>,
    /// Algorithms that tokens may be signed with; unless given HS256 for a secret, that of the public key, or RS256, ES256 and EdDSA for key sets
    #[arg(
        long,
        env = "ROOMCAST_AUTH_ALGORITHMS",
        value_name = "NAMES",
        value_delimiter = ',',
        value_enum,
        ignore_case = true
    )]
    pub auth_algorithms: Vec<TokenAlgorithm>,
    /// Issuers (`iss`) whose tokens are taken; any unless given
    #[arg(long = "auth-issuer", env = "ROOMCAST_AUTH_ISSUERS", value_name = "NAME", value_delimiter = ',')]
    pub auth_issuers: Vec<String>,
    /// Audiences (`aud`) of which a token has to name one; none needed unless given
    #[arg(long = "auth-audience", env = "ROOMCAST_AUTH_AUDIENCES", value_name = "NAME", value_delimiter = ',')]
    pub auth_audiences: Vec<String>,
    /// How far the clocks of issuers may be off
    #[arg(long, env = "ROOMCAST_AUTH_LEEWAY", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub auth_leeway: Duration,
    /// How long before its token expires a session is told, so that it can send a fresh one
    #[arg(long, env = "ROOMCAST_TOKEN_WARNING", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub token_warning: Duration,
    /// How often key sets are fetched again
    #[arg(long, env = "ROOMCAST_JWKS_REFRESH", value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub jwks_refresh: Duration,
    /// Shortest time between two fetches of a key set, however many unknown keys tokens name
    #[arg(long, env = "ROOMCAST_JWKS_MIN_REFRESH", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub jwks_min_refresh: Duration,
    /// How long a key set is used after its last fetch while its issuer does not answer
    #[arg(long, env = "ROOMCAST_JWKS_STALE", value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    pub jwks_stale: Duration,
    /// How long a fetch of a key set may take, and a client whose key is unknown may wait for it
    #[arg(long, env = "ROOMCAST_JWKS_TIMEOUT", value_name = "TIME", default_value = "3s", value_parser = parse_duration)]
    pub jwks_timeout: Duration,
    /// Most revoked tokens that are remembered
    #[arg(long, env = "ROOMCAST_MAX_REVOKED_TOKENS", value_name = "N", default_value_t = 100_000)]
    pub max_revoked_tokens: usize,
    /// How long a revoked token is remembered when the revocation does not say when it expires
    #[arg(long, env = "ROOMCAST_REVOKED_TOKEN_TTL", value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    pub revoked_token_ttl: Duration,
    /// Keys that services use for the HTTP API (`Authorization: Bearer KEY`), at least 16 characters each: KEY, NAME=KEY or NAME:scope+scope=KEY; `sha256:HEX` may stand for the key
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
    /// Fills in what is in files. Returns what is wrong, one sentence each.
    pub fn read_files(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(path) = self.auth_secret_file.take() {
            match read_secret(&path) {
                _ if self.auth_secret.is_some() => {
                    problems.push("auth-secret and auth-secret-file are both given; leave one out".into())
                }
                Ok(text) => self.auth_secret = Some(Secret::new(&text)),
                Err(problem) => problems.push(format!("auth-secret-file: {problem}")),
            }
        }
        if let Some(path) = self.auth_public_key_file.take() {
            let key = read_secret(&path).and_then(|text| {
                PublicKey::from_pem(&text).map_err(|problem| format!("{}: {problem}", path.display()))
            });
            match key {
                Ok(key) => self.auth_public_key = Some(key),
                Err(problem) => problems.push(format!("auth-public-key-file: {problem}")),
            }
        }
        if let Some(path) = self.auth_jwks_ca_file.take() {
            match read_secret(&path) {
                Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => self.auth_jwks_ca = Some(text),
                Ok(_) => problems.push(format!("auth-jwks-ca-file: there is no certificate in {}", path.display())),
                Err(problem) => problems.push(format!("auth-jwks-ca-file: {problem}")),
            }
        }
        if let Some(path) = self.api_keys_file.take() {
            match read_secret(&path) {
                _ if !self.api_keys.is_empty() => {
                    problems.push("api-key and api-keys-file are both given; leave one out".into())
                }
                Ok(text) => self.api_keys = text.split_whitespace().map(Secret::new).collect(),
                Err(problem) => problems.push(format!("api-keys-file: {problem}")),
            }
        }
        problems
    }

    /// The algorithms that tokens may have.
    #[must_use]
    pub fn algorithms(&self) -> Vec<TokenAlgorithm> {
        match (&self.auth_algorithms[..], &self.auth_public_key) {
            ([], _) if self.auth_secret.is_some() => vec![TokenAlgorithm::Hs256],
            ([], Some(key)) => vec![TokenAlgorithm::of(key)],
            ([], None) => vec![TokenAlgorithm::Rs256, TokenAlgorithm::Es256, TokenAlgorithm::EdDsa],
            (named, _) => named.to_vec(),
        }
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
        self.check_kinds(&mut problems);
        self.check_key_sets(&mut problems);
        problems.extend(self.keys().err().into_iter().flatten());
        problems
    }

    fn check_kinds(&self, problems: &mut Vec<String>) {
        let kinds = [
            ("auth-secret", self.auth_secret.is_some()),
            ("auth-public-key-file", self.auth_public_key.is_some() || self.auth_public_key_file.is_some()),
            ("auth-jwks-url", !self.auth_jwks_urls.is_empty()),
        ];
        let given: Vec<_> = kinds.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if given.len() > 1 {
            problems.push(format!("{} are given; tokens are verified in one way, so leave one", given.join(" and ")));
            return;
        }
        if let [kind] = given[..] {
            for algorithm in &self.auth_algorithms {
                problems.extend(self.misfit(*algorithm, kind));
            }
        }
    }

    /// Why tokens of this algorithm cannot be verified with what there is.
    fn misfit(&self, algorithm: TokenAlgorithm, kind: &str) -> Option<String> {
        let fits = match (algorithm.secret_min_bytes(), &self.auth_secret, &self.auth_public_key) {
            (Some(least), Some(secret), _) => {
                let length = secret.expose().len();
                // One that is too short for any is reported already.
                let short = (AUTH_SECRET_MIN_BYTES..least).contains(&length);
                return short.then(|| {
                    format!(
                        "auth-algorithms: {algorithm} needs a secret of {least} bytes; the auth-secret has {length}"
                    )
                });
            }
            (Some(_), None, _) | (None, Some(_), _) => false,
            (None, None, Some(key)) => TokenAlgorithm::of(key) == algorithm,
            (None, None, None) => true,
        };
        (!fits).then(|| format!("auth-algorithms: {algorithm} does not go with {kind}"))
    }

    fn check_key_sets(&self, problems: &mut Vec<String>) {
        let sets = &self.auth_jwks_urls;
        if sets.len() > KEY_SETS_MAX {
            problems.push(format!("auth-jwks-url is given {} times, at most {KEY_SETS_MAX}", sets.len()));
        }
        if sets.len() > 1 && sets.iter().any(|set| set.issuer.is_none()) {
            problems.push("several auth-jwks-url: each needs its issuer, ISSUER=URL".into());
        }
        for (index, set) in sets.iter().enumerate() {
            if let Some(issuer) = &set.issuer {
                if sets[..index].iter().any(|other| other.issuer == set.issuer) {
                    problems.push(format!("auth-jwks-url: the issuer {issuer:?} is there twice"));
                }
                if !self.auth_issuers.is_empty() && !self.auth_issuers.contains(issuer) {
                    problems.push(format!("auth-jwks-url: the issuer {issuer:?} is not among auth-issuer"));
                }
            }
        }
        let too_long = self.jwks_refresh > self.jwks_stale || self.jwks_min_refresh > self.jwks_refresh;
        if too_long {
            problems.push("jwks-min-refresh, jwks-refresh and jwks-stale are not in rising order".into());
        }
    }

    /// The keys of services.
    ///
    /// # Errors
    /// What is wrong with them, one sentence each.
    pub fn keys(&self) -> Result<Vec<ApiKey>, Vec<String>> {
        let (mut keys, mut problems): (Vec<ApiKey>, _) = (Vec::new(), Vec::new());
        for (text, position) in self.api_keys.iter().zip(1..) {
            match ApiKey::parse(text, position) {
                Ok(key) if keys.iter().any(|known| known.name == key.name) => {
                    problems.push(format!("api-key {}: two keys have this name", key.name));
                }
                Ok(key) => keys.push(key),
                Err(problem) => problems.push(problem),
            }
        }
        if self.api_keys.len() > API_KEYS_MAX {
            problems.push(format!("there are {} api-keys, at most {API_KEYS_MAX}", self.api_keys.len()));
        }
        if problems.is_empty() { Ok(keys) } else { Err(problems) }
    }

    /// Forgets what no longer has to be known once the server is built.
    pub fn forget_secrets(&mut self) {
        (self.auth_secret, self.api_keys) = (None, Vec::new());
    }

    /// What may not be meant so, one sentence each.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let any = !self.auth_jwks_urls.is_empty() && self.auth_audiences.is_empty();
        let doubt = "auth-jwks-url without auth-audience: every token of these issuers is taken, also those for other applications; \
                     set ROOMCAST_AUTH_AUDIENCES to what tokens for this server have as `aud`";
        any.then(|| doubt.to_owned()).into_iter().collect()
    }

    /// What to do when nobody could be authenticated, since there is nothing to verify tokens with.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let nothing = self.auth_secret.is_none() && self.auth_public_key.is_none() && self.auth_jwks_urls.is_empty();
        nothing.then(|| {
            format!(
                "nothing to verify tokens with: set ROOMCAST_AUTH_SECRET (or --auth-secret-file) to at least \
                 {AUTH_SECRET_MIN_BYTES} random bytes, for example the output of `openssl rand -hex 32`, or set \
                 ROOMCAST_AUTH_PUBLIC_KEY_FILE or ROOMCAST_AUTH_JWKS_URLS"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> AuthSettings {
        use clap::FromArgMatches as _;
        let command = <AuthSettings as clap::Args>::augment_args(clap::Command::new("test").no_binary_name(true));
        AuthSettings::from_arg_matches(&command.try_get_matches_from(flags).unwrap()).unwrap()
    }

    fn settings(secret: Option<&str>, keys: &[&str]) -> AuthSettings {
        let mut auth = read(&[]);
        auth.auth_secret = secret.map(Secret::new);
        auth.api_keys = keys.iter().map(|key| Secret::new(key)).collect();
        auth
    }

    #[test]
    fn tokens_are_verified_in_one_way_and_with_algorithms_that_fit() {
        let secret = ["--auth-secret", "0123456789abcdef0123456789abcdef"];
        let check = |flags: &[&str], public_key: bool| {
            let mut auth = read(flags);
            auth.auth_public_key = public_key.then(|| PublicKey::Ed25519(vec![0; 32]));
            auth.check()
        };
        let with_secret = |flags: &[&'static str]| check(&[&secret[..], flags].concat(), false);
        let url = "--auth-jwks-url=https://a.example/keys";
        assert_eq!(with_secret(&["--auth-algorithms", "hs256"]), Vec::<String>::new());
        assert_eq!(check(&["--auth-algorithms=EdDSA"], true), Vec::<String>::new());
        assert_eq!(check(&["--auth-algorithms=RS256,EdDSA", url], false), Vec::<String>::new());
        assert_eq!(read(&[url]).algorithms(), [TokenAlgorithm::Rs256, TokenAlgorithm::Es256, TokenAlgorithm::EdDsa]);
        assert_eq!(read(&secret).algorithms(), [TokenAlgorithm::Hs256]);
        for (problems, expected) in [
            (with_secret(&["--auth-algorithms", "HS512"]), "needs a secret of 64 bytes"),
            (with_secret(&["--auth-algorithms", "RS256"]), "does not go with auth-secret"),
            (with_secret(&[url]), "auth-secret and auth-jwks-url are given"),
            (check(&["--auth-algorithms=RS256"], true), "does not go with auth-public-key-file"),
            (check(&["--auth-algorithms=HS256", url], false), "does not go with auth-jwks-url"),
            (check(&[url, "--auth-jwks-url=b=https://b.example/"], false), "each needs its issuer"),
            (check(&["--auth-jwks-url=b=https://b/,b=https://c/"], false), "there twice"),
            (check(&["--auth-jwks-url=b=https://b/", "--auth-issuer=c"], false), "not among auth-issuer"),
            (check(&["--jwks-min-refresh=1h"], false), "rising order"),
        ] {
            assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn tokens_for_others_are_a_doubt() {
        let url = "--auth-jwks-url=https://a.example/keys";
        assert!(read(&[url]).doubts()[0].contains("auth-audience"));
        for fine in [&[url, "--auth-audience=rooms"][..], &["--auth-secret=0123456789abcdef0123456789abcdef"], &[]] {
            assert_eq!(read(fine).doubts(), Vec::<String>::new());
        }
    }

    #[test]
    fn names_of_keys_are_different() {
        let problem = settings(None, &["a=0123456789abcdef", "b=0123456789abcdef", "a=abcdef0123456789"]).keys();
        assert_eq!(problem.unwrap_err(), ["api-key a: two keys have this name"]);
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
