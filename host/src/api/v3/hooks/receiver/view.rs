//! The views of the members about the receiver. They contain no secrets.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::json::Members;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::domain::hook_tls::ClientCertificate;
use crate::domain::oauth::OAuthClient;
use crate::domain::receiver_options::{Handshake, SignatureHeaders};

/// The names of the signature's headers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignatureHeaders)]
pub(in crate::api::v3::hooks) struct SignatureHeadersView {
    id: String,
    timestamp: String,
    signature: String,
}

impl From<&SignatureHeaders> for SignatureHeadersView {
    fn from(names: &SignatureHeaders) -> Self {
        let SignatureHeaders { id, timestamp, signature } = names.clone();
        Self { id, timestamp, signature }
    }
}

/// A certificate that the engine shows to the receiver, without its private key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientCertificate)]
pub(in crate::api::v3::hooks) struct ClientCertificateView {
    /// The certificate and those of its authorities, in PEM.
    certificate: String,
    /// Its subject.
    #[schema(example = "CN=hooks.shop.example")]
    subject: String,
    /// The end of its validity.
    expires_at: Time,
    /// SHA-256 of the certificate, in hexadecimal.
    fingerprint: String,
}

impl From<&ClientCertificate> for ClientCertificateView {
    fn from(client: &ClientCertificate) -> Self {
        Self {
            certificate: client.chain.pem().to_owned(),
            subject: client.chain.subject.clone(),
            expires_at: Time(client.chain.expires_at),
            fingerprint: client.chain.fingerprint.clone(),
        }
    }
}

/// How the hook gets access tokens, without the client's secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OAuth)]
pub(in crate::api::v3::hooks) struct OAuthView {
    token_url: String,
    client_id: String,
    scopes: Vec<String>,
    #[schema(value_type = schemas::OAuthParameters)]
    parameters: Members<String>,
    #[schema(value_type = schemas::OAuthAuthentication)]
    authentication: &'static str,
}

impl From<&OAuthClient> for OAuthView {
    fn from(oauth: &OAuthClient) -> Self {
        Self {
            token_url: oauth.token_url.to_string(),
            client_id: oauth.client_id.clone(),
            scopes: oauth.scopes.clone(),
            parameters: Members(oauth.parameters.clone()),
            authentication: oauth.authentication.as_str(),
        }
    }
}

/// What has come of the handshake.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HandshakeResult)]
pub(in crate::api::v3::hooks) struct HandshakeResultView {
    /// `pending`: the receiver has not been asked, or has not answered yet. `allowed`: deliveries are attempted.
    /// `refused`: the receiver does not allow them, or could not be asked; `reason` says which.
    #[schema(value_type = schemas::HandshakeState)]
    state: &'static str,
    since: Time,
    /// The rate that the receiver allows, in requests per minute; null if it allows any rate or nothing.
    allowed_rate: Option<u32>,
    /// The origin that the receiver was asked to allow; null if it was not asked yet.
    origin: Option<String>,
    /// Why deliveries are not allowed, for people.
    reason: Option<String>,
}

impl From<&Handshake> for HandshakeResultView {
    fn from(handshake: &Handshake) -> Self {
        let origin = Some(handshake.origin.clone()).filter(|origin| !origin.is_empty());
        Self {
            state: handshake.state.as_str(),
            since: Time(handshake.since),
            allowed_rate: handshake.allowed_rate,
            origin,
            reason: handshake.reason.clone(),
        }
    }
}
