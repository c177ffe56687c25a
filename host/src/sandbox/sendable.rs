//! Whether a request that a plugin wrote can be sent.

use http::{HeaderName, HeaderValue, Method, Uri};
use url::Url;

use crate::domain::hook::is_reserved_header;
use crate::domain::{Fault, FaultKind, Header, Request};

use super::limits::{Count, shortened};

/// The longest URL, in bytes: some send all of an event's data as its query. More does not fit into what parses
/// URIs here.
const MAX_URL: usize = 60 * 1024;
/// The most headers.
const MAX_HEADERS: usize = 100;
/// All names and values together, in bytes.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// The largest body, in bytes: four times the largest event. Bodies wait in memory and on disk, and steps
/// that each answer with a multiple of their input would soon fill both.
const MAX_BODY: usize = 4 << 20;

/// Takes out the headers that the engine itself writes, and answers with their names.
///
/// # Errors
/// Says in words what cannot be sent.
pub(super) fn check(request: &mut Request) -> Result<Vec<String>, Fault> {
    check_method(&request.method).map_err(invalid)?;
    request.url = checked_url(&request.url).map_err(invalid)?;
    let body = request.body.as_bytes().len();
    if body > MAX_BODY {
        let (body, most) = (Count(body as u64), Count(MAX_BODY as u64));
        let message = format!("its request has a body of {body} bytes; {most} is the most");
        return Err(Fault::new(FaultKind::OutputTooLarge, message));
    }
    let reserved = take_reserved(request);
    check_headers(&request.headers).map_err(invalid)?;
    Ok(reserved)
}

fn invalid(what: String) -> Fault {
    Fault::new(FaultKind::InvalidOutput, format!("its request cannot be sent: {what}"))
}

fn check_method(method: &str) -> Result<(), String> {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
    if known.iter().any(|known| known.as_str() == method) {
        return Ok(());
    }
    Err(format!(
        "the method {:?} is none of GET, POST, PUT, PATCH, DELETE, HEAD, in capitals",
        shortened(method, 32)
    ))
}

/// The URL as it is sent: spaces, and letters of other alphabets in its host, are written as a request can carry them.
fn checked_url(text: &str) -> Result<String, String> {
    let at_most = |text: &str| {
        if text.len() <= MAX_URL {
            return Ok(());
        }
        let len = Count(text.len() as u64);
        Err(format!("its URL has {len} bytes; {} is the most", Count(MAX_URL as u64)))
    };
    at_most(text)?;
    // What comes after the path, or before the host, may be what is in no record.
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    let shown = shortened(shown.rsplit('@').next().unwrap_or_default(), 200);
    let url = Url::parse(text).map_err(|error| format!("{shown:?} is not an absolute URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("the URL {shown:?} is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL holds a user name; an Authorization header is the place for that".to_owned());
    }
    let url = String::from(url);
    at_most(&url)?;
    match url.parse::<Uri>() {
        Ok(_) => Ok(url),
        Err(error) => Err(format!("the URL {shown:?} is none that a request can carry: {error}")),
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
        return Err(format!("it has {} headers; {MAX_HEADERS} is the most", Count(headers.len() as u64)));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        let (bytes, max) = (Count(bytes as u64), Count(MAX_HEADER_BYTES as u64));
        return Err(format!("its headers have {bytes} bytes; {max} is the most"));
    }
    for (name, value) in headers {
        let shown = shortened(name, 64);
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(format!("{shown:?} is not a header name (RFC 9110, section 5.1)"));
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(format!("the value of `{shown}` has characters that a header cannot carry"));
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
    fn a_request_that_cannot_be_sent_is_refused_in_words() {
        let good = "https://example.com/";
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
        let many = vec![("a", "b"); 101];
        for (request, words) in [
            (request("post", good, &[]), "the method \"post\" is none of"),
            (request("CONNECT", good, &[]), "the method \"CONNECT\" is none of"),
            (request("POST", "/path", &[]), "is not an absolute URL"),
            (request("POST", "ftp://example.com/", &[]), "neither http nor https"),
            (request("POST", "https://me:secret@example.com/", &[]), "holds a user name"),
            (request("POST", &long, &[]), "its URL has 61,460 bytes"),
            (request("POST", "https://me:secret@example.com:x/", &[]), "sent: \"example.com:x/\" is not"),
            (
                request("POST", "https://example.com:99999/?token=secret", &[]),
                "\"https://example.com:99999/\" is not",
            ),
            (request("POST", good, &[("a b", "c")]), "is not a header name"),
            (request("POST", good, &[("a", "b\r\nc: d")]), "characters that a header cannot carry"),
            (request("POST", good, &many), "it has 101 headers"),
        ] {
            let mut request = request;
            let fault = check(&mut request).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidOutput);
            assert!(fault.message.contains(words), "{}", fault.message);
        }
    }

    #[test]
    fn a_url_becomes_what_a_request_can_carry() {
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
    fn headers_of_the_engine_are_taken_out_and_named() {
        let mut request =
            request("POST", "https://example.com/", &[("Host", "evil"), ("webhook-id", "x"), ("x-a", "1")]);
        assert_eq!(check(&mut request).unwrap(), ["host", "webhook-id"]);
        assert_eq!(request.headers, [("x-a".into(), "1".into())]);
    }
}
