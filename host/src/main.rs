//! `hookwright`: parse the command line, match, run.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookwright::cli::main()
}
