//! HTTP headers.

use super::Invalid;

/// Maximum length of a header's name, in bytes.
pub const MAX_HEADER_NAME_LEN: usize = 256;

/// A string that is stored inline if it is short.
pub type ShortText = compact_str::CompactString;

/// A name and a value.
pub type Header = (ShortText, ShortText);

/// Headers in order. A name may occur more than once.
pub type HeaderList = Vec<Header>;

/// Converts names and values to a header list.
#[must_use]
pub fn header_list(pairs: Vec<(String, String)>) -> HeaderList {
    pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Checks a header's name and returns it in lower case.
///
/// # Errors
/// If the name is invalid or longer than 256 bytes.
pub fn check_header_name(name: &str) -> Result<http::HeaderName, Invalid> {
    let Ok(parsed) = http::HeaderName::from_bytes(name.as_bytes()) else {
        let shown: String = name.chars().take(100).collect();
        return Err(Invalid::new(format!("`{shown}` is not a valid header name (RFC 9110, section 5.1)")));
    };
    if name.len() > MAX_HEADER_NAME_LEN {
        return Err(Invalid::new("a header name must have at most 256 bytes"));
    }
    Ok(parsed)
}

/// Whether the engine sets this header itself: headers that frame the request or carry the signature. Values from hooks
/// and plugins are not sent. Names are case-insensitive (RFC 9110, section 5.1).
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    const SIGNATURE: &str = "webhook-";
    let signs = name
        .as_bytes()
        .get(..SIGNATURE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SIGNATURE.as_bytes()));
    signs || is_framing_header(name)
}

/// Whether this header frames the request.
#[must_use]
pub fn is_framing_header(name: &str) -> bool {
    const FRAMING: [&str; 9] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
    ];
    FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}
