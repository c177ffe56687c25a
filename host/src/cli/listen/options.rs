//! What `hookwright listen` does, from its options and the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use url::{Host, Url};

use super::arguments::Listen;
use super::signature::Signer;
use crate::cli::exit::BadInput;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// See the module's head.
pub(super) struct Options {
    /// Without a slash at its end.
    pub(super) url: String,
    pub(super) key: String,
    pub(super) tenant: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) filter: Filter,
    pub(super) forward: Option<Target>,
    pub(super) json: bool,
}

/// Which deliveries are shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) hook: Option<String>,
    pub(super) event_type: Option<String>,
}

/// Where deliveries are forwarded.
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) signer: Signer,
}

impl Options {
    /// # Errors
    /// Fails if an option is not valid, or if there is no key.
    pub(super) fn of(arguments: Listen, environment: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let variable = |name| environment(name).and_then(|text| text.into_string().ok());
        let given = arguments.url.or_else(|| variable("HOOKWRIGHT_URL")).filter(|url| !url.is_empty());
        let url = engine_url(given.as_deref().unwrap_or(DEFAULT_URL))?;
        let key = confidential(arguments.key, arguments.key_file.as_deref(), || variable("HOOKWRIGHT_KEY"))?;
        let key = key.ok_or_else(|| {
            BadInput(
                "there is no key: set HOOKWRIGHT_KEY, or name a file by --key-file; `POST /api/v3/keys` makes keys"
                    .to_owned(),
            )
        })?;
        let forward = match arguments.forward {
            None => None,
            Some(target) => {
                let file = arguments.secret_file.as_deref();
                let secret = confidential(arguments.secret, file, || variable("HOOKWRIGHT_LISTEN_SECRET"))?;
                Some(Target::of(&target, secret)?)
            }
        };
        Ok(Self {
            url: url.as_str().trim_end_matches('/').to_owned(),
            key,
            tenant: arguments.tenant,
            ca_file: arguments.ca_file,
            filter: Filter { hook: arguments.hook, event_type: arguments.event_type },
            forward,
            json: arguments.json,
        })
    }

    /// Whether others on the way can read the key.
    pub(super) fn is_key_in_clear(&self) -> bool {
        Url::parse(&self.url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url))
    }
}

