//! Headers as they are written and recorded.

/// A text that is mostly so short that it takes no memory of its own.
pub type ShortText = compact_str::CompactString;

/// A name and a value.
pub type Header = (ShortText, ShortText);

/// Headers in order; a name may stand more than once.
pub type HeaderList = Vec<Header>;

/// The list of these names and values.
#[must_use]
pub fn header_list(pairs: Vec<(String, String)>) -> HeaderList {
    pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
