//! The settings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Methods that the engine supports.
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(crate) template: String,
    #[serde(default = "json", deserialize_with = "header_value")]
    pub(crate) content_type: String,
    #[serde(default, deserialize_with = "method")]
    pub(crate) method: Option<String>,
    #[serde(default, deserialize_with = "headers")]
    pub(crate) headers: BTreeMap<String, String>,
    /// Whether a missing value is an error. Otherwise it is null or empty.
    #[serde(default)]
    pub(crate) strict: bool,
}

fn json() -> String {
    "application/json".into()
}

fn header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let fits = !text.is_empty() && !text.chars().any(char::is_control);
    if fits {
        Ok(text)
    } else {
        Err(D::Error::custom("a header's value must not be empty and must not contain control characters"))
    }
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if METHODS.contains(&text.as_str()) {
        Ok(Some(text))
    } else {
        Err(D::Error::custom(format_args!("unknown method; expected one of {}", METHODS.join(", "))))
    }
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = BTreeMap::<String, String>::deserialize(deserializer)?;
    for name in headers.keys() {
        if !is_token(name) {
            return Err(D::Error::custom(format_args!("`{name}` is not a valid header name")));
        }
        if name.eq_ignore_ascii_case("content-type") {
            return Err(D::Error::custom("use the member `content_type` for the content type"));
        }
    }
    Ok(headers)
}

/// Whether the text is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}
