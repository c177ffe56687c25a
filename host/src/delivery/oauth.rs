//! Access tokens of hooks: OAuth 2.0 client credentials (RFC 6749, section 4.4).
//!
//! A token is requested through the egress policy like any other request, and kept in memory until shortly before it expires.
//! While one attempt requests the token of a hook, the others wait for it. A failure is kept for a few seconds, so that they do
//! not all repeat it. Plugins run before a token is added, and nothing records it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::client::{DeliveryClient, OwnFailure, Sender};
use super::header_values::USER_AGENT;
use super::kept::Kept;
use crate::clock;
use crate::domain::attempt::UnreachableKind;
use crate::domain::oauth::{OAuthAuthentication, OAuthClient};
use crate::domain::{HookId, Outcome, Response, TenantId};

/// How long a token is kept if the server does not say how long it is valid.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// The longest time that a token is kept.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// A token is requested anew this long before it expires, or after half of a shorter life.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a failure is kept.
const FAILURE_LIFE: Duration = Duration::from_secs(5);
/// The most bytes of a token.
const MAX_TOKEN_LEN: usize = 8 * 1024;
/// The most hooks whose tokens are kept.
const MAX_HOOKS: usize = 10_000;

/// The tokens of all hooks. Workers share one.
pub struct Tokens {
    hooks: Mutex<Kept<HookId, Arc<HookToken>>>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { hooks: Mutex::new(Kept::at_most(MAX_HOOKS)) }
    }
}

/// The token of a hook with these settings.
struct HookToken {
    fingerprint: [u8; 32],
    state: AsyncMutex<Option<Requested>>,
}

/// The last result of a request for a token.
struct Requested {
    result: Result<Token, String>,
    until: Instant,
}

/// An access token, as the value of an `Authorization` header.
#[derive(Clone)]
pub struct Token {
    value: HeaderValue,
    /// Whether this very attempt requested it.
    is_new: bool,
}

impl Token {
    /// The header's value. It is marked as sensitive.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.value
    }

    /// Whether the server issued it for this attempt, so that a further one would not be accepted either.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

/// Whose token is requested, and how long that may take.
#[derive(Clone, Copy)]
pub struct TokenRequest<'a> {
    /// The tenant of the hook.
    pub tenant: TenantId,
    /// The hook.
    pub hook: HookId,
    /// The hook's settings.
    pub client: &'a OAuthClient,
    /// The timeout of a request for a token, and of waiting for another attempt's.
    pub timeout: Duration,
}

impl Tokens {
    /// The hook's token; or, as the inner error, the outcome of an attempt without one. A token that is `refused`, because
    /// the receiver did not accept it, is not returned again.
    ///
    /// # Errors
    /// Fails if the engine itself failed.
    pub async fn get(
        &self,
        http: &DeliveryClient,
        request: TokenRequest<'_>,
        refused: Option<&Token>,
    ) -> Result<Result<Token, Outcome>, OwnFailure> {
        let entry = self.entry((request.tenant, request.hook), request.client.fingerprint());
        let began = clock::monotonic();
        let Ok(mut state) = tokio::time::timeout(request.timeout, entry.state.lock()).await else {
            return Ok(Err(Outcome::TimedOut { after: request.timeout }));
        };
        if let Some(known) = state.as_ref().filter(|known| clock::monotonic() < known.until) {
            match &known.result {
                Ok(token) if refused.is_none_or(|refused| refused.value != token.value) => {
                    return Ok(Ok(Token { is_new: false, ..token.clone() }));
                }
                Ok(_) => {}
                Err(message) => return Ok(Err(failed(message.clone()))),
            }
        }
        let timeout = request.timeout.saturating_sub(clock::elapsed(began));
        let (result, life) = match fetch(http, TokenRequest { timeout, ..request }).await? {
            Ok((token, life)) => (Ok(token), life),
            Err(message) => (Err(message), FAILURE_LIFE),
        };
        *state = Some(Requested { result: result.clone(), until: clock::monotonic() + life });
        Ok(result.map_err(failed))
    }

