//! Certificates in files, and clients that trust them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

/// A certificate for loopback and its key.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
    der: CertificateDer<'static>,
}

/// The files of a listener's certificate.
pub(super) struct Files {
    dir: tempfile::TempDir,
}

impl Issued {
    pub(super) fn new() -> Self {
        Self::by(CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap())
    }

    /// Valid until the beginning of this year.
    pub(super) fn expiring(year: i32) -> Self {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        Self::by(params)
    }

    fn by(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Connects, trusting only this certificate.
    pub(super) async fn connect(&self, server: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.connect_by(server, &[&version::TLS13, &version::TLS12]).await
    }

    pub(super) async fn connect_by(
        &self,
        server: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(server).await?;
        let name = ServerName::from(server.ip());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

impl Files {
    pub(super) fn with(issued: &Issued) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.write(&issued.certificate, &issued.key);
        files
    }

    pub(super) fn write(&self, certificate: &str, key: &str) {
        std::fs::write(self.chain(), certificate).unwrap();
        std::fs::write(self.key(), key).unwrap();
        std::fs::set_permissions(self.key(), PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub(super) fn chain(&self) -> PathBuf {
        self.dir.path().join("chain.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Requests `path` and returns the status of the response, whose body must be short. The connection stays.
pub(super) async fn get(stream: &mut TlsStream<TcpStream>, path: &str) -> io::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await?;
    let mut response = Vec::new();
    while !response.ends_with(b"}") && !response.ends_with(b"ok\n") {
        if stream.read_buf(&mut response).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&response).split(' ').nth(1).unwrap_or_default().to_owned())
}
