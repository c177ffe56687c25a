//! The definition of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command as ClapCommand, FromArgMatches, Parser, Subcommand};

use super::listen::Listen;
use crate::config::{CommandLine, Setting, settings};
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
    /// Back up the data directory into a new directory, while the engine runs; for PostgreSQL, name its tools
    Backup(Backup),
    /// Put a backup into an empty data directory; the engine that starts there sends nothing until it is resumed
    Restore(Restore),
    /// Check a data directory, a backup or a PostgreSQL database for damage, while the engine runs
    Check(Check),
    /// Re-encrypt the secrets in the database with the current encryption key; an engine on SQLite must be stopped,
    /// nodes on PostgreSQL must have the old and the new key
    Rekey(Rekey),
    /// Say what a start of this version would do to the schema (--check), or move an installation from SQLite into an
    /// empty PostgreSQL database (--from), whose engine must be stopped
    Migrate(Migrate),
    /// Show the nodes on the database: who is alive, since when, and what they do
    Nodes(Nodes),
    /// Demonstrate the engine with sample events, plugins and verified deliveries; leaves no files behind
    Demo(Demo),
    /// Watch a tenant's deliveries live, and forward them to a local address
    Listen(Listen),
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
    /// Begin with an empty database although the data directory has files of an earlier one, which are kept. Give it once
    #[arg(long)]
    pub(super) init: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Rekey {
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Backup {
    /// The directory to write. It is created, and must not have files
    #[arg(value_name = "DIR")]
    pub(super) target: PathBuf,
    /// Also copy `encryption.key`, the key that the first start made: who has the backup can then read all secrets
    #[arg(long)]
    pub(super) with_key: bool,
    /// Write JSON: the manifest of the backup
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Restore {
    /// The directory that `hookwright backup` wrote. It is read, and not changed
    #[arg(value_name = "BACKUP")]
    pub(super) backup: PathBuf,
    /// Let the engine send what waits as soon as it starts. What was delivered since the backup is then sent again
    #[arg(long)]
    pub(super) start_unpaused: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Check {
    /// A data directory or a backup; without it, the database of the settings
    #[arg(value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Args)]
pub(super) struct Migrate {
    /// Say which migrations a start of this version would apply, and change nothing. Exits with 0 if there are none, 3 if some are
    /// pending, 4 if the database is of a newer version, 1 on an error
    #[arg(long, conflicts_with_all = ["from", "to", "dry_run"])]
    pub(super) check: bool,
    /// With --check: write JSON
    #[arg(long, conflicts_with = "from")]
    pub(super) json: bool,
    /// What to move: `sqlite:` and the data directory. It is read, and not changed
    #[arg(long, value_name = "sqlite:DIR", required_unless_present = "check")]
    pub(super) from: Option<String>,
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
    /// Run until it is interrupted, with sample tenants, receivers that misbehave and live traffic, and print links that sign in
    /// to the console
    #[arg(long, conflicts_with_all = ["events", "nodes"])]
    pub(super) console: bool,
    /// With --console: the address and port on which the engine listens; by default a free port of loopback
    #[arg(long, value_name = "ADDRESS", requires = "console")]
    pub(super) listen: Option<SocketAddr>,
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

/// `--config` and one option for each of the [`settings()`].
pub(super) struct Settings {
    pub(super) command_line: CommandLine,
}

/// The option that names a file with the value of a secret.
fn file_argument(setting: &Setting, name: &'static str) -> Arg {
    let (option, variable) = (setting.option(), setting.variable());
    Arg::new(name)
        .long(format!("{option}-file"))
        .value_name("FILE")
        .help(format!("A file that contains the value of `{}` [env: {variable}_FILE]", setting.name))
        .allow_hyphen_values(true)
}

impl Args for Settings {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Read settings from this TOML file [env: HOOKWRIGHT_CONFIG]");
        settings().fold(command.arg(config), |command, setting| {
            let default = setting.default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
            let command = match setting.file_name() {
                None => command,
                Some(name) => command.arg(file_argument(setting, name)),
            };
            let option = Arg::new(setting.name)
                .long(setting.option())
                .value_name(setting.value_name)
                .help(format!("{}{default} [env: {}]", setting.help, setting.variable()))
                .allow_hyphen_values(true)
                .action(if setting.list { ArgAction::Append } else { ArgAction::Set });
            command.arg(match setting.value_name {
                // `--paused` is `--paused=true`. With a space instead, the next word would be its value.
                "BOOL" => option.num_args(0..=1).default_missing_value("true").allow_hyphen_values(false),
                _ => option,
            })
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
        for setting in settings() {
            let in_file = setting.file_name().and_then(|name| Some((name, matches.get_one::<String>(name)?)));
            if let Some((name, path)) = in_file {
                command_line.settings.insert(name, path.clone());
            }
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
        for setting in settings() {
            let option = format!("--{}", setting.option());
            assert!(
                help.contains(&format!("{option} <")) || help.contains(&format!("{option} [<")),
                "{}",
                setting.name
            );
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
        assert!(matches!(parse("serve"), Ok(Command::Serve(Serve { init: false, .. }))));
        assert!(matches!(parse("serve --init --data-dir d"), Ok(Command::Serve(Serve { init: true, .. }))));
        for (line, paused) in [("serve --paused --init", "true"), ("serve --paused false", "false")] {
            let Ok(Command::Serve(serve)) = parse(line) else { panic!("{line}") };
            assert_eq!(serve.settings.command_line.settings["paused"], paused, "{line}");
        }
        let Ok(Command::Backup(backup)) = parse("backup b --data-dir d --with-key") else {
            panic!("`backup`")
        };
        assert_eq!((backup.target, backup.with_key, backup.json), (PathBuf::from("b"), true, false));
        let Ok(Command::Restore(restore)) = parse("restore b --data-dir d --start-unpaused") else {
            panic!("expected the command `restore`")
        };
        assert!(restore.start_unpaused && restore.backup.as_os_str() == "b");
        assert!(matches!(parse("check"), Ok(Command::Check(Check { dir: None, json: false, .. }))));
        assert!(matches!(
            parse("check b --json"),
            Ok(Command::Check(Check { dir: Some(_), json: true, .. }))
        ));
        assert!(matches!(
            parse("migrate --check"),
            Ok(Command::Migrate(Migrate { check: true, from: None, .. }))
        ));
        assert!(matches!(parse("rekey --data-dir d"), Ok(Command::Rekey(_))));
        assert!(matches!(parse("nodes --data-dir d"), Ok(Command::Nodes(Nodes { json: false, .. }))));
        assert!(matches!(parse("nodes --json"), Ok(Command::Nodes(Nodes { json: true, .. }))));
        let Ok(Command::Migrate(migrate)) = parse("migrate --from sqlite:d --to postgres://h/n --dry-run")
        else {
            panic!("expected the command `migrate`")
        };
        assert_eq!(
            (migrate.from.as_deref(), migrate.to.as_deref()),
            (Some("sqlite:d"), Some("postgres://h/n"))
        );
        assert!(migrate.dry_run);
        assert!(matches!(
            parse("demo"),
            Ok(Command::Demo(Demo { events: None, nodes: 1, console: false, no_color: false, .. }))
        ));
        assert!(matches!(
            parse("demo --console --listen 127.0.0.1:1"),
            Ok(Command::Demo(Demo { console: true, listen: Some(_), .. }))
        ));
        assert!(matches!(
            parse("demo --no-color --events f"),
            Ok(Command::Demo(Demo { events: Some(_), no_color: true, .. }))
        ));
        assert!(matches!(parse("demo --nodes 3"), Ok(Command::Demo(Demo { nodes: 3, .. }))));
        assert!(matches!(parse("listen --type order.* --forward 3000"), Ok(Command::Listen(_))));
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
            ("demo --console --events f", ErrorKind::ArgumentConflict),
            ("demo --listen 127.0.0.1:1", ErrorKind::MissingRequiredArgument),
            ("migrate --to postgres://h/n", ErrorKind::MissingRequiredArgument),
            ("migrate --check --from sqlite:d", ErrorKind::ArgumentConflict),
            ("migrate --from sqlite:d --json", ErrorKind::ArgumentConflict),
            ("listen --secret hook", ErrorKind::MissingRequiredArgument),
            ("backup", ErrorKind::MissingRequiredArgument),
            ("restore --data-dir d", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(line).err(), Some(kind), "{line}");
        }
    }
}
