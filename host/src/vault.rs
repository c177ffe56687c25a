//! Encrypts what must not lie readable in the database: ChaCha20-Poly1305 (RFC 8439) under one key.
//!
//! The key is the operator's (`encryption_key`), or else one of random bytes that the first start puts into the
//! data directory. With the latter, whoever gets the whole directory gets the secrets as well: the operator's own key
//! is what keeps them shut in a stolen copy of the database. Hooks' signing secrets are not among them.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::private_file;

/// Holds a key that the engine made, in base64.
const FILE: &str = "encryption.key";
/// The first byte of what is sealed, so that the form can change.
const FORMAT: u8 = 1;

/// A key of 256 bits. Shown nowhere by accident, and wiped from memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// The key that `text` is in base64, if it is one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        <[u8; 32]>::try_from(bytes.as_slice()).ok().map(|key| Self(Zeroizing::new(key)))
    }

    /// Its bytes.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What was sealed cannot be opened: it was sealed under another key or for another context, or is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it cannot be decrypted: the key is not the one that it was encrypted with (see the setting encryption_key)"
)]
pub struct Sealed;

/// Seals and opens.
pub struct Vault {
    key: Key,
    aead: LessSafeKey,
    /// One that was in use before; it opens and no longer seals.
    older: Option<Key>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// A vault that seals with this key.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { aead: aead(&key), key, older: None }
    }

    /// A vault with the operator's key; without one, with the data directory's, which is made where it is missing.
    /// What was sealed under the latter still opens after the operator has chosen a key.
    ///
    /// # Errors
    /// Where the file in the data directory cannot be read or written, or holds no key.
    pub fn open(data_dir: &Path, operators: Option<&Key>) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let stored = stored_key(&path)?;
        if let Some(key) = operators {
            return Ok(Self { older: stored, ..Self::new(key.clone()) });
        }
        if let Some(key) = stored {
            return Ok(Self::new(key));
        }
        let key = Key(Zeroizing::new(rand::random()));
        // With room for all of it from the beginning: what is left behind when a text grows is not wiped.
        let mut line = Zeroizing::new(String::with_capacity(64));
        STANDARD.encode_string(key.reveal(), &mut line);
        line.push('\n');
        private_file::create(&path, line.as_bytes())?;
        Ok(Self::new(key))
    }

    /// Encrypts `plain`. It opens only under the same `context`, so that what is sealed in one row cannot be put
    /// into another.
    ///
    /// # Panics
    /// Never: ring refuses only what is larger than 256 GiB.
    #[must_use]
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = plain.to_vec();
        let tag = self
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut text,
            )
            .expect("the text is within the algorithm's bound");
        [&[FORMAT], nonce.as_slice(), &text, tag.as_ref()].concat()
    }

    /// Decrypts what [`Self::seal`] made for the same `context`.
    ///
    /// # Errors
    /// Where it was not sealed under this key for this context.
    pub fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        let (&format, rest) = sealed.split_first().ok_or(Sealed)?;
        if format != FORMAT || rest.len() < NONCE_LEN {
            return Err(Sealed);
        }
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let unseal = |aead: &LessSafeKey| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut plain = Zeroizing::new(text.to_vec());
            let length = aead.open_in_place(nonce, Aad::from(context.as_bytes()), &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        };
        let older = || self.older.as_ref().map(aead);
        unseal(&self.aead).or_else(|| unseal(&older()?)).ok_or(Sealed)
    }

    /// A key for `purpose` that says nothing of this one or of those for other purposes: what the engine signs
    /// for itself is signed with it.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Key {
        derive(&self.key, purpose)
    }

    /// The keys that something for `purpose` may have been signed with: [`Self::derive`]'s first.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Vec<Key> {
        [Some(&self.key), self.older.as_ref()].into_iter().flatten().map(|key| derive(key, purpose)).collect()
    }
}

fn aead(key: &Key) -> LessSafeKey {
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, key.reveal()).expect("the key has 32 bytes");
    LessSafeKey::new(unbound)
}

fn derive(key: &Key, purpose: &str) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).expect("HMAC takes a key of any length");
    mac.update(purpose.as_bytes());
    Key(Zeroizing::new(mac.finalize().into_bytes().into()))
}

/// The data directory's key, if it has one.
fn stored_key(path: &Path) -> io::Result<Option<Key>> {
    let Some(text) = private_file::read(path)?.map(Zeroizing::new) else { return Ok(None) };
    let key = Key::from_text(&text).ok_or_else(|| {
        let what = format!(
            "{} does not hold 32 bytes in base64; without its key, the secrets in the database are lost",
            path.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_under_its_key_and_in_its_place() {
        let vault = Vault::new(Key(Zeroizing::new([7; 32])));
        let sealed = vault.seal("hook/1", b"Basic abc");
        assert!(!sealed.windows(9).any(|window| window == b"Basic abc"));
        assert_ne!(sealed, vault.seal("hook/1", b"Basic abc"), "each time with another nonce");
        assert_eq!(**vault.unseal("hook/1", &sealed).unwrap(), *b"Basic abc");
        assert_eq!(vault.unseal("hook/2", &sealed), Err(Sealed));
        assert_eq!(Vault::new(Key(Zeroizing::new([8; 32]))).unseal("hook/1", &sealed), Err(Sealed));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(vault.unseal("hook/1", &damaged), Err(Sealed), "byte {at}");
            assert_eq!(vault.unseal("hook/1", &sealed[..at]), Err(Sealed), "{at} bytes");
        }
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = Vault::open(dir.path(), None).unwrap().seal("a", b"b");
        let again = Vault::open(dir.path(), None).unwrap();
        assert_eq!(**again.unseal("a", &sealed).unwrap(), *b"b");
        // An operator who chooses a key later can still open what there is, and seals with the new one.
        let own = Key::from_text(&STANDARD.encode([9; 32])).unwrap();
        let chosen = Vault::open(dir.path(), Some(&own)).unwrap();
        assert_eq!(**chosen.unseal("a", &sealed).unwrap(), *b"b");
        assert_eq!(again.unseal("a", &chosen.seal("a", b"c")), Err(Sealed));
        assert_eq!(chosen.derived("x"), [chosen.derive("x"), again.derive("x")]);
        assert_ne!(chosen.derive("x"), chosen.derive("y"));
        std::fs::write(dir.path().join(FILE), "c2hvcnQ=").unwrap();
        assert_eq!(Vault::open(dir.path(), None).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
