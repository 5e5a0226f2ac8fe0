//! The command line: a file for each command, and the way from what happened to an exit code.
//!
//! 0 is success, 1 says that something went wrong while running, 2 that the command line or a setting is wrong.

mod config;
mod descriptors;
mod dev;
mod healthcheck;
mod host;
mod http;
mod migrate;
mod publish;
mod serve;
mod signals;
mod tail;
mod token;

use crate::app::is_setting;
use crate::config::{FileArg, Loaded, Settings, load};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  roomcast dev                              an open server on this machine, with addresses to try
  ROOMCAST_AUTH_SECRET=… roomcast serve     a server for others
  roomcast token --sub ada                  a token for a client
  roomcast tail lobby                       watch a room
  roomcast publish lobby --data '\"hello\"'   say something in it

Settings come from flags, else the environment, else the TOML file that --config names, else they are the defaults.
Exit codes: 0 success, 1 something went wrong while running, 2 the command line or a setting is wrong.";

/// Realtime rooms for Socket.IO, plain WebSocket and HTTP clients.
#[derive(Debug, Parser)]
#[command(name = "roomcast", version, after_help = EXAMPLES, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Token(token::Token),
    Publish(publish::Publish),
    Tail(tail::Tail),
    /// Checks the settings, or shows them
    #[command(subcommand)]
    Config(config::Config),
    Migrate(migrate::Migrate),
    Healthcheck(healthcheck::Healthcheck),
}

/// Runs a command line, its first word being the program's name.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    // One provider for all of TLS; whoever has installed one already has installed this one.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args: Vec<OsString> = args.collect();
    match understand(&args).and_then(|(command, loaded)| command.run(loaded)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn understand(args: &[OsString]) -> Result<(Command, Loaded), Failure> {
    let loaded = load(Cli::command(), args).map_err(Failure::CommandLine)?;
    let cli = Cli::from_arg_matches(&loaded.matches).map_err(Failure::CommandLine)?;
    Ok((cli.command, loaded))
}

impl Command {
    fn run(self, loaded: Loaded) -> Result<(), Failure> {
        if matches!(self, Self::Config(_) | Self::Dev(_) | Self::Serve(_) | Self::Migrate(_)) {
            loaded.doubts.iter().for_each(|doubt| complain(doubt));
        }
        match self {
            Self::Config(config) => config.run(loaded),
            _ if !loaded.problems.is_empty() => Err(Failure::Usage(loaded.problems)),
            Self::Dev(dev) => dev.run(),
            Self::Serve(serve) => serve.run(),
            Self::Token(token) => token.run(),
            Self::Publish(publish) => publish.run(),
            Self::Tail(tail) => tail.run(),
            Self::Migrate(migrate) => migrate.run(),
            Self::Healthcheck(healthcheck) => healthcheck.run(),
        }
    }
}

/// Every setting, and the file that they may come from.
#[derive(Debug, Args)]
struct SettingsArgs {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    settings: Settings,
}

impl SettingsArgs {
    /// The settings with the secrets of their files, and what is wrong with them.
    fn read(self) -> (Settings, Vec<String>) {
        let mut settings = self.settings;
        let mut problems = settings.auth.read_files();
        problems.extend(settings.tls.check_files());
        problems.extend(settings.check());
        (settings, problems)
    }
}

/// Why a command ends with something else than success.
#[derive(Debug)]
enum Failure {
    /// The command line cannot be understood, or asks for help.
    CommandLine(clap::Error),
    /// The command line or a setting is wrong: one sentence for each fault.
    Usage(Vec<String>),
    /// Something went wrong while running.
    Run(anyhow::Error),
    /// Everything is said already; this is the exit code.
    Silent(u8),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if is_setting(&error) { Self::usage(format!("{error:#}")) } else { Self::Run(error) }
    }
}

impl Failure {
    fn usage(problem: impl Into<String>) -> Self {
        Self::Usage(vec![problem.into()])
    }

    fn tell(self) -> ExitCode {
        match self {
            Self::CommandLine(error) => {
                // Nobody is left to be told when this fails.
                let _printed = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Self::Usage(problems) => {
                problems.iter().for_each(|problem| complain(problem));
                ExitCode::from(2)
            }
            Self::Run(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
            Self::Silent(code) => ExitCode::from(code),
        }
    }
}

/// Writes a line to stderr.
fn complain(line: &str) {
    // Nobody is left to be told when this fails.
    let _written = writeln!(stderr().lock(), "roomcast: {line}");
}

/// Writes to stdout. When nobody reads it any more (`roomcast tail lobby | head -1`), that is a good end.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Silent(0),
        _ => anyhow::Error::from(error).context("cannot write the output").into(),
    })
}

/// A runtime for the commands that are clients.
fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| anyhow::Error::from(error).context("cannot start the runtime").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_declared_without_contradictions() {
        Cli::command().debug_assert();
    }
}
