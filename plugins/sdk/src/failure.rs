//! Making failures, and telling where in a JSON text something is wrong.

use serde::de::DeserializeOwned;

use crate::Failure;

/// The code by which the engine knows that settings are wrong, whatever the event.
pub(crate) const BAD_SETTINGS: &str = "bad-settings";

impl Failure {
    /// A failure that will come again with the same event and settings. The delivery is attempted again all the same, on its
    /// hook's schedule: by then the plugin or its settings may have been mended.
    ///
    /// `code` is short and machine-readable, `message` is for the tenant who configured the plugin.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Failure { code: code.into(), message: message.into(), retryable: false }
    }

    /// The same failure, saying to people that the call may succeed later, as it is.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

/// So that `Err("no such customer")?` works; the code is `failed`.
impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Failure::new("failed", message)
    }
}

/// So that `Err(format!(…))?` works; the code is `failed`.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::new("failed", message)
    }
}

/// Reads settings as a plugin gets them.
///
/// # Errors
/// `bad-settings`, with the path of the member that does not fit.
pub fn parse_settings<S: DeserializeOwned>(text: &str) -> Result<S, Failure> {
    serde_json::from_str(text).map_err(|_error| located::<S>(BAD_SETTINGS, "settings", text))
}

/// Why a text isn't a `T`, with the path. Called once the fast way has failed: following the path costs
/// more than the parsing, and most calls have nothing to tell.
#[cold]
pub(crate) fn located<T: DeserializeOwned>(code: &str, what: &str, text: &str) -> Failure {
    let mut source = serde_json::Deserializer::from_str(text);
    let message = match serde_path_to_error::deserialize::<_, T>(&mut source) {
        Err(error) if error.path().iter().next().is_some() => {
            format!("{what} at `{}`: {}", error.path(), error.inner())
        }
        Err(error) => format!("{what}: {}", error.inner()),
        Ok(_) => match source.end() {
            Err(error) => format!("{what}: {error}"),
            Ok(()) => format!("{what} can't be read"),
        },
    };
    Failure::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        limit: u8,
    }

    #[test]
    fn wrong_settings_are_told_with_their_path() {
        let cases = [
            (r#"{"rules":[{"limit":300}]}"#, "settings at `rules[0].limit`: invalid value"),
            (
                r#"{"rules":[{"limt":3}]}"#,
                "settings at `rules[0].limt`: unknown field `limt`, expected `limit`",
            ),
            (r#"{}"#, "settings: missing field `rules`"),
            (r#"{"rules":[]} x"#, "settings: trailing characters"),
            ("", "settings: EOF while parsing a value"),
        ];
        for (text, expected) in cases {
            let failure = parse_settings::<Settings>(text).expect_err(text);
            assert_eq!(failure.code, "bad-settings", "{text}");
            assert!(failure.message.starts_with(expected), "{text}: {}", failure.message);
        }
        assert_eq!(
            parse_settings(r#"{"rules":[{"limit":3}]}"#),
            Ok(Settings { rules: vec![Rule { limit: 3 }] })
        );
    }
}
