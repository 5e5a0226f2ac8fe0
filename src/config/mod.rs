//! Every setting: name, default, unit, meaning. The only reader of the environment.
//!
//! Each setting is a flag, an environment variable and a key of the optional TOML file, in falling order of precedence;
//! all three names derive from the one declaration here, and so does the table in `docs/settings.md`.

mod abuse;
mod api_key;
mod auth;
mod check;
mod dashboard;
mod database;
mod database_url;
mod environment;
mod file;
mod layers;
mod limits;
mod listen;
mod network;
mod policy;
mod presence;
mod public_key;
mod recovery;
mod redis;
mod secret;
mod show;
mod tap;
mod tls;
mod token;
mod trust;
mod units;

pub use abuse::AbuseSettings;
pub use api_key::{API_KEY_MIN_CHARS, ApiKey, KeyProof, Scope, Scopes};
pub use auth::{AUTH_SECRET_MIN_BYTES, AuthSettings};
pub use dashboard::DashboardSettings;
pub use database::DatabaseSettings;
pub use database_url::{DatabasePlace, DatabaseTls, PostgresPlace};
pub use environment::wants_colour;
pub use file::SettingsFile;
pub use layers::{FileArg, Loaded, deepest, load};
pub use limits::{DeliverySettings, HeartbeatSettings, LimitSettings, SlowConsumerPolicy, SlowConsumerRule};
pub use listen::{DrainSettings, ListenSettings, LogFormat, LogSettings};
pub use network::Network;
pub use policy::{RateRule, RoomRule, RoomSettings, Who};
pub use presence::PresenceSettings;
pub use public_key::PublicKey;
pub use recovery::RecoverySettings;
pub use redis::RedisSettings;
pub use secret::Secret;
pub use show::{effective, reference};
pub use tap::TapSettings;
pub use tls::{Certified, TlsFiles, TlsSettings};
pub use token::{KeySetUrl, TokenAlgorithm};
pub use trust::trusting;
pub use units::{parse_bytes, parse_duration, parse_log_filter, show_bytes, show_duration};

/// All settings of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where the server listens.
    #[command(flatten)]
    pub listen: ListenSettings,
    /// TLS on the public address.
    #[command(flatten)]
    pub tls: TlsSettings,
    /// Who may connect and publish.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// Who may do what in which room.
    #[command(flatten)]
    pub rooms: RoomSettings,
    /// How members are told who comes and goes.
    #[command(flatten)]
    pub presence: PresenceSettings,
    /// What clients may cost.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// What strangers may cost.
    #[command(flatten)]
    pub abuse: AbuseSettings,
    /// How much of single sessions operators may watch.
    #[command(flatten)]
    pub taps: TapSettings,
    /// How delivery works and what happens to slow consumers.
    #[command(flatten)]
    pub delivery: DeliverySettings,
    /// How this node meets the others.
    #[command(flatten)]
    pub redis: RedisSettings,
    /// Where incidents are kept.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// How fresh dashboards are.
    #[command(flatten)]
    pub dashboard: DashboardSettings,
    /// When silent clients are given up.
    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,
    /// How long sessions may be away.
    #[command(flatten)]
    pub recovery: RecoverySettings,
    /// How the server ends.
    #[command(flatten)]
    pub drain: DrainSettings,
    /// What is logged.
    #[command(flatten)]
    pub log: LogSettings,
}

impl Default for Settings {
    /// The defaults of the declaration, whatever the environment says.
    fn default() -> Self {
        let command = Self::declared().no_binary_name(true).mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
        let matches = command.try_get_matches_from(std::iter::empty::<std::ffi::OsString>());
        let settings = matches.and_then(|matches| <Self as clap::FromArgMatches>::from_arg_matches(&matches));
        settings.expect("every setting has a valid default, or none")
    }
}

impl Settings {
    /// The declaration of all settings, without values.
    #[must_use]
    pub fn declared() -> clap::Command {
        <Self as clap::Args>::augment_args(clap::Command::new("settings"))
    }
}