    /// The entry of a hook with these settings. It replaces that of other settings.
    fn entry(&self, (tenant, hook): (TenantId, HookId), fingerprint: [u8; 32]) -> Arc<HookToken> {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = hooks.get(&hook).filter(|entry| entry.fingerprint == fingerprint) {
            return Arc::clone(entry);
        }
        let entry = Arc::new(HookToken { fingerprint, state: AsyncMutex::default() });
        hooks.insert(tenant, hook, Arc::clone(&entry));
        entry
    }
}

fn failed(message: String) -> Outcome {
    Outcome::Unreachable { kind: UnreachableKind::Token, message }
}

/// Requests a token. The inner error says what failed, without secrets.
async fn fetch(
    http: &DeliveryClient,
    request: TokenRequest<'_>,
) -> Result<Result<(Token, Duration), String>, OwnFailure> {
    let TokenRequest { tenant, client, timeout, .. } = request;
    let built = match build(client) {
        Ok(built) => built,
        Err(message) => return Ok(Err(message)),
    };
    let again = || build(client).ok();
    // A token that was issued and not received does no harm.
    let sender = Sender { is_repeatable: true, ..tenant.into() };
    let at = client.token_url.host_str().unwrap_or_default();
    Ok(match http.send(sender, built, &again, timeout).await? {
        Outcome::Response(response) => {
            read(&response).map_err(|what| format!("no access token: the token endpoint at {at} {what}"))
        }
        Outcome::TimedOut { .. } => {
            Err(format!("no access token: the token endpoint at {at} did not answer in time"))
        }
        Outcome::Unreachable { message, .. } => Err(format!("no access token: {message}")),
        Outcome::Faulted { .. } | Outcome::Dropped { .. } => Err("no access token".to_owned()),
    })
}

fn build(client: &OAuthClient) -> Result<http::Request<Full<Bytes>>, String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !client.scopes.is_empty() {
        form.append_pair("scope", &client.scopes.join(" "));
    }
    form.extend_pairs(&client.parameters);
    let mut request = http::Request::post(client.token_url.as_str())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, USER_AGENT);
    match client.authentication {
        OAuthAuthentication::Basic => request = request.header(header::AUTHORIZATION, basic(client)?),
        OAuthAuthentication::Post => {
            form.append_pair("client_id", &client.client_id);
            form.append_pair("client_secret", client.client_secret.reveal());
        }
    }
    request.body(Full::from(form.finish())).map_err(|error| format!("no access token: {error}"))
}

