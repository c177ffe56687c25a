//! Receiver options for tests, with a certificate that was made for them.

use crate::domain::hook_tls::{Certificates, ClientCertificate, HookTls};
use crate::domain::oauth::{OAuthAuthentication, OAuthClient};
use crate::domain::receiver_options::{Handshake, HandshakeState, ReceiverOptions, SignatureHeaders};
use crate::domain::signing_key::SigningKey;
use crate::domain::{SecretText, UnixMillis};

/// A self-signed certificate of `CN=hooks.example, O=Example`.
pub(crate) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBrDCCAVGgAwIBAgIUDw9R8LLb+a+itWcBEsGU+XdfZsowCgYIKoZIzj0EAwIw\n\
KjEQMA4GA1UECgwHRXhhbXBsZTEWMBQGA1UEAwwNaG9va3MuZXhhbXBsZTAgFw0y\n\
NjExMjkyMTQyMjBaGA8yMTI2MTEwNTIxNDIyMFowKjEQMA4GA1UECgwHRXhhbXBs\n\
ZTEWMBQGA1UEAwwNaG9va3MuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n\
A0IABMoVqRdGSqQxpXeEz0MOZybVHuRsokkpJ1hyvGic2R1rFqsE4KxC+HBCuFdv\n\
43nZOg2lzOAPu3nnsN+pc0wF7jWjUzBRMB0GA1UdDgQWBBQT6yZS9dITwXuqjh7j\n\
rE9VcQqXfzAfBgNVHSMEGDAWgBQT6yZS9dITwXuqjh7jrE9VcQqXfzAPBgNVHRMB\n\
Af8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDi013UFCpqakHoYQtOF1qbwFHv\n\
xt5lsuAXgUT2OQbYZwIhAN7y/OLqQrDvhTLq3Wd/qzr622dZdKBr5ZfzcbMDZANG\n\
-----END CERTIFICATE-----\n";
/// Receiver options without a default.
pub(crate) fn receiver_options() -> ReceiverOptions {
    let key =
        |seed, end: Option<i64>| SigningKey::from_seed([seed; 32]).unwrap().expiring_at(end.map(UnixMillis));
    let certificates = Certificates::parse(CERTIFICATE).unwrap();
    let client = ClientCertificate { chain: certificates.clone(), key: SecretText::new("a private key") };
    ReceiverOptions {
        signing_keys: vec![key(1, None), key(2, Some(5))],
        signature_headers: Some(SignatureHeaders {
            id: "svix-id".to_owned(),
            timestamp: "svix-timestamp".to_owned(),
            signature: "svix-signature".to_owned(),
        }),
        tls: HookTls::new(Some(client), Some(certificates)),
        oauth: Some(OAuthClient {
            token_url: "https://auth.example/token?a=\u{fc}".parse().unwrap(),
            client_id: "shop".to_owned(),
            client_secret: SecretText::new("\"\u{fc}"),
            scopes: vec!["read".to_owned()],
            parameters: vec![("audience".to_owned(), "https://a.example".to_owned())],
            authentication: OAuthAuthentication::Post,
        }),
        handshake: Some(Handshake {
            requested_rate: Some(120),
            state: HandshakeState::Refused,
            since: UnixMillis(7),
            allowed_rate: Some(60),
            origin: "shop.example".to_owned(),
            reason: Some("no".to_owned()),
        }),
    }
}
