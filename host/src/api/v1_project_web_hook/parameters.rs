//! The parameters of `PUT`, as JSON or as a form.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use url::form_urlencoded;

use super::envelope::Refusal;
use crate::api::json::{self, Members};
use crate::api::problem::{Problem, shorten};
use crate::domain::{Hook, SecretText};

/// The greatest number of custom parameters.
const MAX_CUSTOM: usize = 100;
/// The greatest length of the authorization's value, in bytes.
const MAX_AUTHORIZATION_LEN: usize = 4_096;

/// What a request says about a web hook; what it does not say stays as it is.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Without the protocol.
    pub(super) endpoint: Option<String>,
    pub(super) enable_web_hook: Option<bool>,
    pub(super) enable_http_authorization: Option<bool>,
    /// Empty: the value is forgotten.
    pub(super) http_authorization_value: Option<SecretText>,
    pub(super) custom_parameters: Option<Members<Box<RawValue>>>,
}

impl Parameters {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// Names the parameter that is wrong, and says how.
    pub(super) fn from_json(body: &[u8], project: i64) -> Result<Self, Refusal> {
        let Members(members) = json::parse::<Members<Box<RawValue>>>(body)?;
        let mut parameters = Self::default();
        for (name, value) in members {
            parameters.set(&name, &value, project)?;
        }
        Ok(parameters)
    }

    /// Reads a form: `custom_parameters[name]=value` for each of the custom parameters.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub(super) fn from_form(body: &[u8], project: i64) -> Result<Self, Refusal> {
        let (mut parameters, mut seen, mut custom) = (Self::default(), Vec::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(body) {
            if seen.contains(&name) {
                return Err(wrong(&name, "stands twice"));
            }
            let value = text(&value)?;
            match name.strip_prefix("custom_parameters[").and_then(|rest| rest.strip_suffix(']')) {
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

    fn set(&mut self, name: &str, value: &RawValue, project: i64) -> Result<(), Refusal> {
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
            // Clients repeat what stands in the path.
            "project_id" if value.get().trim_matches('"') == project.to_string() => {}
            "project_id" => return Err(wrong(name, "is not the one in the path")),
            _ => return Err(Refusal::bad_request(format!("there is no parameter `{}`", shorten(name)))),
        }
        Ok(())
    }
}

fn wrong(name: &str, rule: &str) -> Refusal {
    Refusal::bad_request(format!("{} {rule}", shorten(name)))
}

fn text(value: &str) -> Result<Box<RawValue>, Refusal> {
    to_raw_value(value).map_err(|error| Problem::internal("writing a form's value as JSON", &error).into())
}

fn string(name: &str, value: &RawValue) -> Result<String, Refusal> {
    String::deserialize(value).map_err(|_| wrong(name, "must be a String"))
}

fn read_flag(name: &str, value: &RawValue) -> Result<bool, Refusal> {
    match value.get() {
        "true" | "\"true\"" => Ok(true),
        "false" | "\"false\"" => Ok(false),
        _ => Err(wrong(name, "must be \"true\" or \"false\"")),
    }
}

/// An endpoint without its protocol, which is HTTPS whatever is said.
fn read_endpoint(given: String) -> Result<String, Refusal> {
    const HTTPS: &str = "https://";
    let https = given.get(..HTTPS.len()).is_some_and(|start| start.eq_ignore_ascii_case(HTTPS));
    let endpoint = if https { given[HTTPS.len()..].to_owned() } else { given };
    if let Some((scheme, _)) = endpoint.split_once("://")
        && !scheme.contains(['/', '?'])
    {
        let rule = "is called by HTTPS alone: give it without a protocol, such as example.com/web_hook";
        return Err(wrong("endpoint", rule));
    }
    Hook::parse_url(&format!("{HTTPS}{endpoint}"))
        .map_err(|rule| Refusal::bad_request(format!("endpoint: {rule}")))?;
    Ok(endpoint)
}

/// The rules name the parameter and never repeat its value.
fn read_authorization(value: String) -> Result<SecretText, Refusal> {
    let rule = "must be what an HTTP header can carry, at most 4,096 bytes";
    if value.len() > MAX_AUTHORIZATION_LEN || http::HeaderValue::from_str(&value).is_err() {
        return Err(wrong("http_authorization_value", rule));
    }
    Ok(SecretText::new(value))
}

fn check_custom(custom: Members<Box<RawValue>>) -> Result<Members<Box<RawValue>>, Refusal> {
    if custom.0.len() > MAX_CUSTOM {
        return Err(wrong("custom_parameters", &format!("has at most {MAX_CUSTOM} pairs")));
    }
    Ok(custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_kept_without_their_protocol() {
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
