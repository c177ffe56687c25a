//! Ids in the form of the original API (MongoDB's ObjectId): 24 hexadecimal digits in lower case.
//!
//! They encode the engine's ids, so no table is needed. As in the original, the first eight digits are the
//! Unix time of creation in seconds; the other sixteen are the engine's id.

use crate::domain::HookId;

/// The number of digits of an id.
const LEN: usize = 24;
/// The number of digits of the time.
const SECOND_LEN: usize = 8;

/// The text of an id.
pub(super) fn encode(id: HookId) -> String {
    format!("{:08x}{:016x}", id.created_at().unix_seconds(), id.0)
}

/// A well-formed id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParsedId {
    /// An id of the engine. The hook may not exist.
    Own(HookId),
    /// An id of another system, which no hook has.
    Foreign,
}

/// Parses an id; `None` if `text` is malformed.
pub(super) fn parse(text: &str) -> Option<ParsedId> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != LEN || !text.bytes().all(is_digit) {
        return None;
    }
    let id = u64::from_str_radix(&text[SECOND_LEN..], 16).ok().and_then(|id| i64::try_from(id).ok());
    // Each id has exactly one text, so an id with another time is foreign.
    let own = id.map(HookId).filter(|id| encode(*id) == text);
    Some(own.map_or(ParsedId::Foreign, ParsedId::Own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;
    use crate::domain::ids::IdGenerator;

    #[test]
    fn ids_are_parsed_and_other_texts_are_malformed() {
        let id = HookId::generate(&IdGenerator::new(1023, 0), UnixMillis(1_795_000_000_123));
        let text = encode(id);
        assert_eq!(text, format!("{:08x}{:016x}", 1_795_000_000, id.0));
        assert_eq!(parse(&text), Some(ParsedId::Own(id)));
        for text in ["", "1", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('6', "g")]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("ä23456789012345678901234"), None);
    }

    #[test]
    fn ids_of_other_systems_are_foreign() {
        let id = HookId::generate(&IdGenerator::new(0, 0), UnixMillis(1_795_000_000_123));
        let other_second = format!("{:08x}{:016x}", 1_795_000_001, id.0);
        for text in ["59802a53a7ec15000c40926a", "ffffffffffffffffffffffff", &other_second] {
            assert_eq!(parse(text), Some(ParsedId::Foreign), "{text}");
        }
        assert_eq!(parse("5e0be1000000000000000000"), Some(ParsedId::Own(HookId(0))));
    }
}
