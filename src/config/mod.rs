//! Every setting: name, default, unit, meaning. The only reader of the environment.
//!
//! Each setting is a flag, an environment variable and a key of the optional TOML file, in falling order of precedence;
//! all three names derive from the one declaration here, and so does the table in the README.

mod listen;
mod limits;
mod units;

pub use limits::{DeliverySettings, HeartbeatSettings, LimitSettings, RoomPolicyRule, SlowConsumerPolicy};
pub use listen::{AuthSettings, DrainSettings, ListenSettings, LogFormat, LogSettings, Secret};
pub use units::{parse_bytes, parse_duration, show_bytes, show_duration};

/// All settings of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where the server listens.
    #[command(flatten)]
    pub listen: ListenSettings,
    /// Who may connect and publish.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// What clients may cost.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// How delivery works and what happens to slow consumers.
    #[command(flatten)]
    pub delivery: DeliverySettings,
    /// When silent clients are given up.
    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,
    /// How the server ends.
    #[command(flatten)]
    pub drain: DrainSettings,
    /// What is logged.
    #[command(flatten)]
    pub log: LogSettings,
}
