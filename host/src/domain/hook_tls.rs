//! How a hook's connections use TLS: a client certificate (mTLS), and authorities of the hook's own.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::hash::sha256;
use super::x509::describe;
use super::{Invalid, SecretText, UnixMillis};

/// See the module's head.
#[derive(Clone, PartialEq, Eq)]
pub struct HookTls {
    client: Option<ClientCertificate>,
    authorities: Option<Certificates>,
    identity: TlsIdentity,
}

/// What distinguishes connections that must not be shared. A hash of the certificates and the private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsIdentity([u8; 32]);

/// A certificate with which the engine shows a receiver who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, then those of the authorities that issued it.
    pub chain: Certificates,
    /// The private key, in PEM.
    pub key: SecretText,
}

/// Certificates in PEM, and what the first of them says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    pem: String,
    /// The subject's distinguished name.
    pub subject: String,
    /// The end of its validity.
    pub expires_at: UnixMillis,
    /// SHA-256 of its bytes, in hexadecimal.
    pub fingerprint: String,
}

impl Certificates {
    /// The most bytes of PEM.
    pub const MAX_LEN: usize = 32 * 1024;
    /// The most certificates.
    pub const MAX_COUNT: usize = 20;

    /// Parses certificates in PEM.
    ///
    /// # Errors
    /// If there is none, one cannot be parsed, or there are too many or too large ones.
    pub fn parse(pem: &str) -> Result<Self, Invalid> {
        if pem.len() > Self::MAX_LEN {
            return Err(Invalid::new("certificates have at most 32 KiB in PEM"));
        }
        let malformed = || {
            Invalid::new(
                "expected certificates in PEM: `-----BEGIN CERTIFICATE-----` and so on, without keys",
            )
        };
        if pem.contains("PRIVATE KEY") {
            return Err(malformed());
        }
        let blocks = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        let blocks = blocks.map_err(|_| malformed())?;
        if blocks.len() > Self::MAX_COUNT {
            return Err(Invalid::new("at most 20 certificates"));
        }
        let described = blocks.iter().map(|block| describe(block)).collect::<Option<Vec<_>>>();
        let first = described.and_then(|all| all.into_iter().next()).zip(blocks.first());
        let (description, block) = first.ok_or_else(malformed)?;
        Ok(Self {
            pem: pem.to_owned(),
            subject: description.subject,
            expires_at: description.not_after,
            fingerprint: hex::encode(sha256(&[block])),
        })
    }

    /// The text that was parsed.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl ClientCertificate {
    /// The most bytes of a private key in PEM.
    pub const MAX_KEY_LEN: usize = 16 * 1024;
}

impl HookTls {
    /// TLS with these parts; `None` if both are absent.
    #[must_use]
    pub fn new(client: Option<ClientCertificate>, authorities: Option<Certificates>) -> Option<Self> {
        if client.is_none() && authorities.is_none() {
            return None;
        }
        let chain = client.as_ref().map_or("", |client| client.chain.pem());
        let key = client.as_ref().map_or("", |client| client.key.reveal());
        let roots = authorities.as_ref().map_or("", Certificates::pem);
        let parts: Vec<_> =
            [chain, key, roots].into_iter().flat_map(|part| [part.as_bytes(), b"\0"]).collect();
        let identity = TlsIdentity(sha256(&parts));
        Some(Self { client, authorities, identity })
    }

    /// The client certificate.
    #[must_use]
    pub fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }

    /// The authorities that are trusted instead of the public ones.
    #[must_use]
    pub fn authorities(&self) -> Option<&Certificates> {
        self.authorities.as_ref()
    }

    /// What distinguishes its connections from others to the same receiver.
    #[must_use]
    pub fn identity(&self) -> TlsIdentity {
        self.identity
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let client = self.client.as_ref().map_or(0, |it| it.chain.pem.len() + it.key.reveal().len());
        client + self.authorities.as_ref().map_or(0, |it| it.pem.len())
    }
}

impl fmt::Debug for HookTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookTls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::CERTIFICATE;

    #[test]
    fn what_is_no_certificate_is_refused() {
        let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for text in ["", "AAAA", not_a_certificate, key, &"x".repeat(Certificates::MAX_LEN + 1)] {
            assert!(Certificates::parse(text).is_err(), "{text:.40}");
        }
    }

    #[test]
    fn a_certificate_is_described_and_tells_connections_apart() {
        let certificates = Certificates::parse(CERTIFICATE).unwrap();
        assert_eq!(certificates.subject, "CN=hooks.example, O=Example");
        assert_eq!(certificates.expires_at, UnixMillis(4_949_588_540_000));
        assert!(certificates.fingerprint.starts_with("1564dd4ffa8878b9"), "{}", certificates.fingerprint);
        let client = |key| Some(ClientCertificate { chain: certificates.clone(), key: SecretText::new(key) });
        let own = || Some(certificates.clone());
        let all = [(client("a"), None), (client("b"), None), (client("a"), own()), (None, own())];
        let identities: std::collections::HashSet<_> =
            all.map(|(client, own)| HookTls::new(client, own).unwrap().identity()).into();
        assert_eq!(identities.len(), 4);
    }

    #[test]
    fn without_parts_there_is_no_tls_of_ones_own() {
        assert_eq!(HookTls::new(None, None), None);
    }
}
