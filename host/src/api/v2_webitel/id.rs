//! Ids as clients of the original know them: 24 hexadecimal digits in lower case.
//!
//! They are the engine's own in another spelling, so that no table is needed: the first eight digits are the second in
//! which the hook was made, as in the original, and the other sixteen are the whole id.

use crate::domain::HookId;

/// How many digits an id has.
const LEN: usize = 24;
/// How many of them are the second.
const SECOND_LEN: usize = 8;

/// The text of an id.
pub(super) fn text_of(id: HookId) -> String {
    format!("{:08x}{:016x}", id.created_at().unix_seconds(), id.0)
}

/// What a text of the right form names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The engine may have given this one.
    Hook(HookId),
    /// An id of another system: nobody has it here.
    Nothing,
}

/// What `text` names; none where it has not the form of an id.
pub(super) fn read(text: &str) -> Option<Named> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != LEN || !text.bytes().all(is_digit) {
        return None;
    }
    let id = u64::from_str_radix(&text[SECOND_LEN..], 16).ok().and_then(|id| i64::try_from(id).ok());
    // One id, one text: another second before the same number is another system's id.
    let own = id.map(HookId).filter(|id| text_of(*id) == text);
    Some(own.map_or(Named::Nothing, Named::Hook))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;
    use crate::domain::ids::IdGenerator;

    #[test]
    fn an_id_is_read_back_and_no_other_text_is_one() {
        let id = HookId::generate(&IdGenerator::new(1023, 0), UnixMillis(1_795_000_000_123));
        let text = text_of(id);
        assert_eq!(text, format!("{:08x}{:016x}", 1_795_000_000, id.0));
        assert_eq!(read(&text), Some(Named::Hook(id)));
        for text in ["", "1", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('6', "g")]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("ä23456789012345678901234"), None);
    }

    #[test]
    fn ids_of_other_systems_name_nothing() {
        let id = HookId::generate(&IdGenerator::new(0, 0), UnixMillis(1_795_000_000_123));
        let other_second = format!("{:08x}{:016x}", 1_795_000_001, id.0);
        for text in ["59802a53a7ec15000c40926a", "ffffffffffffffffffffffff", &other_second] {
            assert_eq!(read(text), Some(Named::Nothing), "{text}");
        }
        assert_eq!(read("5e0be1000000000000000000"), Some(Named::Hook(HookId(0))));
    }
}
