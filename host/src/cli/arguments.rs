//! The definition of the command line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command as ClapCommand, FromArgMatches, Parser, Subcommand};

use crate::config::{CommandLine, SETTINGS};
use crate::sandbox::compiler;

/// Hookwright: a webhook delivery engine whose payload logic is sandboxed WebAssembly.
#[derive(Parser)]
#[command(name = "hookwright", version, about, arg_required_else_help = true, subcommand_required = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the engine until it is interrupted
    Serve(Serve),
    /// Re-encrypt the secrets in the database with the current encryption key; an engine on SQLite must be stopped,
    /// nodes on PostgreSQL must have the old and the new key
    Rekey(Serve),
    /// Move an installation from SQLite into an empty PostgreSQL database; the engine must be stopped
    Migrate(Migrate),
    /// Show the nodes on the database: who is alive, since when, and what they do
    Nodes(Nodes),
    /// Demonstrate the engine with sample events, plugins and verified deliveries; leaves no files behind
    Demo(Demo),
    /// Check or run a plugin in the engine's sandbox
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Compile a component from standard input; the engine runs this command in a child process with its own
    /// limits
    #[command(name = compiler::COMMAND, hide = true)]
    CompilePlugin,
}

#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Migrate {
    /// What to move: `sqlite:` and the data directory. It is read, and not changed
    #[arg(long, value_name = "sqlite:DIR")]
    pub(super) from: String,
    /// The database to move it into; without this option, that of the setting `database`
    #[arg(long, value_name = "postgres://…")]
    pub(super) to: Option<String>,
    /// Only count what would be moved, and look whether it can be
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Nodes {
    /// Write JSON, as `GET /api/v3/nodes` does
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Demo {
    /// A file of events to use instead of the built-in ones: one `{"type": …, "data": …}` per line
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// With more than one: run this many nodes on a temporary PostgreSQL, and kill one of them under load
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9), conflicts_with = "events")]
    pub(super) nodes: u8,
    /// Disable colors
    #[arg(long)]
    pub(super) no_color: bool,
}

#[derive(Subcommand)]
pub(super) enum PluginCommand {
    /// Check whether the engine would accept a plugin, and describe it
    Check {
        /// A component, a core module, or a script (`.js`)
        file: PathBuf,
    },
    /// Run a plugin once, with the limits of the engine
    Run(Run),
}

#[derive(Args)]
pub(super) struct Run {
    /// A component, a core module, or a script (`.js`)
    pub(super) file: PathBuf,
    /// A file with the event, `{"type": …, "data": …}`; `-` is standard input
    #[arg(long, value_name = "FILE|-")]
    pub(super) event: PathBuf,
    /// The settings of the plugin, as a JSON object
    #[arg(long, value_name = "JSON|@FILE")]
    pub(super) settings: Option<String>,
    /// The event's type; the file in `--event` then contains only the data
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
}

/// `--config` and one option for each of [`SETTINGS`].
pub(super) struct Settings {
    pub(super) command_line: CommandLine,
}

impl Args for Settings {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Read settings from this TOML file [env: HOOKWRIGHT_CONFIG]");
        SETTINGS.iter().fold(command.arg(config), |command, setting| {
            let default = setting.default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
            command.arg(
                Arg::new(setting.name)
                    .long(setting.option())
                    .value_name(setting.value_name)
                    .help(format!("{}{default} [env: {}]", setting.help, setting.variable()))
                    .allow_hyphen_values(true)
                    .action(if setting.list { ArgAction::Append } else { ArgAction::Set }),
            )
        })
    }

    fn augment_args_for_update(command: ClapCommand) -> ClapCommand {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut command_line =
            CommandLine { config: matches.get_one::<PathBuf>("config").cloned(), ..CommandLine::default() };
        for setting in SETTINGS {
            if let Some(texts) = matches.get_many::<String>(setting.name) {
                let text = texts.map(String::as_str).collect::<Vec<_>>().join(",");
                command_line.settings.insert(setting.name, text);
            }
        }
        Ok(Self { command_line })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Command, ErrorKind> {
        let words = std::iter::once("hookwright").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| arguments.command).map_err(|error| error.kind())
    }

    #[test]
    fn the_help_names_the_option_and_the_variable_of_every_setting() {
        Arguments::command().debug_assert();
        let mut command = Arguments::command();
        let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(&format!("--{} <", setting.option())), "{}", setting.name);
            assert!(help.contains(&setting.variable()), "{}", setting.name);
        }
    }

    #[test]
    fn settings_are_passed_on_unparsed() {
        let Ok(Command::Serve(serve)) = parse(
            "serve --listen [::]:80 --config h.toml --egress-allow 10.0.0.0/8 --egress-allow ::1 --queue-limit -1",
        ) else {
            panic!("expected the command `serve`")
        };
        let command_line = serve.settings.command_line;
        assert_eq!(command_line.config, Some(PathBuf::from("h.toml")));
        let settings: Vec<_> =
            command_line.settings.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(
            settings,
            [("egress_allow", "10.0.0.0/8,::1"), ("listen", "[::]:80"), ("queue_limit", "-1")]
        );
    }

    #[test]
    fn every_command_is_parsed() {
        assert!(matches!(parse("serve"), Ok(Command::Serve(_))));
        assert!(matches!(parse("rekey --data-dir d"), Ok(Command::Rekey(_))));
        assert!(matches!(parse("nodes --data-dir d"), Ok(Command::Nodes(Nodes { json: false, .. }))));
        assert!(matches!(parse("nodes --json"), Ok(Command::Nodes(Nodes { json: true, .. }))));
        let Ok(Command::Migrate(migrate)) = parse("migrate --from sqlite:d --to postgres://h/n --dry-run")
        else {
            panic!("expected the command `migrate`")
        };
        assert_eq!((migrate.from.as_str(), migrate.to.as_deref()), ("sqlite:d", Some("postgres://h/n")));
        assert!(migrate.dry_run);
        assert!(matches!(parse("demo"), Ok(Command::Demo(Demo { events: None, nodes: 1, no_color: false }))));
        assert!(matches!(
            parse("demo --no-color --events f"),
            Ok(Command::Demo(Demo { events: Some(_), no_color: true, .. }))
        ));
        assert!(matches!(parse("demo --nodes 3"), Ok(Command::Demo(Demo { nodes: 3, .. }))));
        assert!(matches!(parse("plugin check p.wasm"), Ok(Command::Plugin(PluginCommand::Check { .. }))));
        let Ok(Command::Plugin(PluginCommand::Run(run))) =
            parse("plugin run p.js --event - --settings {} --type a.b")
        else {
            panic!("expected the command `plugin run`")
        };
        assert_eq!(run.event, PathBuf::from("-"));
        assert_eq!((run.settings.as_deref(), run.event_type.as_deref()), (Some("{}"), Some("a.b")));
    }

    #[test]
    fn invalid_command_lines_are_usage_errors() {
        for (line, kind) in [
            ("--version", ErrorKind::DisplayVersion),
            ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("start", ErrorKind::InvalidSubcommand),
            ("serve --liisten x", ErrorKind::UnknownArgument),
            ("serve --listen", ErrorKind::InvalidValue),
            ("serve --listen a --listen b", ErrorKind::ArgumentConflict),
            ("plugin run p.wasm", ErrorKind::MissingRequiredArgument),
            ("plugin check", ErrorKind::MissingRequiredArgument),
            ("demo --nodes 0", ErrorKind::ValueValidation),
            ("demo --nodes 3 --events f", ErrorKind::ArgumentConflict),
            ("migrate --to postgres://h/n", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(line).err(), Some(kind), "{line}");
        }
    }
}
