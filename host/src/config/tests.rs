//! Tests of precedence and of error messages.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::domain::EgressRule;

fn environment(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + use<> {
    let map: HashMap<_, _> = pairs.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(*v))).collect();
    move |name| map.get(name).cloned()
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn error(command_line: &CommandLine, variables: &[(&str, &str)]) -> String {
    load(command_line, environment(variables)).unwrap_err().to_string()
}

#[test]
fn every_default_is_valid_and_every_name_is_unique() {
    let config = Config::default();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.plugin_memory_bytes, 64 << 20);
    assert!(config.admin_key.is_none() && config.egress_allow.is_empty());
    for setting in settings() {
        assert_eq!(settings().filter(|other| other.name == setting.name).count(), 1);
        assert!(!setting.help.ends_with('.'), "{}", setting.name);
    }
}

#[test]
fn the_command_line_wins_over_the_environment_the_file_and_the_default() {
    let file = file("queue_limit = 300\nlog = \"warn\"\n");
    let path = file.path().to_str().unwrap();
    for (option, variable, with_file, expected) in [
        (Some("100"), Some("200"), true, 100),
        (None, Some("200"), true, 200),
        (None, None, true, 300),
        (None, None, false, 40_000),
        (Some("100"), None, false, 100),
        (None, Some(""), true, 300),
    ] {
        let mut command_line = CommandLine::default();
        command_line.settings.extend(option.map(|text| ("queue_limit", text.to_owned())));
        let mut variables: Vec<_> =
            variable.map(|text| ("HOOKWRIGHT_QUEUE_LIMIT", text)).into_iter().collect();
        variables.extend(with_file.then_some(("HOOKWRIGHT_CONFIG", path)));
        let config = load(&command_line, environment(&variables)).unwrap();
        assert_eq!(config.queue_limit, expected, "{option:?} {variable:?} {with_file}");
    }
}

#[test]
fn the_file_named_on_the_command_line_wins_over_the_one_in_the_environment() {
    let (first, second) = (file("queue_limit = 1"), file("queue_limit = 2"));
    let command_line = CommandLine { config: Some(first.path().to_owned()), ..CommandLine::default() };
    let variables = [("HOOKWRIGHT_CONFIG", second.path().to_str().unwrap())];
    assert_eq!(load(&command_line, environment(&variables)).unwrap().queue_limit, 1);
}

#[test]
fn values_are_parsed() {
    let file = file(
        "egress_allow = [\"10.0.0.0/8\", \"::1\"]\nplugin_fuel = 1_000_000\nlog_format = \"json\"\naccess_log = true\n",
    );
    let command_line = CommandLine { config: Some(file.path().to_owned()), ..CommandLine::default() };
    let command_line = command_line
        .with("shutdown_grace_ms", "2_500")
        .with("admin_key", "correct-horse-battery")
        .with("plugin_threads", "3");
    let config = load(&command_line, environment(&[("HOOKWRIGHT_LISTEN", "[::]:0")])).unwrap();
    assert_eq!(config.listen.to_string(), "[::]:0");
    assert_eq!(config.egress_allow, ["10.0.0.0/8", "::1"].map(|rule| EgressRule::parse(rule).unwrap()));
    assert_eq!((config.plugin_fuel, config.plugin_threads), (1_000_000, 3));
    assert!(config.access_log && !config.secure_delete);
    assert_eq!((config.log_format, config.shutdown_grace), (LogFormat::Json, Duration::from_millis(2_500)));
    assert_eq!(config.admin_key.as_ref().unwrap().reveal(), "correct-horse-battery");
    assert!(!format!("{config:?}").contains("correct-horse-battery"));
}

#[test]
fn errors_name_the_setting_the_source_and_the_allowed_values() {
    for (name, text, expected) in [
        (
            "listen",
            "8080",
            "setting `listen` = `8080` from the command line (--listen): must be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
        ),
        (
            "data_dir",
            "",
            "setting `data_dir` = `` from the command line (--data-dir): must be a non-empty path",
        ),
        (
            "max_in_flight",
            "0",
            "setting `max_in_flight` = `0` from the command line (--max-in-flight): must be an integer from 1 to 65536",
        ),
        (
            "max_in_flight",
            "-1",
            "setting `max_in_flight` = `-1` from the command line (--max-in-flight): must be an integer from 1 to 65536",
        ),
        (
            "shutdown_grace_ms",
            "10s",
            "setting `shutdown_grace_ms` = `10s` from the command line (--shutdown-grace-ms): must be an integer from 0 to 600000, in milliseconds",
        ),
        (
            "plugin_threads",
            "many",
            "setting `plugin_threads` = `many` from the command line (--plugin-threads): must be `auto` (one per core) or an integer from 1 to 256",
        ),
        (
            "egress_allow",
            "127.0.0.0/8,local/host",
            "setting `egress_allow` = `127.0.0.0/8,local/host` from the command line (--egress-allow): must be rules of the form [TENANT=]TARGET[:PORT], separated by commas; a target is a network, an address or a host name, for example 10.0.0.0/8, 10.1.2.3:8443, [fd00::/8]:8000-8099, hooks.internal.example:443, *.internal.example or shop.example=10.0.0.0/8; `local/host` is not a rule",
        ),
        (
            "egress_allow",
            "127.0.0.1/8",
            "setting `egress_allow` = `127.0.0.1/8` from the command line (--egress-allow): must be networks without host bits: write 127.0.0.0/8 for `127.0.0.1/8`",
        ),
        (
            "log_format",
            "xml",
            "setting `log_format` = `xml` from the command line (--log-format): must be text or json",
        ),
        (
            "log",
            "hookwright=loud",
            "setting `log` = `hookwright=loud` from the command line (--log): must be error, warn, info, debug, trace, off, or a comma-separated list of directives, such as info,hookwright::delivery=debug",
        ),
    ] {
        assert_eq!(error(&CommandLine::default().with(name, text), &[]), expected);
    }
}

