//! The command line: `hookwright serve`, `rekey`, `demo`, `plugin check`, `plugin run`.
//!
//! [`main`] parses, matches and runs. Each command has a file of its own and writes to the output that
//! it is handed; colours are always written, and taken out again where the output is no terminal or
//! `NO_COLOR` is set.
//!
//! A command ends with 0 where all went well, 1 where something failed (for `plugin`: where the plugin
//! was refused or failed), 2 where the command line or a setting is wrong.

mod arguments;
mod demo;
mod json;
mod plugin;
mod rekey;
mod serve;
mod style;

use std::io::{self, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::config::{self, Config, ConfigError, Given};
use crate::sandbox::compiler;
use crate::{allocator, cores, telemetry};
use arguments::{Arguments, Command, PluginCommand};

/// A plugin was refused or failed, and that has been said.
const FAILED: u8 = 1;
/// What clap answers with as well.
const USAGE: u8 = 2;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = run(arguments);
    telemetry::flush();
    match ended {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do where even this cannot be written.
            let _ = writeln!(anstream::stderr(), "{}error:{} {error:#}", style::BAD, style::PLAIN);
            ExitCode::from(if is_usage(&error) { USAGE } else { FAILED })
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let plain = matches!(&arguments.command, Command::Demo(demo) if demo.no_color);
    let mut out = if plain { AutoStream::never(io::stdout()) } else { AutoStream::auto(io::stdout()) };
    match arguments.command {
        Command::Serve(serve) => {
            let config = load(&serve.settings.given)?;
            telemetry::start(&config)?;
            allocator::use_small_pages();
            for variable in config::unknown_variables(config::process_variables()) {
                tracing::warn!(
                    variable,
                    "no setting has this name; `hookwright serve --help` lists those there are"
                );
            }
            let runtime = runtime()?;
            let ended = runtime.block_on(serve::run(config, &mut out));
            // What still runs, such as a lookup of a name, has had its grace.
            runtime.shutdown_background();
            ended.map(|()| ExitCode::SUCCESS)
        }
        Command::Rekey(settings) => {
            let config = load(&settings.settings.given)?;
            telemetry::start(&config)?;
            runtime()?.block_on(rekey::run(&config, &mut out))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(arguments) => {
            let events = demo::events(arguments.events.as_deref())?;
            telemetry::start(&load(&Given::default().with("log", "warn"))?)?;
            runtime()?.block_on(demo::run(events, &mut out))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::CompilePlugin => Ok(compiler::main()),
        Command::Plugin(PluginCommand::Check { file }) => {
            let config = load(&Given::default())?;
            runtime()?.block_on(plugin::check(&file, config, &mut out))
        }
        Command::Plugin(PluginCommand::Run(arguments)) => {
            let config = load(&Given::default())?;
            let job = plugin::Input::read(arguments)?;
            runtime()?.block_on(plugin::run(job, config, &mut out))
        }
    }
}

fn load(given: &Given) -> Result<Config, ConfigError> {
    config::load(given, config::process_environment)
}

/// For all but connections, attempts and plugins, which have threads of their own: here, more threads than half as many as
/// there are cores would only be in their way.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(cores::count().div_ceil(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// What the user gave cannot be used: a file that isn't there, an event that is no JSON.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadInput(String);

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || error.is::<BadInput>()
}

/// Whoever was reading has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
