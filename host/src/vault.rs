//! Encrypts the secrets in the database: ChaCha20-Poly1305 (RFC 8439) with one key.
//!
//! The key is the operator's (`encryption_key`), or a random one that the first start creates in the data directory. In the
//! latter case a copy of the whole directory contains the key: only an operator's key protects a stolen copy. Keys rotate:
//! values that were sealed with a previous key still open, and `hookwright rekey` seals them again with the current one.

use std::io;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::domain::hash::hmac_sha256;
use crate::private_file::{self, ENCRYPTION_KEY_FILE};
use crate::random;

/// The first byte of a sealed value: the version of its format.
const FORMAT: u8 = 1;

/// A key of 256 bits. Its debug output hides it, and it is wiped from memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// The key with this text in base64, if it is one.
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

/// A sealed value cannot be opened: it was sealed with another key or for another context, or is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it cannot be decrypted: the key is not the one that it was encrypted with (see the setting encryption_key)"
)]
pub struct Sealed;

/// The keys that an operator chose.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Seals and opens. `None`: the key in the data directory is used.
    pub current: Option<Key>,
    /// Keys of earlier times: they open, and no longer seal.
    pub previous: Vec<Key>,
}

/// The purposes for which the engine derives keys with [`Vault::derive`]. These keys are retained when the key that they
/// derive from is gone: [`Vault::outliving`].
pub const PURPOSES: [&str; 1] = [DOMAIN_TOKENS];
/// Signs the tokens of Webitel's API.
pub const DOMAIN_TOKENS: &str = "webitel domain tokens";

/// Seals and opens.
pub struct Vault {
    key: Key,
    aead: LessSafeKey,
    /// Keys of earlier times, which open and no longer seal.
    older: Vec<(Key, LessSafeKey)>,
    /// Keys by purpose, derived from keys that are gone.
    retained: RwLock<Vec<(String, Key)>>,
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
        Self { aead: aead(&key), key, older: Vec::new(), retained: RwLock::default() }
    }

    /// A vault with the operator's key, or else with that of the data directory, which is created if it is missing. Values
    /// sealed with the latter still open after the operator has chosen a key.
    ///
    /// # Errors
    /// If the file in the data directory cannot be read or written, or holds no key.
    pub fn open(data_dir: &Path, operators: &Keys) -> io::Result<Self> {
        if let Some(vault) = Self::open_existing(data_dir, operators)? {
            return Ok(vault);
        }
        let key = Key(Zeroizing::new(random::secret_bytes()));
        // With its full capacity from the beginning: the old memory of a growing text would not be wiped.
        let mut line = Zeroizing::new(String::with_capacity(64));
        STANDARD.encode_string(key.reveal(), &mut line);
        line.push('\n');
        private_file::create(&data_dir.join(ENCRYPTION_KEY_FILE), line.as_bytes())?;
        Ok(Self { older: older(&operators.previous), ..Self::new(key) })
    }

    /// As [`Self::open`], but without a key nothing is created, and there is no vault.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_existing(data_dir: &Path, operators: &Keys) -> io::Result<Option<Self>> {
        let stored = stored_key(&data_dir.join(ENCRYPTION_KEY_FILE))?;
        if let Some(key) = &operators.current {
            let mut previous = operators.previous.clone();
            previous.extend(stored);
            previous.retain(|other| other != key);
            return Ok(Some(Self { older: older(&previous), ..Self::new(key.clone()) }));
        }
        Ok(stored.map(|key| Self { older: older(&operators.previous), ..Self::new(key) }))
    }

    /// Encrypts `plain`. It opens only for the same `context`, so that a sealed value cannot be moved to another row.
    ///
    /// # Panics
    /// Never: ring refuses only what is larger than 256 GiB.
    #[must_use]
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        seal(&self.aead, context, plain)
    }

    /// As [`Self::seal`], with the key that [`Self::opened_by`] returned.
    ///
    /// # Panics
    /// Never, as [`Self::seal`].
    #[must_use]
    pub fn seal_with(&self, key: usize, context: &str, plain: &[u8]) -> Vec<u8> {
        let older = key.checked_sub(1).and_then(|index| self.older.get(index));
        seal(older.map_or(&self.aead, |(_, aead)| aead), context, plain)
    }

    /// The key that opens `sealed`: 0 is the current one, and greater numbers are older ones. `None` if none does.
    #[must_use]
    pub fn opened_by(&self, context: &str, sealed: &[u8]) -> Option<usize> {
        self.open_with(context, sealed).ok().map(|(_, key)| key)
    }

    /// Decrypts what [`Self::seal`] made for the same `context`.
    ///
    /// # Errors
    /// If none of the keys sealed it for this context.
    pub fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        self.open_with(context, sealed).map(|(plain, _)| plain)
    }

    /// As [`Self::unseal`], but only with the current key: others may know older ones.
    ///
    /// # Errors
    /// If the current key did not seal it for this context.
    pub fn unseal_current(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        open(&self.aead, context, sealed).ok_or(Sealed)
    }

    /// Seals a value again that an older key sealed; `None` if the current one did.
    ///
    /// # Errors
    /// As [`Self::unseal`].
    pub fn reseal(&self, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, Sealed> {
        let (plain, key) = self.open_with(context, sealed)?;
        Ok((key > 0).then(|| self.seal(context, &plain)))
    }

    /// The plain text, and which key sealed it, as [`Self::opened_by`] counts them.
    fn open_with(&self, context: &str, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, usize), Sealed> {
        let keys = std::iter::once(&self.aead).chain(self.older.iter().map(|(_, aead)| aead));
        keys.enumerate().find_map(|(key, aead)| Some((open(aead, context, sealed)?, key))).ok_or(Sealed)
    }

    /// A signing key for `purpose`. It reveals nothing about this key or those for other purposes.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Key {
        derive(&self.key, purpose)
    }

    /// The keys with which a signature for `purpose` may have been made; that of [`Self::derive`] comes first.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> Vec<Key> {
        let older = self.older.iter().map(|(key, _)| key);
        let mut keys: Vec<_> =
            std::iter::once(&self.key).chain(older).map(|key| derive(key, purpose)).collect();
        for (_, key) in self.retained().iter().filter(|(of, _)| of == purpose) {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// The signing keys that do not derive from the current key: purpose and base64. With [`Self::retain`], their signatures
    /// stay valid when the keys that they derive from are gone.
    #[must_use]
    pub fn outliving(&self) -> Vec<(String, String)> {
        let text = |key: &Key| STANDARD.encode(key.reveal());
        let of = |purpose: &str| {
            self.derived(purpose)
                .iter()
                .skip(1)
                .map(|key| (purpose.to_owned(), text(key)))
                .collect::<Vec<_>>()
        };
        PURPOSES.iter().flat_map(|purpose| of(purpose)).collect()
    }

    /// Adds the keys that [`Self::outliving`] returned in an earlier process.
    pub fn retain(&self, keys: Vec<(String, String)>) {
        let keys = keys.into_iter().filter_map(|(purpose, text)| Some((purpose, Key::from_text(&text)?)));
        *self.retained.write().unwrap_or_else(PoisonError::into_inner) = keys.collect();
    }

    fn retained(&self) -> RwLockReadGuard<'_, Vec<(String, Key)>> {
        self.retained.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `aead` sealed for `context`, decrypted.
fn open(aead: &LessSafeKey, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = sealed.split_first().filter(|(format, _)| **format == FORMAT)?;
    let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut plain = Zeroizing::new(text.to_vec());
    let length = aead.open_in_place(nonce, Aad::from(context.as_bytes()), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn seal(aead: &LessSafeKey, context: &str, plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = random::secret_bytes();
    let mut text = plain.to_vec();
    let tag = aead
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.as_bytes()),
            &mut text,
        )
        .expect("the text is within the algorithm's bound");
    [&[FORMAT], nonce.as_slice(), &text, tag.as_ref()].concat()
}

fn older(keys: &[Key]) -> Vec<(Key, LessSafeKey)> {
    keys.iter().map(|key| (key.clone(), aead(key))).collect()
}

fn aead(key: &Key) -> LessSafeKey {
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, key.reveal()).expect("the key has 32 bytes");
    LessSafeKey::new(unbound)
}