#[test]
fn a_log_filter_consists_of_levels_and_targets() {
    for (text, is_valid) in [
        ("info", true),
        ("WARN", true),
        ("off", true),
        ("info,hookwright::delivery=debug", true),
        ("hookwright", true),
        ("hookwright::delivery", true),
        ("warn, hyper=info", true),
        ("[{tenant}]=debug", true),
        // A word that is not a level would be an unknown target, which silences the rest.
        ("loud", false),
        ("info,loud", false),
        ("verbose", false),
        ("", false),
    ] {
        let loaded = load(&CommandLine::default().with("log", text), environment(&[]));
        assert_eq!(loaded.is_ok(), is_valid, "{text}");
    }
}

#[test]
fn an_invalid_key_is_not_shown() {
    let message = error(&CommandLine::default(), &[("HOOKWRIGHT_ADMIN_KEY", "two words")]);
    assert_eq!(
        message,
        "setting `admin_key` from the environment (HOOKWRIGHT_ADMIN_KEY): must be 16 to 256 visible ASCII characters"
    );
}

#[test]
fn a_secret_may_be_in_a_file_that_each_source_can_name() {
    let (key, newline) = (file("correct-horse-battery\r\n"), file("correct-horse-battery\n\n"));
    let path = key.path().to_str().unwrap();
    let settings = file(&format!("admin_key_file = \"{path}\""));
    let with_file = CommandLine { config: Some(settings.path().to_owned()), ..CommandLine::default() };
    let none = CommandLine::default();
    for (command_line, variables) in [
        (none.clone().with("admin_key_file", path), &[][..]),
        (none.clone(), &[("HOOKWRIGHT_ADMIN_KEY_FILE", path)]),
        (with_file, &[]),
    ] {
        let config = load(&command_line, environment(variables)).unwrap();
        assert_eq!(config.admin_key.as_ref().unwrap().reveal(), "correct-horse-battery");
    }
    let keys = ["dGhlIGtleSBvZiB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE="; 2].join("\n");
    let previous = file(&keys);
    let path = previous.path().to_str().unwrap();
    let config = load(&none.clone().with("encryption_key_previous_file", path), environment(&[])).unwrap();
    assert_eq!(config.encryption_key_previous.len(), 2, "one on each line");
    // Only one line break is left out.
    let path = newline.path().to_str().unwrap();
    assert!(load(&none.with("admin_key_file", path), environment(&[])).is_err());
}

#[test]
fn errors_of_files_with_secrets_name_the_setting_and_the_file_and_not_the_content() {
    let (short, empty) = (file("s3cr3t"), file("\n"));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let none = CommandLine::default();
    for (command_line, variables, expected) in [
        (
            none.clone().with("admin_key_file", "/nowhere/key"),
            &[][..],
            "setting `admin_key_file` from the command line (--admin-key-file): cannot read the file /nowhere/key",
        ),
        (
            none.clone().with("admin_key_file", path(&short)),
            &[],
            "setting `admin_key` from FILE (`admin_key_file`): must be 16 to 256 visible ASCII characters",
        ),
        (
            none.clone().with("database_file", path(&empty)),
            &[],
            "setting `database_file` from the command line (--database-file): the file FILE is empty; it must contain the value, and nothing else",
        ),
        (
            none.with("admin_key_file", path(&short)),
            &[("HOOKWRIGHT_ADMIN_KEY", "correct-horse-battery")],
            "both `admin_key` from the environment (HOOKWRIGHT_ADMIN_KEY) and `admin_key_file` from the command line (--admin-key-file) are set; remove one of them",
        ),
    ] {
        let message = error(&command_line, variables);
        let message = message.replace(&path(&short), "FILE").replace(&path(&empty), "FILE");
        assert_eq!(message, expected);
    }
}

