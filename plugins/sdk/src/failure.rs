//! Failures, and errors in JSON text with their path.

use serde::de::DeserializeOwned;

use crate::Failure;

/// The code that tells the engine that the settings are invalid for every event.
pub(crate) const BAD_SETTINGS: &str = "bad-settings";

impl Failure {
    /// Creates a failure that the same event and settings always cause. The engine retries the delivery nevertheless,
    /// because the plugin or its settings may be fixed by then.
    ///
    /// `code` is short and machine-readable. `message` is for the tenant who configured the plugin.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Failure { code: code.into(), message: message.into(), retryable: false }
    }

    /// Marks the failure as one that may not happen again in a later call.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

/// Allows `Err("no such customer")?`. The code is `failed`.
impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Failure::new("failed", message)
    }
}

/// Allows `Err(format!(…))?`. The code is `failed`.
impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::new("failed", message)
    }
}

/// Parses the text of settings.
///
/// # Errors
/// `bad-settings`, with the path of the invalid member.
pub fn parse_settings<S: DeserializeOwned>(text: &str) -> Result<S, Failure> {
    serde_json::from_str(text).map_err(|_error| located::<S>(BAD_SETTINGS, "settings", text))
}

/// Parses a text again to find the path of its error. Tracking the path takes longer than parsing, so this runs only
/// after an error.
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
            Ok(()) => format!("{what} cannot be parsed"),
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
    fn invalid_settings_are_reported_with_their_path() {
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
