//! From where a request comes, for the audit log.

use std::net::IpAddr;

use http::HeaderMap;

use crate::clients::Client;

/// The header with the id of a request.
const REQUEST_ID: &str = "x-request-id";
/// A longer id is ignored, in bytes.
const MAX_REQUEST_ID_LEN: usize = 128;

/// From where a request comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestSource {
    /// The client's address, as a trusted proxy names it; of an IPv6 address the network of 64 bits.
    pub address: Option<IpAddr>,
    /// The id that the client or a proxy has given the request, if it consists of visible ASCII characters.
    pub request_id: Option<String>,
}

impl RequestSource {
    /// The source of a request with these headers on the connection of `client`.
    #[must_use]
    pub fn of(client: Option<&Client>, headers: &HeaderMap) -> Self {
        let id = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let fits = |id: &&str| {
            (1..=MAX_REQUEST_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        Self {
            address: client.map(|client| client.origin(headers)),
            request_id: id.filter(fits).map(str::to_owned),
        }
    }
}