fn derive(key: &Key, purpose: &str) -> Key {
    Key(Zeroizing::new(hmac_sha256(key.reveal(), &[purpose.as_bytes()])))
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
    fn a_sealed_value_opens_only_with_its_key_and_for_its_context() {
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
    fn a_key_is_created_once_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let none = Keys::default();
        let sealed = Vault::open(dir.path(), &none).unwrap().seal("a", b"b");
        let again = Vault::open(dir.path(), &none).unwrap();
        assert_eq!(**again.unseal("a", &sealed).unwrap(), *b"b");
        // An operator who chooses a key later can still open old values, and seals with the new key.
        let own = Key::from_text(&STANDARD.encode([9; 32])).unwrap();
        let keys = Keys { current: Some(own), previous: Vec::new() };
        let chosen = Vault::open(dir.path(), &keys).unwrap();
        assert_eq!(**chosen.unseal("a", &sealed).unwrap(), *b"b");
        assert_eq!(again.unseal("a", &chosen.seal("a", b"c")), Err(Sealed));
        assert_eq!(chosen.derived("x"), [chosen.derive("x"), again.derive("x")]);
        assert_ne!(chosen.derive("x"), chosen.derive("y"));
        std::fs::write(dir.path().join(ENCRYPTION_KEY_FILE), "c2hvcnQ=").unwrap();
        assert_eq!(Vault::open(dir.path(), &none).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn keys_rotate_and_their_signatures_stay_valid() {
        let key = |byte: u8| Key(Zeroizing::new([byte; 32]));
        let dir = tempfile::tempdir().unwrap();
        let open = |current: u8, previous: &[u8]| {
            let previous = previous.iter().map(|byte| key(*byte)).collect();
            Vault::open(dir.path(), &Keys { current: Some(key(current)), previous }).unwrap()
        };
        let first = open(1, &[]);
        let sealed = first.seal("a", b"b");
        assert_eq!(first.reseal("a", &sealed), Ok(None));
        assert_eq!(open(3, &[2]).reseal("a", &sealed), Err(Sealed));
        let rotated = open(3, &[2, 1]);
        let again = rotated.reseal("a", &sealed).unwrap().unwrap();
        let without = open(3, &[]);
        assert_eq!(**without.unseal("a", &again).unwrap(), *b"b");
        assert!(!without.derived(DOMAIN_TOKENS).contains(&first.derive(DOMAIN_TOKENS)));
        without.retain(rotated.outliving());
        assert!(without.derived(DOMAIN_TOKENS).contains(&first.derive(DOMAIN_TOKENS)));
        assert_eq!(without.derived(DOMAIN_TOKENS)[0], without.derive(DOMAIN_TOKENS));
        assert_eq!(without.outliving(), rotated.outliving(), "also at the next rotation");
    }
}
