//! The id of a message.

use hookwright_plugin::{Event, JsonText};
use sha2::{Digest, Sha256};

/// Returns a UUID in the format of version 4 (RFC 9562, section 5.4) that depends only on the event and the hook, so
/// that receivers can recognize retries.
pub fn of(event: &Event<JsonText>) -> String {
    let mut hash = Sha256::new();
    hash.update(event.id.as_bytes());
    // Neither part contains a zero byte, so different pairs give different texts.
    hash.update([0]);
    hash.update(event.attribute("hook").unwrap_or_default().as_bytes());
    let digest = hash.finalize();

    let mut text = String::with_capacity(36);
    for (index, byte) in digest.iter().take(16).enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(event_id: &str, hook: Option<&str>) -> String {
        let mut event = Event::new("t", JsonText("{}".into()));
        event.id = event_id.into();
        event.attributes.extend(hook.map(|hook| ("hook".to_owned(), hook.to_owned())));
        of(&event)
    }

    #[test]
    fn ids_depend_only_on_event_and_hook() {
        assert_eq!(id("evt_1", Some("hook_1")), id("evt_1", Some("hook_1")));
        let different = [
            id("evt_1", Some("hook_1")),
            id("evt_1", Some("hook_2")),
            id("evt_2", Some("hook_1")),
            id("evt_1", None),
        ];
        for (index, one) in different.iter().enumerate() {
            assert!(different[..index].iter().all(|other| other != one), "{one}");
            let bytes = one.as_bytes();
            assert_eq!((bytes.len(), bytes[14]), (36, b'4'), "{one}");
            assert!(b"89ab".contains(&bytes[19]), "{one}");
        }
    }
}
