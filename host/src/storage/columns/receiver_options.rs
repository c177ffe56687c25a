//! A hook's receiver options from and to the JSON of its columns: what is secret goes into the sealed one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::values::damaged;
use crate::domain::hook_tls::{Certificates, ClientCertificate, HookTls};
use crate::domain::oauth::OAuthClient;
use crate::domain::receiver_options::{Handshake, ReceiverOptions, SignatureHeaders};
use crate::domain::signing_key::SigningKey;
use crate::domain::{Hook, Invalid, SecretText, Signing, UnixMillis};
use crate::storage::StorageError;

/// What is not secret, in the column of options.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_headers: Option<[Cow<'a, str>; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake: Option<HandshakeJson<'a>>,
}

#[derive(Serialize, Deserialize)]
struct HandshakeJson<'a> {
    requested_rate: Option<u32>,
    state: Cow<'a, str>,
    since: i64,
    allowed_rate: Option<u32>,
    origin: Cow<'a, str>,
    reason: Option<Cow<'a, str>>,
}

/// What is secret, in the sealed column.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SealedReceiverJson<'a> {
    /// How requests are signed, if the column `signing` cannot say so to older builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing: Option<Cow<'a, str>>,
    /// Text and end, the current one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_keys: Vec<(String, Option<i64>)>,
    /// Certificates and private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorities: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth: Option<OAuthJson<'a>>,
}

#[derive(Serialize, Deserialize)]
struct OAuthJson<'a> {
    token_url: Cow<'a, str>,
    client_id: Cow<'a, str>,
    client_secret: Cow<'a, str>,
    scopes: Cow<'a, [String]>,
    parameters: Cow<'a, [(String, String)]>,
    authentication: Cow<'a, str>,
}

fn bad(error: Invalid) -> StorageError {
    damaged("hook", error)
}

/// The value of the column `signing`. Older builds know only two.
pub fn signing_column(signing: Signing) -> &'static str {
    match signing {
        Signing::None => Signing::None.as_str(),
        Signing::Standard | Signing::Ed25519 | Signing::Both => Signing::Standard.as_str(),
    }
}

impl<'a> ReceiverJson<'a> {
    /// What is not secret; none if there is nothing.
    pub fn of(receiver: &'a ReceiverOptions) -> Option<Self> {
        let json = Self {
            signature_headers: receiver.signature_headers.as_ref().map(|names| {
                [names.id.as_str().into(), names.timestamp.as_str().into(), names.signature.as_str().into()]
            }),
            handshake: receiver.handshake.as_ref().map(|handshake| HandshakeJson {
                requested_rate: handshake.requested_rate,
                state: handshake.state.as_str().into(),
                since: handshake.since.0,
                allowed_rate: handshake.allowed_rate,
                origin: handshake.origin.as_str().into(),
                reason: handshake.reason.as_deref().map(Cow::from),
            }),
        };
        (json.signature_headers.is_some() || json.handshake.is_some()).then_some(json)
    }

    /// The options without what is secret.
    pub fn into_options(self) -> Result<Box<ReceiverOptions>, StorageError> {
        let names = self.signature_headers.map(|[id, timestamp, signature]| SignatureHeaders {
            id: id.into_owned(),
            timestamp: timestamp.into_owned(),
            signature: signature.into_owned(),
        });
        let handshake = self.handshake.map(handshake).transpose()?;
        Ok(Box::new(ReceiverOptions { signature_headers: names, handshake, ..ReceiverOptions::default() }))
    }
}

impl<'a> SealedReceiverJson<'a> {
    /// What is secret of the hook's options; none if there is nothing.
    pub fn of(hook: &'a Hook) -> Option<Self> {
        let signing = hook.signs_asymmetrically().then(|| hook.signing.as_str().into());
        let tls = hook.tls();
        let keys = hook.signing_keys().iter();
        let json = Self {
            signing,
            signing_keys: keys.map(|key| (key.reveal().to_string(), key.expires_at.map(|at| at.0))).collect(),
            client_certificate: tls
                .and_then(HookTls::client)
                .map(|client| (client.chain.pem().into(), client.key.reveal().into())),
            authorities: tls.and_then(HookTls::authorities).map(|it| it.pem().into()),
            oauth: hook.oauth().map(|oauth| OAuthJson {
                token_url: oauth.token_url.as_str().into(),
                client_id: oauth.client_id.as_str().into(),
                client_secret: oauth.client_secret.reveal().into(),
                scopes: Cow::from(&oauth.scopes),
                parameters: Cow::from(&oauth.parameters),
                authentication: oauth.authentication.as_str().into(),
            }),
        };
        let is_empty = json.signing.is_none()
            && json.signing_keys.is_empty()
            && json.client_certificate.is_none()
            && json.authorities.is_none()
            && json.oauth.is_none();
        (!is_empty).then_some(json)
    }

    /// Adds what is secret to `hook`.
    pub fn add_to(self, hook: &mut Hook) -> Result<(), StorageError> {
        let receiver = hook.options.receiver.get_or_insert_default();
        receiver.signing_keys = self.signing_keys.into_iter().map(signing_key).collect::<Result<_, _>>()?;
        receiver.tls = tls(self.client_certificate, self.authorities.as_deref())?;
        receiver.oauth = self.oauth.map(oauth).transpose()?;
        if let Some(signing) = self.signing {
            hook.signing = signing.parse().map_err(bad)?;
        }
        Ok(())
    }
}

fn signing_key((text, expires_at): (String, Option<i64>)) -> Result<SigningKey, StorageError> {
    let key: SigningKey = text.parse().map_err(bad)?;
    Ok(key.expiring_at(expires_at.map(UnixMillis)))
}

fn tls(
    client: Option<(Cow<'_, str>, Cow<'_, str>)>,
    authorities: Option<&str>,
) -> Result<Option<HookTls>, StorageError> {
    let client = client.map(|(chain, key)| {
        let chain = Certificates::parse(&chain)?;
        Ok(ClientCertificate { chain, key: SecretText::new(key) })
    });
    let client = client.transpose().map_err(bad)?;
    Ok(HookTls::new(client, authorities.map(Certificates::parse).transpose().map_err(bad)?))
}

fn oauth(json: OAuthJson<'_>) -> Result<OAuthClient, StorageError> {
    Ok(OAuthClient {
        token_url: json.token_url.parse().map_err(|error| damaged("hook", error))?,
        client_id: json.client_id.into_owned(),
        client_secret: SecretText::new(json.client_secret),
        scopes: json.scopes.into_owned(),
        parameters: json.parameters.into_owned(),
        authentication: json.authentication.parse().map_err(bad)?,
    })
}

fn handshake(json: HandshakeJson<'_>) -> Result<Handshake, StorageError> {
    Ok(Handshake {
        requested_rate: json.requested_rate,
        state: json.state.parse().map_err(bad)?,
        since: UnixMillis(json.since),
        allowed_rate: json.allowed_rate,
        origin: json.origin.into_owned(),
        reason: json.reason.map(Cow::into_owned),
    })
}
