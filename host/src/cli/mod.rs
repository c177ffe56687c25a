//! The command line: `hookwright serve`, `backup`, `restore`, `check`, `rekey`, `migrate`, `nodes`, `demo`, `listen`,
//! `plugin check`, `plugin run`.
//!
//! [`main`] parses the command line and runs the command. Each command has a file of its own and writes to an
//! output that it receives. Commands always write colors; the output removes them if it is not a terminal,
//! or if `NO_COLOR` is set.
//!
//! Exit codes: 0 for success; 1 for a failure, including a plugin that is rejected or fails, and a check that finds damage; 2
//! for an invalid command line or setting. `migrate --check` has two more.

mod arguments;
mod backup;
mod check;
mod demo;
mod engine_api;
mod exit;
mod greeting;
mod http_client;
mod json;
mod listen;
mod migrate;
mod nodes;
mod plugin;
mod rekey;
mod reload;
mod restore;
mod serve;
mod style;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::config::{self, CommandLine, Config, ConfigError, LogFormat};
use crate::sandbox::compiler;
use crate::supervisor::Sockets;
use crate::telemetry::json_line;
use crate::{allocator, cores, telemetry};
use arguments::{Arguments, Command, Demo, PluginCommand, Settings};
use exit::{BadInput, FAILED, USAGE};
use listen::Listen;

/// Runs the command on the command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = run(arguments);
    telemetry::flush();
    match ended {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // An error of standard error cannot be reported anywhere.
            let _ = match telemetry::format() {
                LogFormat::Text => {
                    writeln!(anstream::stderr(), "{}error:{} {error:#}", style::BAD, style::PLAIN)
                }
                LogFormat::Json => {
                    let fields = serde_json::json!({"error": format!("{error:#}")});
                    let line = json_line(tracing::Level::ERROR, "the command failed", fields);
                    writeln!(anstream::stderr(), "{line}")
                }
            };
            ExitCode::from(if is_usage(&error) { USAGE } else { FAILED })
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let plain = matches!(&arguments.command, Command::Demo(demo) if demo.no_color);
    let mut out = if plain { AutoStream::never(io::stdout()) } else { AutoStream::auto(io::stdout()) };
    match arguments.command {
        Command::Serve(serve) => {
            // While there is one thread.
            let sockets = Sockets::take()?;
            let command_line = serve.settings.command_line;
            let config = Config { init: serve.init, ..load(&command_line)? };
            telemetry::start(&config)?;
            allocator::use_small_pages();
            warn_of_unknown_variables();
            let runtime = runtime()?;
            let ended = runtime.block_on(serve::run(config, sockets, move || load(&command_line), &mut out));
            // Does not wait for blocking tasks, such as a DNS lookup: the grace period is over.
            runtime.shutdown_background();
            ended.map(|()| ExitCode::SUCCESS)
        }
        Command::Backup(it) => {
            with_config(&it.settings, async |config| backup::run(&it, &config, &mut out).await)
        }
        Command::Restore(it) => {
            with_config(&it.settings, async |config| restore::run(&it, &config, &mut out).await)
        }
        Command::Check(it) => {
            with_config(&it.settings, async |config| check::run(&it, &config, &mut out).await)
        }
        Command::Rekey(it) => with_config(&it.settings, async |config| rekey::run(&config, &mut out).await),
        Command::Nodes(it) => {
            with_config(&it.settings, async |config| nodes::run(&config, it.json, &mut out).await)
        }
        Command::Migrate(it) => {
            let mut settings = Settings { command_line: it.settings.command_line.clone() };
            if let Some(to) = &it.to {
                settings.command_line = settings.command_line.with("database", to);
            }
            with_config(&settings, async |config| migrate::run(&it, &config, &mut out).await)
        }
        Command::Demo(arguments) => run_demo(&arguments, &mut out),
        Command::Listen(arguments) => run_listen(arguments, out),
        Command::CompilePlugin => Ok(compiler::main()),
        Command::Plugin(PluginCommand::Check { file }) => {
            let config = load(&CommandLine::default())?;
            runtime()?.block_on(plugin::check(&file, config, &mut out))
        }
        Command::Plugin(PluginCommand::Run(arguments)) => {
            let config = load(&CommandLine::default())?;
            let job = plugin::Input::read(arguments)?;
            runtime()?.block_on(plugin::run(job, config, &mut out))
        }
    }
}

fn run_demo(arguments: &Demo, out: &mut impl Write) -> Result<ExitCode> {
    if arguments.nodes > 1 {
        telemetry::start(&load(&CommandLine::default().with("log", "warn"))?)?;
        runtime()?.block_on(demo::cluster::run(usize::from(arguments.nodes), out))?;
    } else if arguments.console {
        telemetry::start(&load(&CommandLine::default().with("log", "error"))?)?;
        runtime()?.block_on(demo::console::run(arguments.listen, out))?;
    } else {
        let events = demo::events(arguments.events.as_deref())?;
        // One of its receivers fails, which is no news.
        telemetry::start(&load(&CommandLine::default().with("log", "error"))?)?;
        runtime()?.block_on(demo::run(events, out))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_listen(arguments: Listen, out: AutoStream<io::Stdout>) -> Result<ExitCode> {
    let runtime = runtime()?;
    let ended = runtime.block_on(listen::run(arguments, config::process_environment, out));
    // Does not wait for the lookup of a name.
    runtime.shutdown_background();
    ended
}

fn warn_of_unknown_variables() {
    for variable in config::unknown_variables(config::process_variables()) {
        tracing::warn!(
            variable,
            "unknown setting in the environment; `hookwright serve --help` lists all settings"
        );
    }
}

/// Runs a command that needs the settings, with its log.
fn with_config(
    settings: &Settings,
    command: impl AsyncFnOnce(Config) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let config = load(&settings.command_line)?;
    telemetry::start(&config)?;
    runtime()?.block_on(command(config))
}

fn load(command_line: &CommandLine) -> Result<Config, ConfigError> {
    let loaded = config::load(command_line, config::process_environment);
    if loaded.is_err() {
        telemetry::set_format(config::log_format(command_line, config::process_environment));
    }
    loaded
}

/// The runtime for everything except connections, attempts and plugins, which have threads of their own. Half
/// as many threads as cores leave CPU time for those.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(cores::count().div_ceil(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || error.is::<BadInput>()
}

/// Whether the reader of the output has closed it, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
