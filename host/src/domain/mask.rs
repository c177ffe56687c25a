//! Which values records leave out: a key that may read deliveries must not learn from them what opens doors elsewhere.

use std::borrow::Cow;

use super::{Hook, SentRequest, ShortText};

/// Stands in a record for a value that is left out.
pub const MASK: &str = "•••";

/// Values of a hook's headers that are shorter than this are looked for under their own names alone.
const SHORTEST_SECRET: usize = 8;

/// Whether a header or a parameter of this name carries a secret by convention: `authorization`, `cookie`, `x-api-key`,
/// `private-token` and such.
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
    // Tells requests apart; it opens nothing.
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

/// Headers of a hook that say nothing but what the request is.
fn is_plain(name: &str) -> bool {
    const PLAIN: [&str; 6] =
        ["accept", "accept-encoding", "accept-language", "content-encoding", "content-type", "user-agent"];
    PLAIN.iter().any(|plain| name.eq_ignore_ascii_case(plain))
}

impl SentRequest {
    /// Leaves out the values of headers that carry secrets: by their name, or since `hook` or the operator (`also`, in any
    /// case) names them, or since they are the hook's own headers, wherever a plugin put their values. So with the values
    /// of the URL's parameters that have such names.
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

/// `url` without the values of parameters that have a secret's name.
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
    fn names_of_secrets_are_known() {
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
