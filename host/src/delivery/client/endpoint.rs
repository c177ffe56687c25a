//! Where a request goes, and how the request names it.

use http::uri::{Authority, Parts};
use http::{HeaderValue, Uri, header};

use super::request::Request;
use super::unreachable::Unreachable;
use crate::domain::attempt::UnreachableKind;
use crate::domain::hook_tls::{HookTls, TlsIdentity};

/// Scheme, host and port, and who the engine is to the receiver. Requests to the same endpoint may share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    /// Whether the connection uses TLS.
    pub(super) https: bool,
    /// The name or address in lower case, without the brackets of an IPv6 address.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// The hook's own certificates, with TLS.
    pub(super) identity: Option<TlsIdentity>,
}

impl Endpoint {
    /// The endpoint of `uri` for a hook with `tls`.
    ///
    /// # Errors
    /// Fails if `uri` has none. The URLs of hooks and plugins have been checked before.
    pub(super) fn of(uri: &Uri, tls: Option<&HookTls>) -> Result<Self, Unreachable> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => return Err(unusable(format!("unsupported scheme {}", other.unwrap_or_default()))),
        };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(unusable("the URL names no host".to_owned()));
        }
        let port = uri.port_u16().unwrap_or(default_port(https));
        let identity = tls.filter(|_| https).map(HookTls::identity);
        Ok(Self { https, host: host.to_ascii_lowercase().into(), port, identity })
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn unusable(what: String) -> Unreachable {
    Unreachable::new(UnreachableKind::Protocol, what)
}

/// Brings a request to `endpoint` into the form that servers expect: the host in a header (RFC 9112, section 3.2), only path
/// and query in the request line (section 3.2.1).
///
/// # Errors
/// Fails if the host is not a valid header value, which the host of a URL always is.
pub(super) fn address(request: &mut Request, endpoint: &Endpoint) -> Result<(), Unreachable> {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    // The port is left out if it is the default. URLs have no user names here.
    let named =
        if endpoint.port == default_port(endpoint.https) { Authority::host } else { Authority::as_str };
    let host = parts.authority.as_ref().map_or("", named);
    let host = HeaderValue::from_str(host).map_err(|error| unusable(error.to_string()))?;
    request.headers_mut().insert(header::HOST, host);
    let mut origin = Parts::default();
    origin.path_and_query = parts.path_and_query;
    if origin.path_and_query.is_some() {
        *request.uri_mut() = Uri::from_parts(origin).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_host_and_its_path() {
        for (url, host, line, endpoint) in [
            ("http://a.example", "a.example", "/", (false, "a.example", 80)),
            ("http://a.example:80/b?c=d", "a.example", "/b?c=d", (false, "a.example", 80)),
            ("http://A.example:443/?c", "A.example:443", "/?c", (false, "a.example", 443)),
            ("https://a.example:443/", "a.example", "/", (true, "a.example", 443)),
            ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443", "/x", (true, "2001:db8::1", 8443)),
        ] {
            let mut request = Request::new(http_body_util::Full::default());
            *request.uri_mut() = url.parse().unwrap();
            let found = Endpoint::of(request.uri(), None).unwrap();
            address(&mut request, &found).unwrap();
            assert_eq!(
                (request.headers()["host"].to_str().unwrap(), &*request.uri().to_string()),
                (host, line)
            );
            assert_eq!((found.https, &*found.host, found.port), endpoint, "{url}");
        }
        for url in ["/only/a/path", "ftp://a.example/", "a.example:80"] {
            assert!(Endpoint::of(&url.parse().unwrap(), None).is_err(), "{url}");
        }
    }
}
