//! The `Host` header (RFC 9112, section 3.2).

use axum::http::header::HOST;
use axum::http::{Request, Version};

use crate::api::problem::Problem;

/// Refuses a request without a `Host`, with two, or with a malformed one: proxies differ in how they read it.
///
/// # Errors
/// The problem to respond with.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut all = request.headers().get_all(HOST).iter();
    let refused = match (all.next(), all.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => return Ok(()),
        (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
        (None, _) => "missing Host header",
        (_, Some(_)) => "duplicate Host header; send exactly one",
        (Some(_), None) => "malformed Host header; expected a host name or address, optionally with a port",
    };
    Err(Problem::parameter("Host", refused))
}

/// Whether it is a name or an address, with or without a port (RFC 3986, section 3.2).
fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text.ends_with(b"]") => (&text[..colon], &text[colon + 1..]),
        _ => (text, &[][..]),
    };
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    let is_name = match host.strip_prefix(b"[") {
        Some(rest) => rest.strip_suffix(b"]").is_some_and(|address| {
            !address.is_empty() && address.iter().all(|byte| is_in_name(byte) || *byte == b':')
        }),
        None => host.iter().all(is_in_name),
    };
    is_name && port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_valid_host_is_required() {
        for (version, hosts, expected) in [
            (Version::HTTP_11, &["a.example"] as &[&str], true),
            (Version::HTTP_11, &["a.example:8080"], true),
            (Version::HTTP_11, &["a.example:"], true),
            (Version::HTTP_11, &["[::1]:80"], true),
            (Version::HTTP_11, &["[::1]"], true),
            (Version::HTTP_11, &["127.0.0.1"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_10, &["a", "b"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_11, &["u@a"], false),
            (Version::HTTP_11, &["a:b"], false),
            (Version::HTTP_11, &["a:123456"], false),
            (Version::HTTP_11, &["::1"], false),
            (Version::HTTP_11, &["[]"], false),
        ] {
            let request =
                hosts.iter().fold(Request::builder().version(version), |it, host| it.header(HOST, *host));
            assert_eq!(check(&request.body(()).unwrap()).is_ok(), expected, "{version:?} {hosts:?}");
        }
    }
}
