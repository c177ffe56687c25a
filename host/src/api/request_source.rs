//! From where a request comes, for the audit log.

use std::net::IpAddr;

use http::HeaderMap;

use crate::clients::Client;

/// The header with the id of a request.
pub const REQUEST_ID: &str = "x-request-id";
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
        Self {
            address: client.map(|client| client.origin(headers)),
            request_id: request_id(headers, REQUEST_ID).map(str::to_owned),
        }
    }
}

/// The id that the header `name` gives a request, unless it is too long or has other than visible ASCII characters.
#[must_use]
pub fn request_id<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let id = headers.get(name).and_then(|value| value.to_str().ok());
    id.filter(|id| {
        (1..=MAX_REQUEST_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    })
}
