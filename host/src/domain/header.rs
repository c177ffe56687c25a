//! HTTP headers.

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
