//! The members about the receiver, as they are sent.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::json::Members;
use crate::api::v3::openapi::schemas;

/// The names of the signature's headers, for receivers that know other names: different ones, which neither frame
/// the request nor have another meaning.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3::hooks) struct SignatureHeadersInput {
    /// The header with the event's id.
    #[schema(value_type = schemas::SignatureHeaderName, example = "svix-id")]
    pub(super) id: String,
    /// The header with the attempt's time.
    #[schema(value_type = schemas::SignatureHeaderName, example = "svix-timestamp")]
    pub(super) timestamp: String,
    /// The header with the signatures.
    #[schema(value_type = schemas::SignatureHeaderName, example = "svix-signature")]
    pub(super) signature: String,
}

/// A certificate that the engine shows to the receiver (mTLS). The URL must be `https`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3::hooks) struct ClientCertificateInput {
    /// The certificate in PEM, then those of the authorities that issued it, at most 32 KiB.
    #[schema(value_type = schemas::Certificates)]
    pub(super) certificate: String,
    /// Its private key in PEM, unencrypted, at most 16 KiB. It is never shown. Default: the stored key, if the
    /// certificate does not change.
    #[schema(value_type = Option<schemas::PrivateKey>, write_only)]
    pub(super) private_key: Option<String>,
    /// Accepted and ignored.
    #[schema(read_only)]
    #[serde(rename = "subject")]
    _subject: Option<String>,
    /// Accepted and ignored.
    #[schema(read_only)]
    #[serde(rename = "expires_at")]
    _expires_at: Option<String>,
    /// Accepted and ignored.
    #[schema(read_only)]
    #[serde(rename = "fingerprint")]
    _fingerprint: Option<String>,
}

/// How the hook gets access tokens: OAuth 2.0 client credentials (RFC 6749, section 4.4).
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3::hooks) struct OAuthInput {
    /// The URL at which tokens are requested.
    #[schema(value_type = schemas::HookUrl)]
    pub(super) token_url: String,
    /// The client's id.
    #[schema(value_type = schemas::OAuthText)]
    pub(super) client_id: String,
    /// The client's secret. It is never shown. Default: the stored secret, if `token_url` and `client_id` do not
    /// change.
    #[schema(value_type = Option<schemas::OAuthText>, write_only)]
    pub(super) client_secret: Option<String>,
    /// The scopes that are requested, at most 50. Default: none.
    #[schema(value_type = Option<Vec<schemas::OAuthScope>>, max_items = 50, example = json!(["events:write"]))]
    pub(super) scopes: Option<Vec<String>>,
    /// Further parameters of the request, such as `audience`, at most 10. Default: none.
    #[schema(value_type = Option<schemas::OAuthParameters>)]
    pub(super) parameters: Option<Members<String>>,
    /// Where the request has id and secret: `basic` (in the `Authorization` header) or `post` (in the body).
    /// Default: `basic`.
    #[schema(value_type = Option<schemas::OAuthAuthentication>)]
    pub(super) authentication: Option<String>,
}

/// What has come of the handshake. Accepted and ignored.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3::hooks) struct HandshakeResultInput {
    #[schema(read_only)]
    #[serde(rename = "state")]
    _state: Option<String>,
    #[schema(read_only)]
    #[serde(rename = "since")]
    _since: Option<String>,
    #[schema(read_only)]
    #[serde(rename = "allowed_rate")]
    _allowed_rate: Option<u32>,
    #[schema(read_only)]
    #[serde(rename = "origin")]
    _origin: Option<String>,
    #[schema(read_only)]
    #[serde(rename = "reason")]
    _reason: Option<String>,
}