/// What is given on the command line, in a file or in the environment.
fn confidential(
    given: Option<String>,
    file: Option<&Path>,
    variable: impl FnOnce() -> Option<String>,
) -> Result<Option<String>> {
    let text = match (given, file) {
        (Some(text), _) => Some(text),
        (None, Some(file)) => {
            let read = std::fs::read_to_string(file);
            Some(read.map_err(|error| BadInput(format!("cannot read {}: {error}", file.display())))?)
        }
        (None, None) => variable(),
    };
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

impl Target {
    fn of(target: &str, secret: Option<String>) -> Result<Self> {
        let url = match target.parse::<u16>() {
            Ok(port) => http_url(&format!("http://localhost:{port}/"), "--forward")?,
            Err(_) => http_url(target, "--forward")?,
        };
        Ok(Self { url, signer: Signer::of(secret.as_deref())? })
    }
}

/// The engine gets a key: without a scheme, it is `https` unless it is on the same machine.
fn engine_url(text: &str) -> Result<Url> {
    let what = "the engine's address";
    let url = http_url(text, what)?;
    if text.contains("://") || is_loopback(&url) {
        Ok(url)
    } else {
        http_url(&format!("https://{text}"), what)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Developers write `localhost:3000/hook`.
fn http_url(text: &str, what: &str) -> Result<Url> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.host().is_some() && url.username().is_empty() && url.password().is_none());
    let rule = || {
        BadInput(format!(
            "{what} `{text}` is not an address such as http://localhost:3000/hook, without a user or a password"
        ))
    };
    Ok(url.ok_or_else(rule)?)
}

impl Filter {
    /// The query of a request, with `more` parameters.
    pub(super) fn query(&self, more: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let own = [("hook", &self.hook), ("type", &self.event_type)];
        for (name, value) in own {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.extend_pairs(more);
        query.finish()
    }
}

/// The settings of TLS connections.
///
/// # Errors
/// Fails if the file cannot be read, or has no certificate.
pub(super) fn tls(ca_file: Option<&Path>) -> Result<std::sync::Arc<rustls::ClientConfig>> {
    let configs = crate::delivery::tls::client_config(ca_file).context("--ca-file")?;
    Ok(std::sync::Arc::clone(configs.common()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn options(line: &str, environment: &[(&str, &str)]) -> Result<Options, String> {
        let words = std::iter::once("listen").chain(line.split_whitespace());
        let matches = Listen::augment_args(Command::new("listen")).try_get_matches_from(words);
        let arguments = Listen::from_arg_matches(&matches.map_err(|error| error.to_string())?).unwrap();
        let find = |name: &str| environment.iter().find(|(given, _)| *given == name);
        let options = Options::of(arguments, |name| find(name).map(|(_, value)| OsString::from(value)));
        options.map_err(|error| error.to_string())
    }

    #[test]
    fn options_come_before_the_environment_and_that_before_defaults() {
        let variables = [("HOOKWRIGHT_URL", "https://hooks.example/"), ("HOOKWRIGHT_KEY", "hwk_2\n")];
        for (line, variables, expected) in [
            ("--key hwk_1", &[][..], (DEFAULT_URL, "hwk_1")),
            ("", &variables, ("https://hooks.example", "hwk_2")),
            ("--url 127.0.0.1:1 --key hwk_1", &variables, ("http://127.0.0.1:1", "hwk_1")),
        ] {
            let options = options(line, variables).unwrap();
            assert_eq!((options.url.as_str(), options.key.as_str()), expected, "{line}");
        }
    }

    #[test]
    fn a_key_is_sent_in_clear_only_if_that_is_wanted_and_then_it_is_told() {
        for (url, expected, in_clear) in [
            ("localhost:8080", "http://localhost:8080", false),
            ("[::1]:8080/x/", "http://[::1]:8080/x", false),
            ("hooks.example", "https://hooks.example", false),
            ("10.0.0.1:8080", "https://10.0.0.1:8080", false),
            ("http://hooks.example", "http://hooks.example", true),
            ("http://127.0.0.2", "http://127.0.0.2", false),
        ] {
            let options = options(&format!("--key k --url {url}"), &[]).unwrap();
            assert_eq!((options.url.as_str(), options.is_key_in_clear()), (expected, in_clear));
        }
    }

    #[test]
    fn the_secret_may_be_in_the_environment() {
        let environment = [("HOOKWRIGHT_LISTEN_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")];
        for (line, is_new) in [("", false), ("--secret whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", false)] {
            let options = options(&format!("--key k --forward 3000 {line}"), &environment).unwrap();
            assert_eq!(options.forward.unwrap().signer.new_secret().is_some(), is_new, "{line}");
        }
        assert!(
            options("--key k --forward 3000", &[]).unwrap().forward.unwrap().signer.new_secret().is_some()
        );
    }

    #[test]
    fn an_address_to_forward_to_may_be_short() {
        for (target, expected) in [
            ("3000", "http://localhost:3000/"),
            ("localhost:3000/hook", "http://localhost:3000/hook"),
            ("https://[::1]:8443/a?b=c", "https://[::1]:8443/a?b=c"),
        ] {
            let options = options(&format!("--key k --forward {target}"), &[]).unwrap();
            assert_eq!(options.forward.unwrap().url.as_str(), expected);
        }
    }

    #[test]
    fn what_is_not_valid_is_refused_with_what_to_do() {
        for (line, expected) in [
            ("", "HOOKWRIGHT_KEY"),
            ("--key-file /nowhere/key", "/nowhere/key"),
            ("--key k --url ftp://x", "ftp://x"),
            ("--key k --forward http://u:p@localhost/", "--forward"),
            ("--key k --forward 3000 --secret abc", "whsec_"),
            ("--key k --secret hook", "--forward"),
            ("--key k --secret-file f", "--forward"),
            ("--key k --forward 1 --secret hook --secret-file f", "--secret-file"),
            ("--key k --forward 1 --secret-file /nowhere/secret", "/nowhere/secret"),
            ("--key k --key-file f", "--key-file"),
        ] {
            let error = options(line, &[]).err().unwrap_or_default();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn filters_are_encoded() {
        let filter = Filter { hook: Some("hook_1".to_owned()), event_type: Some("a&b.*".to_owned()) };
        assert_eq!(filter.query(&[("limit", "1")]), "hook=hook_1&type=a%26b.*&limit=1");
        assert_eq!(Filter::default().query(&[]), "");
    }
}
