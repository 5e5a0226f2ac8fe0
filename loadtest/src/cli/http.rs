//! Defines the command line of `http`: people and probes who ask for pages, lists and health.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::options::RunOptions;
use super::units::{per_second, seconds};

/// `http`
#[derive(Debug, Args, Serialize)]
pub(crate) struct HttpCommand {
    /// People who ask at the same time, each on a connection of their own
    #[arg(long, default_value_t = 50)]
    pub(crate) users: usize,
    /// Time that counts, in seconds or as 5m
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Time before, which does not count
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub(crate) warmup: f64,
    /// Time to wait for the last answers
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) drain: f64,
    /// What they ask for; `all`: everything in turn
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(crate) scenario: Vec<Scenario>,
    /// Requests due per second, as 300/min or 50/s, whether or not earlier ones were answered: latency counts from then
    /// (an open model). Without it each user asks, waits for the answer, and pauses for --think
    #[arg(long, value_parser = per_second, conflicts_with = "think")]
    pub(crate) rate: Option<f64>,
    /// Pause of a user between an answer and the next request
    #[arg(long, default_value = "100ms", value_parser = seconds)]
    pub(crate) think: f64,
    /// Where people land
    #[arg(long, default_value = "/")]
    pub(crate) landing: String,
    /// Key of whoever reads incidents (search, detail); `roomcast dev` needs none
    #[arg(long, env = "ROOMCAST_API_KEY", hide_env_values = true)]
    #[serde(skip)]
    pub(crate) api_key: Option<String>,
    /// Integration key with which an incident is opened if there is none to look at
    #[arg(long, default_value = "dev")]
    #[serde(skip)]
    pub(crate) routing_key: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// whether the server is alive: /livez
    Health,
    /// the page on which people land
    Landing,
    /// open incidents with a word in their title
    Search,
    /// one incident
    Detail,
    /// the dashboard of everything
    Dashboard,
    /// all of these in turn
    All,
}

impl Scenario {
    /// Everything but `All`.
    pub(crate) const EACH: [Self; 5] = [Self::Health, Self::Landing, Self::Search, Self::Detail, Self::Dashboard];

    /// What it is called in a report.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
