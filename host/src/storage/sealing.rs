//! What the databases share of encryption: which keys opened the database's secrets so far, and rotating to another key.

use crate::storage::StorageError;
use crate::vault::Vault;

/// In `engine_state`: a known text, sealed. It tells a wrong key from a damaged row.
pub const KEY_CHECK: &str = "key-check";
/// The prefix of the names of further key checks in `engine_state`: one for each key that sealed rows after the key of
/// [`KEY_CHECK`], until all rows are sealed again with one key.
pub const KEY_CHECK_CURRENT: &str = "key-check-current";
/// In `engine_state`: sealed signing keys that are kept although the key that they derive from is gone.
pub const RETAINED_KEYS: &str = "retained-keys";
/// The value of [`KEY_CHECK`] while an installation is moved into the database: no key opens it, so no engine starts.
pub const MOVING: &[u8] = b"an installation is being moved here";

/// What re-encrypting a database did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rekeyed {
    /// Hooks that are now sealed with the current key.
    pub hooks: u64,
    /// Logins that are.
    pub logins: u64,
    /// Rendered requests that are.
    pub requests: u64,
    /// Replays with their own pipelines that are.
    pub jobs: u64,
    /// Rows that open with none of the keys, and stay as they are.
    pub unreadable: u64,
}

/// Checks that the keys open everything that is sealed: `first` is the value of [`KEY_CHECK`], `others` are those of
/// [`KEY_CHECK_CURRENT`]. Returns a further check to store before the current key seals anything, unless it has one.
///
/// # Errors
/// [`StorageError::WrongKey`], [`StorageError::NewerKey`]; [`StorageError::Moving`] while an installation is moved into the
/// database.
pub fn check(
    first: &[u8],
    others: &[Vec<u8>],
    vault: &Vault,
) -> Result<Option<(String, Vec<u8>)>, StorageError> {
    if first == MOVING {
        return Err(StorageError::Moving);
    }
    let again = vault.reseal(KEY_CHECK, first).map_err(|_| StorageError::WrongKey)?;
    check_others(others, vault, again.is_none())
}

/// As [`check`], without the first one; `is_known`: that one is of the current key.
///
/// # Errors
/// [`StorageError::NewerKey`].
pub fn check_others(
    others: &[Vec<u8>],
    vault: &Vault,
    mut is_known: bool,
) -> Result<Option<(String, Vec<u8>)>, StorageError> {
    for sealed in others {
        let again = vault.reseal(KEY_CHECK_CURRENT, sealed).map_err(|_| StorageError::NewerKey)?;
        is_known |= again.is_none();
    }
    if is_known {
        return Ok(None);
    }
    let name = match others.len() {
        0 => KEY_CHECK_CURRENT.to_owned(),
        others => format!("{KEY_CHECK_CURRENT}-{others}"),
    };
    Ok(Some((name, vault.seal(KEY_CHECK_CURRENT, KEY_CHECK_CURRENT.as_bytes()))))
}

/// The value of [`KEY_CHECK`] once everything is sealed with the current key.
pub fn key_check(vault: &Vault) -> Vec<u8> {
    vault.seal(KEY_CHECK, KEY_CHECK.as_bytes())
}

/// The value of [`RETAINED_KEYS`] before rows are sealed with another key.
pub fn retained_keys(vault: &Vault) -> Vec<u8> {
    let keys = zeroize::Zeroizing::new(serde_json::to_vec(&vault.outliving()).unwrap_or_default());
    vault.seal(RETAINED_KEYS, &keys)
}

/// Loads the signing keys of a value of [`RETAINED_KEYS`].
///
/// # Errors
/// [`StorageError::WrongKey`].
pub fn retain(sealed: &[u8], vault: &Vault) -> Result<(), StorageError> {
    let plain = vault.unseal(RETAINED_KEYS, sealed).map_err(|_| StorageError::WrongKey)?;
    vault.retain(serde_json::from_slice(&plain).unwrap_or_default());
    Ok(())
}
