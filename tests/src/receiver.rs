//! A receiver of webhooks on loopback with configurable responses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// A received request.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The client's certificate in DER, if it showed one.
    pub certificate: Option<Vec<u8>>,
}

impl Arrival {
    /// The value of a header; empty if it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The response to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status, headers and body.
    Status(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// 200, after the gate is opened.
    Held(Arc<Notify>),
    /// No response.
    Never,
}

impl Reply {
    /// A response with only a status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), Vec::new())
    }
}

type Rule = dyn Fn(&Arrival) -> Reply + Send + Sync;

/// A running receiver. It stops when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    arrivals: Mutex<mpsc::UnboundedReceiver<Arrival>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts a receiver that responds with 200 to every request.
    pub async fn start() -> Self {
        Self::responding(|_| Reply::status(200)).await
    }

    /// Starts a receiver that responds according to `rule`.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn responding(rule: impl Fn(&Arrival) -> Reply + Send + Sync + 'static) -> Self {
        Self::listening(None, rule).await
    }

    /// Starts a receiver with TLS whose certificate is issued by a new authority. Returns the authority's certificate
    /// in PEM too.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn tls(rule: impl Fn(&Arrival) -> Reply + Send + Sync + 'static) -> (Self, String) {
        let (acceptor, authority) = certify();
        (Self::listening(Some(acceptor), rule).await, authority)
    }

    /// Starts a receiver with TLS that has a self-signed certificate for these names, marked as an authority's like
    /// those of `openssl req -x509`. Returns the certificate in PEM too.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn self_signed(
        names: &[&str],
        rule: impl Fn(&Arrival) -> Reply + Send + Sync + 'static,
    ) -> (Self, String) {
        let (acceptor, certificate) = sign_itself(names).expect("a certificate can be created");
        (Self::listening(Some(acceptor), rule).await, certificate)
    }

    /// Starts a receiver with TLS, like [`Self::tls`], that accepts only clients with a certificate of its authority.
    /// Returns a function that issues such certificates: certificate and private key in PEM.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn mutual_tls(
        rule: impl Fn(&Arrival) -> Reply + Send + Sync + 'static,
    ) -> (Self, String, impl Fn(&str) -> (String, String)) {
        let (acceptor, authority, issuer) = require_certificates().expect("certificates can be created");
        let issue = move |name: &str| {
            let key = KeyPair::generate().expect("a key can be generated");
            let mut own = CertificateParams::new(Vec::new()).expect("no names are valid");
            own.distinguished_name.push(DnType::CommonName, name);
            own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = own.signed_by(&key, &issuer).expect("a certificate can be issued");
            (certificate.pem(), key.serialize_pem())
        };
        (Self::listening(Some(acceptor), rule).await, authority, issue)
    }

    async fn listening(
        tls: Option<TlsAcceptor>,
        rule: impl Fn(&Arrival) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listening on loopback succeeds");
        let address = listener.local_addr().expect("a listener has an address");
        let (sender, arrivals) = mpsc::unbounded_channel();
        let rule: Arc<Rule> = Arc::new(rule);
        let accepted = Arc::new(AtomicUsize::new(0));
        let connections = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            // Aborting this task drops the set, which closes the connections.
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                accepted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                let (sender, rule) = (sender.clone(), Arc::clone(&rule));
                let service = |certificate: Option<Vec<u8>>| {
                    service_fn(move |request| {
                        respond(request, certificate.clone(), sender.clone(), Arc::clone(&rule))
                    })
                };
                let (http, tls) = (hyper::server::conn::http1::Builder::new(), tls.clone());
                serving.spawn(async move {
                    let Some(tls) = tls else {
                        let _ = http.serve_connection(TokioIo::new(stream), service(None)).await;
                        return;
                    };
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                    let service = service(shown.map(|certificate| certificate.to_vec()));
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
                while serving.try_join_next().is_some() {}
            }
        });
        Self { address, arrivals: Mutex::new(arrivals), connections, task }
    }

    /// The URL of `path`, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits for the next request.
    ///
    /// # Panics
    /// If none arrives within [`crate::TIMEOUT`].
    pub async fn next(&self) -> Arrival {
        let next = std::future::poll_fn(|context| {
            self.arrivals.lock().expect("no test panics with the lock").poll_recv(context)
        });
        let arrival = tokio::time::timeout(crate::TIMEOUT, next).await.expect("a request arrives in time");
        arrival.expect("the receiver runs")
    }

    /// Takes all requests that have arrived so far.
    ///
    /// # Panics
    /// Only if another thread panicked while it held the lock.
    #[must_use]
    pub fn so_far(&self) -> Vec<Arrival> {
        let mut arrivals = self.arrivals.lock().expect("no test panics with the lock");
        std::iter::from_fn(|| arrivals.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Creates a certificate for loopback, and returns the certificate of its authority in PEM too.
fn certify() -> (TlsAcceptor, String) {
    let made = || -> anyhow::Result<_> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = authority.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let certificate = own.signed_by(&key, &Issuer::new(authority, authority_key))?;
        Ok((acceptor(&certificate, &key)?, pem))
    };
    made().expect("a certificate for loopback can be created")
}

/// Creates a self-signed certificate, and returns it in PEM too.
fn sign_itself(names: &[&str]) -> anyhow::Result<(TlsAcceptor, String)> {
    let key = KeyPair::generate()?;
    let mut own = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = own.self_signed(&key)?;
    Ok((acceptor(&certificate, &key)?, certificate.pem()))
}

/// Like [`certify`], for a receiver that requires certificates of its authority, which it returns, too.
fn require_certificates() -> anyhow::Result<(TlsAcceptor, String, Issuer<'static, KeyPair>)> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signed = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let mut roots = RootCertStore::empty();
    roots.add(signed.der().clone())?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )?;
    Ok((TlsAcceptor::from(Arc::new(config)), signed.pem(), issuer))
}

fn acceptor(certificate: &Certificate, key: &KeyPair) -> anyhow::Result<TlsAcceptor> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn respond(
    request: http::Request<Incoming>,
    certificate: Option<Vec<u8>>,
    sender: mpsc::UnboundedSender<Arrival>,
    rule: Arc<Rule>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return never().await };
    let arrival = Arrival {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: head.headers,
        body: body.to_bytes(),
        certificate,
    };
    let reply = rule(&arrival);
    let _ = sender.send(arrival);
    let (status, headers, body) = match reply {
        Reply::Status(status, headers, body) => (status, headers, body),
        Reply::Held(gate) => {
            gate.notified().await;
            (200, Vec::new(), Vec::new())
        }
        Reply::Never => return never().await,
    };
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(body))).expect("a test's reply can be sent"))
}

/// Waits longer than any hook's timeout.
async fn never() -> Result<http::Response<Full<Bytes>>, Infallible> {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(http::Response::default())
}
