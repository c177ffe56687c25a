//! URLs to which the engine sends requests.

use url::Url;

use super::Invalid;

/// Maximum length of a URL, in bytes.
pub const MAX_TARGET_URL_LEN: usize = 2048;

/// Parses a URL to which requests go. `what` names it in errors.
///
/// # Errors
/// If `text` is not an absolute `http` or `https` URL with a host, has a user name or a fragment, or is too long.
pub fn parse_target_url(what: &str, text: &str) -> Result<Url, Invalid> {
    let too_long = |text: &str| text.len() > MAX_TARGET_URL_LEN;
    let rule = || Invalid::new(format!("{what} must have at most 2,048 bytes, including percent-encoding"));
    if too_long(text) {
        return Err(rule());
    }
    let url = Url::parse(text).map_err(|error| Invalid::new(format!("not an absolute URL: {error}")))?;
    if too_long(url.as_str()) {
        return Err(rule());
    }
    // The parser is lenient: it would take `path` for the host of `https:///path`.
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let names_host = !authority.is_empty() && !authority.starts_with(['/', '\\']);
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !names_host {
        return Err(Invalid::new(format!("{what} must begin with https:// or http:// and a host")));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Invalid::new(format!(
            "{what} must not contain white space or control characters; write a space as %20"
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid::new(format!(
            "{what} must not contain a user name or a password; use an Authorization header"
        )));
    }
    if url.fragment().is_some() {
        return Err(Invalid::new(format!("{what} must not have a fragment, because fragments are not sent")));
    }
    Ok(url)
}
