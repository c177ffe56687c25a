//! TLS towards receivers: whose certificates are trusted, and which certificate a hook shows.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    Resumption, VerifierBuilderError, WantsClientCert, WebPkiServerVerifier, verify_server_name,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use super::kept::Kept;
use crate::domain::TenantId;
use crate::domain::hook_tls::{Certificates, ClientCertificate, HookTls, TlsIdentity};

/// The protocol over TLS (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";
/// The most TLS settings of hooks that are kept.
const MAX_KEPT: usize = 1_024;
/// The TLS sessions that a hook's settings remember for resumption. A hook mostly has one receiver.
const HOOK_SESSIONS: usize = 8;

/// The TLS settings of connections: the common ones, and those of hooks with a client certificate or authorities of their own.
pub struct TlsConfigs {
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    common: Arc<ClientConfig>,
    /// Made when they are first needed. Sessions are never resumed with other settings.
    of_hooks: Mutex<Kept<TlsIdentity, Arc<ClientConfig>>>,
}

/// Trusts the public certificate authorities (Mozilla's list), and the certificates in the PEM file `more`, both as
/// authorities and as receivers' own certificates.
///
/// # Errors
/// Fails if the file cannot be read, or has no usable certificate.
pub fn client_config(more: Option<&Path>) -> io::Result<TlsConfigs> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let pinned = more.map_or_else(|| Ok(Vec::new()), read_certificates)?;
    for certificate in &pinned {
        let unusable =
            |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", shown(more)));
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verifier(pinned, roots, &provider).map_err(io::Error::other)?;
    let common = builder(&provider, &verifier).map_err(io::Error::other)?.with_no_client_auth();
    let common = Arc::new(with_alpn(common));
    Ok(TlsConfigs { provider, verifier, common, of_hooks: Mutex::new(Kept::at_most(MAX_KEPT)) })
}

impl TlsConfigs {
    /// The settings of connections for hooks without any of their own.
    #[must_use]
    pub fn common(&self) -> &Arc<ClientConfig> {
        &self.common
    }

    /// The settings of connections for a hook of `tenant` with `tls`.
    ///
    /// # Errors
    /// Fails if the certificates or the key cannot be used, which [`check`] prevents.
    pub fn of_hook(&self, tenant: TenantId, tls: &HookTls) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.kept().get(&tls.identity()) {
            return Ok(Arc::clone(config));
        }
        // Not under the lock, for which connections of all hooks would wait.
        let made = self.make(tls)?;
        let mut kept = self.kept();
        // The first one stays, which may have sessions already.
        if let Some(config) = kept.get(&tls.identity()) {
            return Ok(Arc::clone(config));
        }
        kept.insert(tenant, tls.identity(), Arc::clone(&made));
        Ok(made)
    }

    fn kept(&self) -> MutexGuard<'_, Kept<TlsIdentity, Arc<ClientConfig>>> {
        self.of_hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, tls: &HookTls) -> Result<Arc<ClientConfig>, Error> {
        let verifier = match tls.authorities() {
            Some(authorities) => verifier_of(authorities, &self.provider)?,
            None => Arc::clone(&self.verifier),
        };
        let builder = builder(&self.provider, &verifier)?;
        let mut config = match tls.client() {
            Some(client) => {
                let certified = certified(client, &self.provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(HOOK_SESSIONS);
        Ok(Arc::new(with_alpn(config)))
    }
}

/// Checks that the TLS library can use the certificates, and that the private key is that of the client certificate.
///
/// # Errors
/// Says what is wrong.
pub fn check(tls: &HookTls) -> Result<(), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    tls.authorities().map(|authorities| verifier_of(authorities, &provider)).transpose()?;
    tls.client().map(|client| certified(client, &provider)).transpose()?;
    Ok(())
}

fn builder(
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<dyn ServerCertVerifier>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::clone(verifier)))
}

fn with_alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// The client certificate with its key.
fn certified(client: &ClientCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(client.chain.pem().as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| Error::General(format!("the certificate: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(client.key.reveal().as_bytes());
    // The error could show parts of the key.
    let key = key.map_err(|_| Error::General("expected an unencrypted private key in PEM".to_owned()))?;
    CertifiedKey::from_der(chain, key, provider)
}

/// Trusts only these certificates, as authorities' and as receivers' own.
fn verifier_of(
    authorities: &Certificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let pinned = CertificateDer::pem_slice_iter(authorities.pem().as_bytes()).collect::<Result<Vec<_>, _>>();
    let pinned = pinned.map_err(|error| Error::General(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in &pinned {
        roots.add(certificate.clone())?;
    }
    verifier(pinned, roots, provider).map_err(|error| Error::General(error.to_string()))
}

fn verifier(
    pinned: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
    let authorities =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
    if pinned.is_empty() {
        return Ok(authorities);
    }
    Ok(Arc::new(PinningVerifier { pinned, authorities }))
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let unusable =
        |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("there is no certificate in the file".to_owned()));
    }
    Ok(certificates)
}

/// Accepts a receiver's certificate that is in the operator's file or named by the hook, byte for byte, and otherwise one that
/// an authority has issued.
///
/// A self-signed certificate is often marked as an authority's, such as by `openssl req -x509`, and a verifier refuses an
/// authority's certificate as a server's own (RFC 5280, section 4.2.1.9). But the operator has named this one. It is valid for
/// its names, or for every host if it has none. Its expiry is ignored: it is trusted until it is removed from the file.
#[derive(Debug)]
struct PinningVerifier {
    pinned: Vec<CertificateDer<'static>>,
    authorities: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pinned.contains(end_entity) {
            return self.authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        match verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name) {
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented, ..
            })) if presented.is_empty() => {}
            checked => checked?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
