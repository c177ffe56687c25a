//! Key pairs of asymmetric signatures: Standard Webhooks' `v1a`, which is Ed25519 (RFC 8032).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::hash::sha256;
use super::{Invalid, UnixMillis};

/// A hook's key pair. Only the public key is ever shown.
#[derive(Clone)]
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Arc<Ed25519KeyPair>,
    /// Until when it signs together with its successor; `None` for the current key.
    pub expires_at: Option<UnixMillis>,
}

impl SigningKey {
    /// Prefix of a private key's text.
    pub const PRIVATE_PREFIX: &'static str = "whsk_";
    /// Prefix of a public key's text.
    pub const PUBLIC_PREFIX: &'static str = "whpk_";

    /// The key pair of a seed of 32 random bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// Never for random bytes: any 32 bytes are a seed.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, Invalid> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let pair = pair.map_err(|_| Invalid::new("the seed is not usable"))?;
        Ok(Self { seed: Zeroizing::new(seed), pair: Arc::new(pair), expires_at: None })
    }

    /// The text of the private key, as [`Self::from_str`] reads it. The name makes accidental use visible.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([&self.seed[..], self.public_bytes()].concat());
        Zeroizing::new(format!("{}{}", Self::PRIVATE_PREFIX, STANDARD.encode(&*bytes)))
    }

    /// The public key for the receiver.
    #[must_use]
    pub fn public(&self) -> String {
        format!("{}{}", Self::PUBLIC_PREFIX, STANDARD.encode(self.public_bytes()))
    }

    /// The public key as the member `x` of a JSON Web Key (RFC 8037, section 2).
    #[must_use]
    pub fn jwk_x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public_bytes())
    }

    /// The SHA-256 thumbprint of the JSON Web Key (RFC 7638), which identifies it.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // The required members in lexicographic order, without white space (RFC 8037, appendix A.3).
        let key = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.jwk_x());
        URL_SAFE_NO_PAD.encode(sha256(&[key.as_bytes()]))
    }

    /// The signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    /// Sets the time until which it signs together with its successor.
    #[must_use]
    pub fn expiring_at(self, end: Option<UnixMillis>) -> Self {
        Self { expires_at: end, ..self }
    }

    /// Whether it signs at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether both are the same pair, whenever they expire.
    #[must_use]
    pub fn is_same_pair(&self, other: &Self) -> bool {
        self.public_bytes() == other.public_bytes()
    }

    fn public_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
}

impl FromStr for SigningKey {
    type Err = Invalid;

    /// Reads `whsk_` and, in base64, either the seed of 32 bytes, or the seed and the public key. Both are in use: Standard
    /// Webhooks does not say which.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let rule = || {
            Invalid::new(
                "a signing key must be `whsk_` followed by an Ed25519 key of 32 or 64 bytes in base64",
            )
        };
        let encoded = text.strip_prefix(Self::PRIVATE_PREFIX).ok_or_else(rule)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| rule())?);
        let (seed, public) = bytes.split_first_chunk::<32>().ok_or_else(rule)?;
        let key = Self::from_seed(*seed)?;
        match public.is_empty() || public == key.public_bytes() {
            true => Ok(key),
            false => Err(rule()),
        }
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_pair(other) && self.expires_at == other.expires_at
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendices A.1 to A.4, which sign with the key of RFC 8032, section 7.1, test 1.
    #[test]
    fn the_published_key_has_the_published_thumbprint_and_signature() {
        let seed: [u8; 32] = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap()
            .try_into()
            .unwrap();
        let key = SigningKey::from_seed(seed).unwrap();
        assert_eq!(key.jwk_x(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(hex::encode(&key.sign(b"")[..8]), "e5564300c360ac72");
        assert_eq!(key.public(), "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    }

    #[test]
    fn a_private_key_is_read_as_it_is_written_and_with_the_seed_only() {
        let key = SigningKey::from_seed([7; 32]).unwrap();
        assert_eq!(key.reveal().parse::<SigningKey>().unwrap(), key);
        let seed = format!("whsk_{}", STANDARD.encode([7; 32]));
        assert_eq!(seed.parse::<SigningKey>().unwrap(), key);
        let other = [&[7; 32][..], &[8; 32]].concat();
        for bad in
            ["whsk_", "whsk_AAAA", "whsec_AAAA", &key.public(), &format!("whsk_{}", STANDARD.encode(other))]
        {
            assert!(bad.parse::<SigningKey>().is_err(), "{bad}");
        }
        assert!(!format!("{key:?}").contains(&STANDARD.encode([7; 32])[..8]));
    }
}
