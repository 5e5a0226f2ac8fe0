//! The `roomcast` program. What it can do is in [`roomcast::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    roomcast::cli::run(std::env::args_os())
}
