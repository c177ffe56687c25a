//! Checks that a request written by a plugin can be sent.

use http::{HeaderName, HeaderValue, Method, Uri};
use url::Url;

use crate::domain::header::is_reserved_header;
use crate::domain::{Fault, FaultKind, Header, Request};

use super::limits::{Count, shortened};

/// Maximum length of a URL, in bytes. Some receivers expect all of an event's data as the query. [`Uri`] cannot hold
/// much more.
const MAX_URL: usize = 60 * 1024;
/// Maximum number of headers.
const MAX_HEADERS: usize = 100;
/// Maximum size of all header names and values, in bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Maximum size of a body, in bytes: four times the largest event. Without it, steps that each multiply their input
/// would fill memory and disk.
const MAX_BODY: usize = 4 << 20;

/// Normalizes the URL and removes the headers that the engine sets. Returns the names of these headers.
///
/// # Errors
/// A fault that says what cannot be sent.
pub(super) fn check(request: &mut Request) -> Result<Vec<String>, Fault> {
    check_method(&request.method).map_err(invalid)?;
    request.url = checked_url(&request.url).map_err(invalid)?;
    let body = request.body.as_bytes().len();
    if body > MAX_BODY {
        let (body, limit) = (Count(body as u64), Count(MAX_BODY as u64));
        let message = format!("it returned a request with a body of {body} bytes; the limit is {limit}");
        return Err(Fault::new(FaultKind::OutputTooLarge, message));
    }
    let reserved = take_reserved(request);
    check_headers(&request.headers).map_err(invalid)?;
    Ok(reserved)
}

fn invalid(what: String) -> Fault {
    Fault::new(FaultKind::InvalidOutput, format!("it returned a request that cannot be sent: {what}"))
}

fn check_method(method: &str) -> Result<(), String> {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    if known.iter().any(|known| known.as_str() == method) {
        return Ok(());
    }
    Err(format!(
        "unknown method {:?}; expected GET, POST, PUT, PATCH, DELETE or HEAD, in capital letters",
        shortened(method, 32)
    ))
}

/// Checks a URL and returns it in the form in which it is sent, with percent-encoding and Punycode.
fn checked_url(text: &str) -> Result<String, String> {
    let at_most = |text: &str| {
        if text.len() <= MAX_URL {
            return Ok(());
        }
        let len = Count(text.len() as u64);
        Err(format!("the URL has {len} bytes; the limit is {}", Count(MAX_URL as u64)))
    };
    at_most(text)?;
    // Show no query, fragment or credentials, because they may contain secrets.
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    let shown = shortened(shown.rsplit('@').next().unwrap_or_default(), 200);
    let url = Url::parse(text).map_err(|error| format!("{shown:?} is not an absolute URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("the URL {shown:?} must use http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the URL contains a user name or a password; use an Authorization header instead".to_owned()
        );
    }
    let url = String::from(url);
    at_most(&url)?;
    match url.parse::<Uri>() {
        Ok(_) => Ok(url),
        Err(error) => Err(format!("the URL {shown:?} cannot be used in a request: {error}")),
    }
}

fn take_reserved(request: &mut Request) -> Vec<String> {
    let mut taken = Vec::new();
    request.headers.retain_mut(|(name, _)| {
        let lower = name.to_ascii_lowercase();
        let reserved = is_reserved_header(&lower);
        if reserved {
            taken.push(shortened(&lower, 64));
        }
        !reserved
    });
    taken.truncate(MAX_HEADERS);
    taken
}

fn check_headers(headers: &[Header]) -> Result<(), String> {
    if headers.len() > MAX_HEADERS {
        let count = Count(headers.len() as u64);
        return Err(format!("the request has {count} headers; the limit is {MAX_HEADERS}"));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        let (bytes, max) = (Count(bytes as u64), Count(MAX_HEADER_BYTES as u64));
        return Err(format!("the headers have {bytes} bytes; the limit is {max}"));
    }
    for (name, value) in headers {
        let shown = shortened(name, 64);
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(format!("{shown:?} is not a valid header name (RFC 9110, section 5.1)"));
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(format!("the value of the header `{shown}` has characters that are not allowed"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RequestBody;

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Request { method: method.into(), url: url.to_owned(), headers, body: RequestBody::None }
    }

    #[test]
    fn a_request_that_cannot_be_sent_is_refused_with_the_reason() {
        let good = "https://example.com/";
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
        let many = vec![("a", "b"); 101];
        for (request, expected) in [
            (request("post", good, &[]), "unknown method \"post\""),
            (request("CONNECT", good, &[]), "unknown method \"CONNECT\""),
            (request("POST", "/path", &[]), "is not an absolute URL"),
            (request("POST", "ftp://example.com/", &[]), "must use http or https"),
            (request("POST", "https://me:secret@example.com/", &[]), "contains a user name"),
            (request("POST", &long, &[]), "the URL has 61,460 bytes"),
            (request("POST", "https://me:secret@example.com:x/", &[]), "sent: \"example.com:x/\" is not"),
            (
                request("POST", "https://example.com:99999/?token=secret", &[]),
                "\"https://example.com:99999/\" is not",
            ),
            (request("POST", good, &[("a b", "c")]), "is not a valid header name"),
            (request("POST", good, &[("a", "b\r\nc: d")]), "characters that are not allowed"),
            (request("POST", good, &many), "the request has 101 headers"),
        ] {
            let mut request = request;
            let fault = check(&mut request).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidOutput);
            assert!(fault.message.contains(expected), "{}", fault.message);
        }
    }

    #[test]
    fn a_url_is_normalized() {
        for (url, sent) in [
            ("https://example.com", "https://example.com/"),
            ("https://example.com/a?b=c&d={e}|f", "https://example.com/a?b=c&d={e}|f"),
            ("https://example.com/a b?c=d e&f=\"g\"", "https://example.com/a%20b?c=d%20e&f=%22g%22"),
            ("https://Bücher.example/é?ü", "https://xn--bcher-kva.example/%C3%A9?%C3%BC"),
        ] {
            let mut request = request("POST", url, &[]);
            assert_eq!(check(&mut request).unwrap(), [""; 0]);
            assert_eq!(request.url, sent);
        }
    }

    #[test]
    fn headers_that_the_engine_sets_are_removed_and_returned() {
        let mut request =
            request("POST", "https://example.com/", &[("Host", "evil"), ("webhook-id", "x"), ("x-a", "1")]);
        assert_eq!(check(&mut request).unwrap(), ["host", "webhook-id"]);
        assert_eq!(request.headers, [("x-a".into(), "1".into())]);
    }
}
