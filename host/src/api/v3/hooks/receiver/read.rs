//! Validates the members about the receiver.
//!
//! Secrets are write-only, and a hook can be sent back as it was read: an absent secret stays, if what it belongs to does.

use super::input::{ClientCertificateInput, OAuthInput, SignatureHeadersInput};
use crate::api::json::{Members, Object};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::delivery::tls;
use crate::domain::hook_tls::{Certificates, ClientCertificate, HookTls};
use crate::domain::oauth::{OAuthAuthentication, OAuthClient};
use crate::domain::receiver_options::{Handshake, ReceiverOptions, SignatureHeaders};
use crate::domain::signing_key::SigningKey;
use crate::domain::{Hook, Invalid, SecretText, Signing, UnixMillis};
use crate::services::new_signing_key;

/// The only kind of handshake.
pub(in crate::api::v3::hooks) const CLOUDEVENTS: &str = "cloudevents";

/// The members about the receiver, as they were sent.
#[derive(Debug, Clone)]
pub(in crate::api::v3::hooks) struct ReceiverInput {
    pub signature_headers: Option<Object<SignatureHeadersInput>>,
    pub client_certificate: Option<Object<ClientCertificateInput>>,
    pub ca_certificates: Option<String>,
    pub oauth2: Option<Object<OAuthInput>>,
    pub handshake: Option<String>,
    pub handshake_rate: Option<u32>,
}

impl ReceiverInput {
    /// Validates all members and adds them to `hook`, which has its other members and replaces `current`. A hook that signs
    /// with a key pair and has none gets one.
    ///
    /// # Errors
    /// Fails with the first member that breaks a rule.
    pub fn add_to(self, hook: &mut Hook, current: Option<&Hook>, now: UnixMillis) -> Result<(), Problem> {
        let handshake = self.read_handshake(hook, current, now)?;
        let options = ReceiverOptions {
            signing_keys: signing_keys(hook, current)?,
            signature_headers: self
                .signature_headers
                .map(|Object(names)| read_names(&names, hook))
                .transpose()?,
            tls: read_tls(self.client_certificate, self.ca_certificates, hook, current)?,
            oauth: self.oauth2.map(|Object(oauth)| read_oauth(oauth, hook, current)).transpose()?,
            handshake,
        };
        hook.options.receiver = (options != ReceiverOptions::default()).then(|| Box::new(options));
        Ok(())
    }

    /// A handshake is made anew if the hook is created or enabled, or if its URL, its certificates or what is asked for
    /// changes.
    fn read_handshake(
        &self,
        hook: &Hook,
        current: Option<&Hook>,
        now: UnixMillis,
    ) -> Result<Option<Handshake>, Problem> {
        let rate = self.handshake_rate;
        if rate.is_some_and(|rate| !(1..=Handshake::MAX_RATE).contains(&rate)) {
            let rule = format!("a rate is from 1 to {} requests per minute", Handshake::MAX_RATE);
            return Err(Problem::at(Kind::InvalidValue, Pointer::to("handshake_rate"), rule));
        }
        match self.handshake.as_deref() {
            None | Some("none") if rate.is_some() => {
                let rule = "`handshake_rate` needs the member `handshake`";
                Err(Problem::at(Kind::InvalidValue, Pointer::to("handshake_rate"), rule))
            }
            None | Some("none") => Ok(None),
            Some(CLOUDEVENTS) => {
                let same = |current: &&Hook| current.url == hook.url && (current.enabled || !hook.enabled);
                let earlier = current.filter(same).and_then(Hook::handshake);
                let earlier = earlier.filter(|earlier| earlier.requested_rate == rate).cloned();
                Ok(Some(earlier.unwrap_or_else(|| Handshake::pending(rate, now))))
            }
            Some(_) => {
                let rule = Invalid::new("expected one of cloudevents, none");
                Err(Problem::invalid(Pointer::to("handshake"), rule))
            }
        }
    }
}

/// The key pairs that the hook has, or a new one if it needs one.
fn signing_keys(hook: &Hook, current: Option<&Hook>) -> Result<Vec<SigningKey>, Problem> {
    let kept = current.map_or(&[][..], Hook::signing_keys).to_vec();
    if !hook.signs_asymmetrically() || !kept.is_empty() {
        return Ok(kept);
    }
    let made = new_signing_key().map_err(|error| Problem::internal("making a key pair", &error))?;
    Ok(vec![made])
}

fn read_names(names: &SignatureHeadersInput, hook: &Hook) -> Result<SignatureHeaders, Problem> {
    let here = |member| Pointer::to("signature_headers").member(member);
    let mut read = Vec::with_capacity(3);
    for (member, name) in
        [("id", &names.id), ("timestamp", &names.timestamp), ("signature", &names.signature)]
    {
        let name = SignatureHeaders::check_name(name).map_err(|rule| Problem::invalid(here(member), rule))?;
        if read.contains(&name) {
            let rule = format!("the header `{name}` is named twice");
            return Err(Problem::at(Kind::InvalidValue, here(member), rule));
        }
        if hook.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name)) {
            let rule = format!("`{name}` is also one of the hook's `headers`");
            return Err(Problem::at(Kind::InvalidValue, here(member), rule));
        }
        read.push(name);
    }
    let [id, timestamp, signature] = <[String; 3]>::try_from(read).unwrap_or_default();
    Ok(SignatureHeaders { id, timestamp, signature })
}

