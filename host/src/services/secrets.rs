//! The signing secrets of hooks: generation and rotation.

use std::time::Duration;

use crate::domain::signing_key::SigningKey;
use crate::domain::{Invalid, SigningSecret, UnixMillis};
use crate::random;

/// How long a replaced secret still signs.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The maximum number of secrets that sign at the same time.
const MAX_LIVE: usize = 5;

/// The new secret is already the hook's current secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is already the hook's secret; send a different one")]
pub struct SameSecret;

/// Generates a signing secret of 256 random bits.
#[must_use]
pub fn new_secret() -> SigningSecret {
    SigningSecret::from_key(random::secret_bytes())
}

/// Generates a key pair from 256 random bits.
///
/// # Errors
/// Never.
pub fn new_signing_key() -> Result<SigningKey, Invalid> {
    SigningKey::from_seed(random::secret_bytes())
}

/// Something that signs until a time, if it has been replaced.
pub(super) trait Rotated: Clone {
    /// Whether both sign alike.
    fn is_same(&self, other: &Self) -> bool;
    /// Until when it signs.
    fn expires_at(&self) -> Option<UnixMillis>;
    /// The same until `end`.
    fn until(self, end: UnixMillis) -> Self;
}

impl Rotated for SigningSecret {
    fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
    fn expires_at(&self) -> Option<UnixMillis> {
        self.expires_at
    }
    fn until(self, end: UnixMillis) -> Self {
        self.expiring_at(end)
    }
}

impl Rotated for SigningKey {
    fn is_same(&self, other: &Self) -> bool {
        self.is_same_pair(other)
    }
    fn expires_at(&self) -> Option<UnixMillis> {
        self.expires_at
    }
    fn until(self, end: UnixMillis) -> Self {
        self.expiring_at(Some(end))
    }
}

/// The secrets or key pairs after a rotation: `new` first, then at most four that still sign.
pub(super) fn rotated<T: Rotated>(current: &[T], new: T, now: UnixMillis) -> Result<Vec<T>, SameSecret> {
    if current.first().is_some_and(|current| current.is_same(&new)) {
        return Err(SameSecret);
    }
    let is_live = |it: &&T| it.expires_at().is_none_or(|end| now < end);
    let sign_on = current.iter().filter(is_live).filter(|it| !it.is_same(&new));
    let older = sign_on.map(|it| it.clone().until(it.expires_at().unwrap_or(now.plus(OVERLAP))));
    let older: Vec<_> = older.take(MAX_LIVE - 1).collect();
    Ok(std::iter::once(new).chain(older).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SigningSecret {
        SigningSecret::from_bytes(vec![byte; 32]).unwrap()
    }

    fn bytes(secrets: &[SigningSecret]) -> Vec<u8> {
        secrets.iter().map(|secret| secret.key()[0]).collect()
    }

    #[test]
    fn a_replaced_secret_signs_for_another_day() {
        let now = UnixMillis(1_000);
        let secrets = rotated(&[secret(1)], secret(2), now).unwrap();
        assert_eq!(bytes(&secrets), [2, 1]);
        assert_eq!(secrets[0].expires_at, None);
        assert_eq!(secrets[1].expires_at, Some(now.plus(OVERLAP)));
        let later = rotated(&secrets, secret(3), now.plus(OVERLAP)).unwrap();
        assert_eq!(bytes(&later), [3, 2]);
    }

    #[test]
    fn at_most_five_distinct_secrets_sign() {
        let now = UnixMillis(0);
        let rotate = |secrets: Vec<_>, byte| rotated(&secrets, secret(byte), now).unwrap();
        let secrets = (2..=7).fold(vec![secret(1)], rotate);
        assert_eq!(bytes(&secrets), [7, 6, 5, 4, 3]);
        assert_eq!(bytes(&rotate(secrets.clone(), 5)), [5, 7, 6, 4, 3]);
        assert!(rotated(&secrets, secret(7), now).is_err());
    }
}
