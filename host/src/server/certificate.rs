//! The certificate that a listener shows, and its private key, from files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::domain::{UnixMillis, x509};

/// The protocol over TLS (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";
/// The most bytes of either file.
const MAX_FILE: u64 = 1 << 20;

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate in PEM, followed by those of its issuers.
    pub chain: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Why files cannot be used as a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file has no certificate or key.
    #[error("{}: expected {expected}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        expected: &'static str,
    },
    /// The key belongs to another certificate.
    #[error(
        "the private key in {} is not that of the first certificate in {}: that must be the server's own, followed by those of its issuers",
        key.display(), chain.display()
    )]
    OtherKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        chain: PathBuf,
    },
    /// The TLS library cannot use them.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
}

/// A certificate that has been read and checked.
#[derive(Debug, Clone)]
pub struct LoadedCertificate {
    certified: Arc<CertifiedKey>,
    expires_at: Option<UnixMillis>,
}

/// The certificate of a listener. It can be exchanged: connections that are open keep theirs.
#[derive(Debug)]
pub struct Certificate {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Current(RwLock<LoadedCertificate>);

impl LoadedCertificate {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// Says which file is wrong, and how.
    pub fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let malformed =
            |path: &Path, expected| CertificateError::Malformed { path: path.to_owned(), expected };
        let chain = CertificateDer::pem_slice_iter(&content(&files.chain)?).collect::<Result<Vec<_>, _>>();
        let expected = "certificates in PEM: `-----BEGIN CERTIFICATE-----` and so on";
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| malformed(&files.chain, expected))?;
        let expires_at = x509::describe(&chain[0]).map(|described| described.not_after);
        // The error could show parts of the key.
        let key = PrivateKeyDer::from_pem_slice(&content(&files.key)?);
        let key = key.map_err(|_| malformed(&files.key, "an unencrypted private key in PEM"))?;
        warn_if_open(&files.key);
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError::OtherKey { key: files.key.clone(), chain: files.chain.clone() }
            }
            source => CertificateError::Unusable { path: files.chain.clone(), source },
        })?;
        Ok(Self { certified: Arc::new(certified), expires_at })
    }
}

impl Certificate {
    /// Shows this one.
    ///
    /// # Errors
    /// If the TLS library lacks what it needs.
    pub fn new(loaded: LoadedCertificate) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(loaded)));
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { current, config: Arc::new(config) })
    }

    /// Shows this one in all further handshakes.
    pub fn replace(&self, loaded: LoadedCertificate) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    /// The end of the validity of the present one, if it says one.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.current.0.read().unwrap_or_else(PoisonError::into_inner).expires_at
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).certified))
    }
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn content(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, CertificateError> {
    use std::io::Read as _;
    let mut content = zeroize::Zeroizing::new(Vec::new());
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut content));
    read.map_err(|source| CertificateError::Unreadable { path: path.to_owned(), source })?;
    Ok(content)
}

/// A user who reads the key can pose as the server.
fn warn_if_open(key: &Path) {
    let mode = key.metadata().map_or(0, |about| about.permissions().mode());
    if mode & 0o007 != 0 {
        let (path, mode) = (key.display(), format!("{:o}", mode & 0o777));
        tracing::warn!(%path, mode, "every user of this machine can read the private key: remove the permissions of others");
    }
}