#[test]
fn only_secrets_have_a_setting_that_names_a_file() {
    for setting in settings() {
        assert_eq!(setting.file_name().is_some(), setting.secret, "{}", setting.name);
        // A name of a setting must not have two meanings.
        assert!(setting.file_name().is_none_or(|name| Setting::named(name).is_none()), "{}", setting.name);
    }
    let variables = ["HOOKWRIGHT_ADMIN_KEY_FILE", "HOOKWRIGHT_LISTEN_FILE"].map(str::to_owned);
    assert_eq!(unknown_variables(variables.into_iter()), ["HOOKWRIGHT_LISTEN_FILE"]);
}

#[test]
fn errors_in_the_file_name_the_setting() {
    for (content, expected) in [
        (
            "liisten = \"x\"",
            "unknown setting `liisten` in FILE; expected one of listen, tls_cert_file, tls_key_file, admin_listen, admin_tls_cert_file,",
        ),
        ("paused = 1", "setting `paused` in FILE has the type integer; expected `true` or `false`"),
        ("log = true", "setting `log` in FILE has the type boolean; expected a string or a number"),
        (
            "egress_allow = [1]",
            "setting `egress_allow` in FILE has the type array; expected a string or an array of strings",
        ),
        ("queue_limit = 0", "setting `queue_limit` = `0` from FILE: must be an integer from 1 to 10000000"),
        ("queue_limit = ", "the settings file FILE is not valid TOML"),
    ] {
        let file = file(content);
        let command_line = CommandLine { config: Some(file.path().to_owned()), ..CommandLine::default() };
        let message = error(&command_line, &[]).replace(file.path().to_str().unwrap(), "FILE");
        assert!(message.starts_with(expected), "{message}");
    }
    let command_line =
        CommandLine { config: Some("/nowhere/hookwright.toml".into()), ..CommandLine::default() };
    assert_eq!(error(&command_line, &[]), "cannot read the settings file /nowhere/hookwright.toml");
}

#[test]
fn the_format_of_the_log_is_known_although_other_settings_are_wrong() {
    let file = file("log_format = \"json\"\nqueue_limit = 0\n");
    let command_line = CommandLine { config: Some(file.path().to_owned()), ..CommandLine::default() };
    assert!(load(&command_line, environment(&[])).is_err());
    assert_eq!(log_format(&command_line, environment(&[])), LogFormat::Json);
    let text = [("HOOKWRIGHT_LOG_FORMAT", "text")];
    assert_eq!(log_format(&command_line, environment(&text)), LogFormat::Text);
    assert_eq!(log_format(&CommandLine::default().with("log_format", "xml"), |_| None), LogFormat::Text);
}

#[test]
fn a_collector_is_named_by_its_address_or_by_the_url_of_traces() {
    for (text, expected) in [
        ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
        ("http://127.0.0.1:4318/", Some("http://127.0.0.1:4318/v1/traces")),
        ("https://a.example/otlp/v1/traces", Some("https://a.example/otlp/v1/traces")),
        ("https://a.example/otlp", Some("https://a.example/otlp/v1/traces")),
        ("127.0.0.1:4318", None),
        ("grpc://a.example", None),
        ("http://user:secret@a.example", None),
    ] {
        let loaded = load(&CommandLine::default().with("otlp_endpoint", text), environment(&[]));
        let url = loaded.ok().and_then(|config| config.otlp_endpoint).map(String::from);
        assert_eq!(url.as_deref(), expected, "{text}");
    }
    let headers = |text| load(&CommandLine::default().with("otlp_headers", text), environment(&[]));
    let config = headers("authorization=Bearer a=b, x-scope=1").unwrap();
    assert_eq!(
        (&config.otlp_headers["authorization"], config.otlp_headers.len()),
        (&"Bearer a=b".parse().unwrap(), 2)
    );
    assert!(!format!("{config:?}").contains("Bearer"));
    assert!(!headers("authorization Bearer secret").unwrap_err().to_string().contains("secret"));
    for (text, is_valid) in
        [("0", true), ("1", true), ("0.5", true), ("1.1", false), ("-1", false), ("NaN", false)]
    {
        let loaded = load(&CommandLine::default().with("otlp_sample_ratio", text), environment(&[]));
        assert_eq!(loaded.is_ok(), is_valid, "{text}");
    }
}

#[test]
fn variables_that_are_not_settings_are_found() {
    let variables = ["HOOKWRIGHT_LISTEN", "HOOKWRIGHT_LISTEM", "HOOKWRIGHT_CONFIG", "HOOKWRIGHT_KEY", "PATH"];
    let unknown = unknown_variables(variables.into_iter().map(str::to_owned));
    assert_eq!(unknown, ["HOOKWRIGHT_LISTEM"]);
}

#[test]
fn the_settings_page_lists_every_setting() {
    let rows = settings().map(|setting| {
        let default = setting.default.map(|text| format!("`{text}`")).unwrap_or_default();
        format!("| `{}` | {default} | {} |\n", setting.name, setting.help)
    });
    let table = format!("| Setting | Default | Description |\n|---|---|---|\n{}", rows.collect::<String>());
    assert!(
        include_str!("../../docs/settings.md").contains(&table),
        "host/docs/settings.md should contain this table:\n{table}"
    );
}
