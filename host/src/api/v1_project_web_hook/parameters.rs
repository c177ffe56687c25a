//! The parameters of `PUT`, as JSON or as a form.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use url::form_urlencoded;

use super::envelope::ApiError;
use crate::api::json::{self, Members};
use crate::api::problem::{Problem, shorten};
use crate::domain::{Hook, SecretText};

/// The maximum number of custom parameters.
const MAX_CUSTOM: usize = 100;
/// The maximum length of the authorization value, in bytes.
const MAX_AUTHORIZATION_LEN: usize = 4_096;

/// The parameters of a request. Absent parameters keep their values.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// The URL without its scheme.
    pub(super) endpoint: Option<String>,
    pub(super) enable_web_hook: Option<bool>,
    pub(super) enable_http_authorization: Option<bool>,
    /// An empty text deletes the stored value.
    pub(super) http_authorization_value: Option<SecretText>,
    pub(super) custom_parameters: Option<Members<Box<RawValue>>>,
}

impl Parameters {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// Fails with the first invalid parameter.
    pub(super) fn from_json(body: &[u8], project: i64) -> Result<Self, ApiError> {
        let Members(members) = json::parse::<Members<Box<RawValue>>>(body)?;
        let mut parameters = Self::default();
        for (name, value) in members {
            parameters.set(&name, &value, project)?;
        }
        Ok(parameters)
    }

    /// Parses a form, with `custom_parameters[name]=value` for each custom parameter.
    ///
    /// # Errors
    /// Fails like [`Self::from_json`].
    pub(super) fn from_form(body: &[u8], project: i64) -> Result<Self, ApiError> {
        let (mut parameters, mut seen, mut custom) = (Self::default(), Vec::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(body) {
            if seen.contains(&name) {
                return Err(wrong(&name, "is duplicated"));
            }
            let value = text(&value)?;
            match name.strip_prefix("custom_parameters[").and_then(|rest| rest.strip_suffix(']')) {
                Some(key) if key.is_empty() || key.contains(['[', ']']) => {
                    return Err(wrong(
                        &name,
                        "must have the form custom_parameters[name]; send lists and nested values as JSON",
                    ));
                }
                Some(_) if custom.len() >= MAX_CUSTOM => return Err(too_many()),
                Some(key) => custom.push((key.to_owned(), value)),
                None => parameters.set(&name, &value, project)?,
            }
            seen.push(name);
        }
        if !custom.is_empty() {
            parameters.custom_parameters = Some(check_custom(Members(custom))?);
        }
        Ok(parameters)
    }

    fn set(&mut self, name: &str, value: &RawValue, project: i64) -> Result<(), ApiError> {
        match name {
            "endpoint" => self.endpoint = Some(read_endpoint(string(name, value)?)?),
            "enable_web_hook" => self.enable_web_hook = Some(read_flag(name, value)?),
            "enable_http_authorization" => self.enable_http_authorization = Some(read_flag(name, value)?),
            "http_authorization_value" => {
                self.http_authorization_value = Some(read_authorization(string(name, value)?)?);
            }
            "custom_parameters" => {
                let read = value.get().starts_with('{').then(|| json::parse_text(value.get()));
                self.custom_parameters =
                    Some(check_custom(read.ok_or_else(|| wrong(name, "must be a Hash"))??)?);
            }
            // Clients repeat the number in the path.
            "project_id" if value.get().trim_matches('"') == project.to_string() => {}
            "project_id" => return Err(wrong(name, "differs from the number in the path")),
            _ => return Err(ApiError::bad_request(format!("unknown parameter `{}`", shorten(name)))),
        }
        Ok(())
    }
}

fn wrong(name: &str, rule: &str) -> ApiError {
    ApiError::bad_request(format!("{} {rule}", shorten(name)))
}

fn text(value: &str) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(value).map_err(|error| Problem::internal("writing a form's value as JSON", &error).into())
}

fn string(name: &str, value: &RawValue) -> Result<String, ApiError> {
    String::deserialize(value).map_err(|_| wrong(name, "must be a String"))
}

fn read_flag(name: &str, value: &RawValue) -> Result<bool, ApiError> {
    match value.get() {
        "true" | "\"true\"" => Ok(true),
        "false" | "\"false\"" => Ok(false),
        _ => Err(wrong(name, "must be \"true\" or \"false\"")),
    }
}

/// Parses an endpoint and removes `https://`, the only supported scheme.
fn read_endpoint(given: String) -> Result<String, ApiError> {
    const HTTPS: &str = "https://";
    let https = given.get(..HTTPS.len()).is_some_and(|start| start.eq_ignore_ascii_case(HTTPS));
    let endpoint = if https { given[HTTPS.len()..].to_owned() } else { given };
    if let Some((scheme, _)) = endpoint.split_once("://")
        && !scheme.contains(['/', '?'])
    {
        let rule = "supports only HTTPS; omit the scheme, as in example.com/web_hook";
        return Err(wrong("endpoint", rule));
    }
    Hook::parse_url(&format!("{HTTPS}{endpoint}"))
        .map_err(|rule| ApiError::bad_request(format!("endpoint: {rule}")))?;
    Ok(endpoint)
}

/// Error messages do not repeat the value, which is a secret.
fn read_authorization(value: String) -> Result<SecretText, ApiError> {
    let rule = "must be a valid HTTP header value of at most 4,096 bytes";
    if value.len() > MAX_AUTHORIZATION_LEN || http::HeaderValue::from_str(&value).is_err() {
        return Err(wrong("http_authorization_value", rule));
    }
    Ok(SecretText::new(value))
}

fn check_custom(custom: Members<Box<RawValue>>) -> Result<Members<Box<RawValue>>, ApiError> {
    if custom.0.len() > MAX_CUSTOM {
        return Err(too_many());
    }
    Ok(custom)
}

fn too_many() -> ApiError {
    wrong("custom_parameters", &format!("has at most {MAX_CUSTOM} pairs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_stored_without_their_scheme() {
        for (given, kept) in [
            ("example.com/web_hook", Some("example.com/web_hook")),
            ("https://example.com/web_hook", Some("example.com/web_hook")),
            ("HTTPS://example.com", Some("example.com")),
            ("example.com:8443/a?b=https://c", Some("example.com:8443/a?b=https://c")),
            ("http://example.com", None),
            ("ftp://example.com", None),
            ("https://https://example.com", None),
            ("", None),
            ("/path", None),
            ("user:password@example.com", None),
            ("example.com/a b", None),
            ("example.com/#part", None),
        ] {
            assert_eq!(read_endpoint(given.to_owned()).ok().as_deref(), kept, "{given}");
        }
    }
}
