//! The text of keys.

use crate::domain::ApiKey;
use crate::domain::hash::sha256;
use crate::random;

/// The prefix of keys, by which people and secret scanners recognize them.
const KEY_PREFIX: &str = "hwk_";

/// A new key: 256 random bits behind `hwk_`.
#[must_use]
pub fn new_key_text() -> String {
    format!("{KEY_PREFIX}{}", hex::encode(random::secret_bytes::<32>()))
}

/// The SHA-256 hash that is stored of a key.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    sha256(&[key.as_bytes()])
}

/// A new key, and what is stored of it.
pub(super) struct NewKeyText {
    pub text: String,
    pub hash: [u8; 32],
    /// 16 of the key's 256 bits: they help to recognize it, and not to guess it.
    pub prefix: String,
}

/// Makes a key.
pub(super) fn new_key() -> NewKeyText {
    let text = new_key_text();
    NewKeyText { hash: hash_key(&text), prefix: text.chars().take(ApiKey::PREFIX_LEN).collect(), text }
}