fn read_tls(
    client: Option<Object<ClientCertificateInput>>,
    authorities: Option<String>,
    hook: &Hook,
    current: Option<&Hook>,
) -> Result<Option<HookTls>, Problem> {
    for (member, given) in
        [("client_certificate", client.is_some()), ("ca_certificates", authorities.is_some())]
    {
        if given && hook.url.scheme() != "https" {
            let rule = format!("`{member}` needs a URL that begins with https://");
            return Err(Problem::at(Kind::InvalidValue, Pointer::to(member), rule));
        }
    }
    let client = client.map(|Object(client)| read_client(client, current)).transpose()?;
    let at = |rule| Problem::invalid(Pointer::to("ca_certificates"), rule);
    let authorities = authorities.as_deref().map(Certificates::parse).transpose().map_err(at)?;
    // Each by itself, so that the error has its place.
    for (member, part) in [
        ("client_certificate", HookTls::new(client.clone(), None)),
        ("ca_certificates", HookTls::new(None, authorities.clone())),
    ] {
        let unusable = |error: rustls::Error| {
            Problem::at(Kind::InvalidValue, Pointer::to(member), format!("not usable: {error}"))
        };
        part.as_ref().map(tls::check).transpose().map_err(unusable)?;
    }
    Ok(HookTls::new(client, authorities))
}

fn read_client(client: ClientCertificateInput, current: Option<&Hook>) -> Result<ClientCertificate, Problem> {
    let here = |member| Pointer::to("client_certificate").member(member);
    let chain = Certificates::parse(&client.certificate)
        .map_err(|rule| Problem::invalid(here("certificate"), rule))?;
    let stored = current.and_then(Hook::tls).and_then(HookTls::client);
    let key = match (client.private_key, stored) {
        (Some(key), _) if key.len() > ClientCertificate::MAX_KEY_LEN => {
            let rule = Invalid::new("a private key has at most 16 KiB in PEM");
            return Err(Problem::invalid(here("private_key"), rule));
        }
        (Some(key), _) => SecretText::new(key),
        (None, Some(stored)) if stored.chain.fingerprint == chain.fingerprint => stored.key.clone(),
        (None, _) => {
            let rule = "missing member `private_key`, which a new certificate requires";
            return Err(Problem::at(Kind::MissingMember, here("private_key"), rule));
        }
    };
    Ok(ClientCertificate { chain, key })
}

fn read_oauth(oauth: OAuthInput, hook: &Hook, current: Option<&Hook>) -> Result<OAuthClient, Problem> {
    let here = |member: &str| Pointer::to("oauth2").member(member);
    let at = |member: &'static str| move |rule: Invalid| Problem::invalid(here(member), rule);
    if hook.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
        let rule = "the hook's `headers` have `authorization`, which the access token would replace";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("oauth2"), rule));
    }
    let token_url = OAuthClient::parse_url(&oauth.token_url).map_err(at("token_url"))?;
    OAuthClient::check_text(&oauth.client_id).map_err(at("client_id"))?;
    // Otherwise the stored secret could be sent to another server, or the tokens that it gets.
    let stored = current.filter(|current| current.url.origin() == hook.url.origin()).and_then(Hook::oauth);
    let is_same = |it: &&OAuthClient| it.token_url == token_url && it.client_id == oauth.client_id;
    let client_secret = match (oauth.client_secret, stored.filter(is_same)) {
        (Some(secret), _) => {
            OAuthClient::check_text(&secret).map_err(at("client_secret"))?;
            SecretText::new(secret)
        }
        (None, Some(stored)) => stored.client_secret.clone(),
        (None, None) => {
            let rule = "missing member `client_secret`, which a new client, token URL or receiver requires";
            return Err(Problem::at(Kind::MissingMember, here("client_secret"), rule));
        }
    };
    let authentication = oauth.authentication.map_or(Ok(OAuthAuthentication::Basic), |text| text.parse());
    Ok(OAuthClient {
        token_url,
        client_id: oauth.client_id,
        client_secret,
        scopes: read_scopes(oauth.scopes.unwrap_or_default())?,
        parameters: read_parameters(oauth.parameters.map(|Members(all)| all).unwrap_or_default())?,
        authentication: authentication.map_err(at("authentication"))?,
    })
}

fn read_scopes(scopes: Vec<String>) -> Result<Vec<String>, Problem> {
    let here = || Pointer::to("oauth2").member("scopes");
    if scopes.len() > OAuthClient::MAX_SCOPES {
        let rule = format!("at most {} scopes", OAuthClient::MAX_SCOPES);
        return Err(Problem::at(Kind::InvalidValue, here(), rule));
    }
    for (index, scope) in scopes.iter().enumerate() {
        OAuthClient::check_scope(scope).map_err(|rule| Problem::invalid(here().index(index), rule))?;
    }
    Ok(scopes)
}

fn read_parameters(parameters: Vec<(String, String)>) -> Result<Vec<(String, String)>, Problem> {
    let here = || Pointer::to("oauth2").member("parameters");
    if parameters.len() > OAuthClient::MAX_PARAMETERS {
        let rule = format!("at most {} parameters", OAuthClient::MAX_PARAMETERS);
        return Err(Problem::at(Kind::InvalidValue, here(), rule));
    }
    for (name, value) in &parameters {
        let checked = OAuthClient::check_parameter(name).and_then(|()| OAuthClient::check_text(value));
        checked.map_err(|rule| Problem::invalid(here().member(name), rule))?;
    }
    Ok(parameters)
}

/// Whether the hook may have its key pair rotated.
///
/// # Errors
/// Fails if it does not sign with one.
pub(in crate::api::v3::hooks) fn check_signs_asymmetrically(hook: &Hook) -> Result<(), Problem> {
    match hook.signing {
        Signing::Ed25519 | Signing::Both => Ok(()),
        Signing::Standard | Signing::None => Err(Problem::new(
            Kind::Conflict,
            "the hook does not sign with a key pair; set `signing` to `ed25519` or `both` first",
        )),
    }
}
