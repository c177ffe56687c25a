//! Masks secrets in recorded requests, so that a key that can read deliveries cannot read credentials of receivers.

use std::borrow::Cow;

use super::{Hook, SentRequest, ShortText};

/// Replaces a masked value.
pub const MASK: &str = "•••";

/// Minimum length of a hook's header value to be masked in other headers too.
const SHORTEST_SECRET: usize = 8;

/// Whether the name of a header or a parameter implies a secret: `authorization`, `cookie`, `x-api-key`,
/// `private-token` and similar names.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 17] = [
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "cookie2",
        "credential",
        "credentials",
        "jwt",
        "key",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "secret",
        "session",
        "sig",
        "token",
    ];
    const ENDINGS: [&str; 5] = ["apikey", "authtoken", "accesstoken", "secretkey", "accesskey"];
    // It identifies a request and is not a credential.
    if name.eq_ignore_ascii_case("idempotency-key") {
        return false;
    }
    let ends = |ending: &&str| {
        let start = name.len().checked_sub(ending.len());
        start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    name.split(['-', '_', '.']).any(|word| WORDS.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
        || ENDINGS.iter().any(ends)
}

/// Whether a header of a hook only describes the request.
fn is_plain(name: &str) -> bool {
    const PLAIN: [&str; 6] =
        ["accept", "accept-encoding", "accept-language", "content-encoding", "content-type", "user-agent"];
    PLAIN.iter().any(|plain| name.eq_ignore_ascii_case(plain))
}

impl SentRequest {
    /// Masks the values of headers whose name implies a secret, or that `hook` or the operator (`also`,
    /// case-insensitive) names, or that contain the value of one of the hook's own headers. Masks parameters of the
    /// URL whose name implies a secret.
    pub fn mask(&mut self, hook: &Hook, also: &[ShortText]) {
        let is_named = |names: &[ShortText], name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        let is_of_hook = |name: &str, value: &str| {
            hook.headers.iter().filter(|(own, own_value)| !is_plain(own) && !own_value.is_empty()).any(
                |(own, own_value)| {
                    own.eq_ignore_ascii_case(name)
                        || (own_value.len() >= SHORTEST_SECRET && value.contains(own_value.as_str()))
                },
            )
        };
        for (name, value) in &mut self.headers {
            let secret = is_secret_name(name)
                || is_named(&hook.masked_headers, name)
                || is_named(also, name)
                || is_of_hook(name, value);
            if secret {
                *value = MASK.into();
            }
        }
        if let Cow::Owned(masked) = masked_url(&self.url) {
            self.url = masked;
        }
    }
}

/// Masks the parameters of `url` whose name implies a secret.
#[must_use]
pub fn masked_url(url: &str) -> Cow<'_, str> {
    let is_secret = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| is_secret_name(name));
    let Some((address, query)) = url.split_once('?').filter(|(_, query)| query.split('&').any(is_secret))
    else {
        return Cow::Borrowed(url);
    };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret_name(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    });
    Cow::Owned(format!("{address}?{}", masked.collect::<Vec<_>>().join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_imply_a_secret_are_recognised() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "x-apikey",
            "api_key",
            "PRIVATE-TOKEN",
            "x-amz-security-token",
            "X-Auth",
            "x-functions-key",
            "password",
            "sig",
            "accessToken",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "content-type",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "idempotency-key",
            "hookwright-event-type",
            "x-request-id",
            "keyboard",
            "x-tokenizer",
            "date",
            "authority",
            "monkey",
            "",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn parameters_of_a_url_are_masked_by_name() {
        for (url, masked) in [
            ("https://a.example/token=x", "https://a.example/token=x"),
            ("https://a.example/?a=1&b", "https://a.example/?a=1&b"),
            (
                "https://a.example/?a=1&token=x&api_key=y&token",
                "https://a.example/?a=1&token=•••&api_key=•••&token",
            ),
        ] {
            assert_eq!(masked_url(url), masked);
        }
    }
}
