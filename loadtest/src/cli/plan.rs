//! Defines the command line of `plan`: what a load needs, reckoned from what was measured.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::units::per_second;

/// `plan`
#[derive(Debug, Args)]
pub(crate) struct PlanCommand {
    /// Open sockets, all replicas together
    #[arg(long, required_unless_present_any = ["class", "write"])]
    pub(crate) users: Option<u64>,
    /// Rooms with members; half as many as users when not given
    #[arg(long)]
    pub(crate) rooms: Option<u64>,
    /// Members of a room; users by rooms when not given
    #[arg(long)]
    pub(crate) members: Option<f64>,
    /// Publishes per second in each room, as 1/s or 20/min
    #[arg(long, default_value = "1/s", value_parser = per_second)]
    pub(crate) rate: f64,
    /// Bytes of a published data object
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: u64,
    /// A size of the capacity page in place of --users and --rooms
    #[arg(long, value_enum, conflicts_with_all = ["users", "rooms", "members"])]
    pub(crate) class: Option<Class>,
    /// What a replica may use, and how many there are at least
    #[command(flatten)]
    pub(crate) replica: Replica,
    /// Folder with the results to reckon with; those that this tool was built with when not given
    #[arg(long, value_name = "FOLDER")]
    pub(crate) results: Option<PathBuf>,
    /// Write the capacity page to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["users", "class"])]
    pub(crate) write: Option<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    pub(crate) as_json: bool,
}

/// What a replica may use, and how many there are at least.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "A replica")]
pub(crate) struct Replica {
    /// Open sockets at which a replica is full; that of the autoscaler in k8s/ unless given
    #[arg(long, default_value_t = 700)]
    pub(crate) sockets_per_replica: u64,
    /// Processors of a replica
    #[arg(long, default_value_t = 1.0)]
    pub(crate) cpu: f64,
    /// The part of them that is used before another replica is needed
    #[arg(long, default_value_t = 0.7)]
    pub(crate) cpu_share: f64,
    /// Memory of a replica in MiB
    #[arg(long, default_value_t = 512)]
    pub(crate) memory_mib: u64,
    /// Replicas that are there in any case, so that one may be missing
    #[arg(long, default_value_t = 2)]
    pub(crate) least: u64,
    /// Connections to the database of each replica (db-pool-max)
    #[arg(long, default_value_t = 10)]
    pub(crate) pool: u64,
}

/// A size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Class {
    /// 500 users
    #[value(name = "S")]
    S,
    /// 2,000 users: the headline
    #[value(name = "M")]
    M,
    /// 10,000 users
    #[value(name = "L")]
    L,
    /// 40,000 users
    #[value(name = "XL")]
    Xl,
}

impl Class {
    /// All of them, small ones first.
    pub(crate) const ALL: [Self; 4] = [Self::S, Self::M, Self::L, Self::Xl];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::M => "M",
            Self::L => "L",
            Self::Xl => "XL",
        }
    }

    /// Its users; there are half as many rooms.
    pub(crate) fn users(self) -> u64 {
        match self {
            Self::S => 500,
            Self::M => 2_000,
            Self::L => 10_000,
            Self::Xl => 40_000,
        }
    }
}

impl Default for Replica {
    fn default() -> Self {
        Self { sockets_per_replica: 700, cpu: 1.0, cpu_share: 0.7, memory_mib: 512, least: 2, pool: 10 }
    }
}