/// The id and the secret are encoded like a form before they are joined (RFC 6749, section 2.3.1).
fn basic(client: &OAuthClient) -> Result<HeaderValue, String> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let secret = Zeroizing::new(encoded(client.client_secret.reveal()));
    let plain = Zeroizing::new(format!("{}:{}", encoded(&client.client_id), *secret));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(plain.as_bytes())));
    let mut value = HeaderValue::from_str(&value).map_err(|error| format!("no access token: {error}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A successful response (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    token_type: String,
    expires_in: Option<serde_json::Value>,
}

/// An error response (section 5.2). Its description is not shown, because a server may repeat secrets in it.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

fn read(response: &Response) -> Result<(Token, Duration), String> {
    if response.status != 200 {
        let refused = serde_json::from_slice::<Refused>(&response.body).ok().map(|refused| refused.error);
        let is_code = |code: &String| {
            (1..=64).contains(&code.len())
                && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let code = refused.filter(is_code).map(|code| format!(" (`{code}`)")).unwrap_or_default();
        return Err(format!("answered {}{code}", response.status));
    }
    if let Some(failure) = &response.body_failure {
        return Err(format!("sent an incomplete response: {}", failure.message));
    }
    if response.body_truncated {
        return Err(format!("sent more than {} bytes", Response::MAX_RECORDED_BODY));
    }
    let unusable = || "sent no usable token response (RFC 6749, section 5.1)".to_owned();
    let issued: Issued = serde_json::from_slice(&response.body).map_err(|_| unusable())?;
    let access_token = Zeroizing::new(issued.access_token);
    if !issued.token_type.eq_ignore_ascii_case("bearer") {
        return Err("sent a token that is not of the type `Bearer`".to_owned());
    }
    if access_token.is_empty() || access_token.len() > MAX_TOKEN_LEN {
        return Err(format!("sent a token that does not have 1 to {MAX_TOKEN_LEN} bytes"));
    }
    let text = Zeroizing::new(format!("Bearer {}", *access_token));
    let mut value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok((Token { value, is_new: true }, life(issued.expires_in.as_ref())))
}

/// How long a token is kept that expires in so many seconds. Some servers write the number as text.
fn life(expires_in: Option<&serde_json::Value>) -> Duration {
    let seconds = expires_in.and_then(|value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        // Some write a fraction.
        other => other.as_f64(),
    });
    let valid = seconds.map_or(DEFAULT_LIFE, |seconds: f64| {
        Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_LIFE.as_secs_f64()))
    });
    valid.saturating_sub(MARGIN).max(valid / 2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::SecretText;

    fn client(authentication: OAuthAuthentication) -> OAuthClient {
        OAuthClient {
            token_url: "https://auth.example/token?x=1".parse().unwrap(),
            client_id: "a client".to_owned(),
            client_secret: SecretText::new("p:w"),
            scopes: vec!["read".to_owned(), "write".to_owned()],
            parameters: vec![("audience".to_owned(), "https://a.example".to_owned())],
            authentication,
        }
    }

    #[test]
    fn a_client_authenticates_in_the_header_or_in_the_body() {
        let built = build(&client(OAuthAuthentication::Basic)).unwrap();
        let expected = format!("Basic {}", STANDARD.encode("a+client:p%3Aw"));
        assert_eq!(built.headers()["authorization"], expected.as_str());
        assert!(!format!("{built:?}").contains(&expected));
        assert!(!build(&client(OAuthAuthentication::Post)).unwrap().headers().contains_key("authorization"));
    }

    fn response(status: u16, body: &str) -> Response {
        let body = body.as_bytes().to_vec();
        Response { status, headers: Vec::new(), body, body_truncated: false, body_failure: None }
    }

    #[test]
    fn what_is_no_token_is_described_without_secrets() {
        for (status, body, what) in [
            (
                401,
                r#"{"error": "invalid_client", "error_description": "secret"}"#,
                "answered 401 (`invalid_client`)",
            ),
            (400, r#"{"error": "Secret!"}"#, "answered 400"),
            (500, "secret", "answered 500"),
            (201, "{}", "answered 201"),
            (200, "secret", "sent no usable token response (RFC 6749, section 5.1)"),
            (200, r#"{"access_token": "secret"}"#, "sent no usable token response (RFC 6749, section 5.1)"),
            (
                200,
                r#"{"access_token": "a\nb", "token_type": "bearer"}"#,
                "sent no usable token response (RFC 6749, section 5.1)",
            ),
            (
                200,
                r#"{"access_token": "secret", "token_type": "mac"}"#,
                "sent a token that is not of the type `Bearer`",
            ),
            (
                200,
                r#"{"access_token": "", "token_type": "bearer"}"#,
                "sent a token that does not have 1 to 8192 bytes",
            ),
        ] {
            assert_eq!(read(&response(status, body)).map(drop).unwrap_err(), what, "{body}");
        }
        let (token, life) =
            read(&response(200, r#"{"access_token": "t", "token_type": "Bearer", "expires_in": 60}"#))
                .unwrap();
        assert_eq!((token.header().to_str().unwrap(), life), ("Bearer t", Duration::from_secs(30)));
        assert!(token.header().is_sensitive());
    }

    #[test]
    fn a_token_is_kept_until_shortly_before_it_expires() {
        for (expires_in, seconds) in [
            (json!(3600), 3570.0),
            (json!("3600"), 3570.0),
            (json!(40), 20.0),
            (json!(1), 0.5),
            (json!(0), 0.0),
            (json!(-5), 0.0),
            (json!(1e300), 86_370.0),
            (json!(null), 270.0),
            (json!("soon"), 270.0),
        ] {
            assert_eq!(life(Some(&expires_in)).as_secs_f64(), seconds, "{expires_in}");
        }
    }
}
