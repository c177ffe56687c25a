//! The page of the console, with a strict content security policy (CSP level 3).

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};

use super::files;
use super::first_view::FirstView;
use crate::api::problem::{Kind, Problem};
use crate::random;

/// What the page has in the place of the nonce.
const NONCE: &str = "{{nonce}}";
/// What it has in the place of the name of a [`FirstView`].
const FIRST: &str = "{{first}}";
/// On what the page depends besides its file.
const VARY: &str = "accept, cookie";

/// The page, and who may show it.
pub(super) struct Page {
    frame_ancestors: String,
}

impl Page {
    pub(super) fn new(frame_ancestors: &[String]) -> Self {
        let origins =
            if frame_ancestors.is_empty() { "'none'".to_owned() } else { frame_ancestors.join(" ") };
        Self { frame_ancestors: origins }
    }

    /// The response with the page, which begins with `first`.
    pub(super) fn response(&self, headers: &HeaderMap, first: FirstView) -> Response {
        let Some(file) = files::index() else {
            return Problem::new(Kind::NotFound, "this build has no console").into_response();
        };
        let tag = files::tag(&file, first.name());
        let response = Response::builder()
            .header(header::ETAG, &tag)
            .header(header::VARY, VARY)
            .header(header::CACHE_CONTROL, "no-cache");
        if files::is_known(headers, &tag) {
            // Without a policy: the page that the browser has stored has the nonce of the policy stored with it.
            let response = response.status(StatusCode::NOT_MODIFIED).body(Body::empty());
            return response.unwrap_or_default();
        }
        let nonce = STANDARD.encode(random::secret_bytes::<16>());
        let html = String::from_utf8_lossy(&file.data).replace(NONCE, &nonce).replace(FIRST, first.name());
        let response = response
            .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, self.policy(&nonce))
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::REFERRER_POLICY, "no-referrer")
            .header("cross-origin-opener-policy", "same-origin")
            .header("cross-origin-resource-policy", "same-origin")
            .header("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
            .body(Body::from(html));
        response.unwrap_or_default()
    }

    /// Only the editor adds styles while it runs; they have the nonce. A logo may be anywhere.
    fn policy(&self, nonce: &str) -> String {
        let ancestors = &self.frame_ancestors;
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; \
             img-src 'self' data: https:; font-src 'self'; manifest-src 'self'; worker-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
        )
    }
}

/// Whether a client wants a page: browsers do, clients that ask for JSON do not.
pub(super) fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_none_or(|accepted| {
        let mut types = accepted.split(',').filter_map(|one| one.split(';').next());
        types.any(|one| matches!(one.trim(), "text/html" | "text/*" | "*/*"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_a_page_and_api_clients_do_not() {
        for (accepted, expected) in [
            (None, true),
            (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), true),
            (Some("*/*"), true),
            (Some("application/json"), false),
            (Some("application/problem+json, application/json;q=0.5"), false),
        ] {
            let headers = accepted.map(|text| (header::ACCEPT, text.parse().unwrap()));
            assert_eq!(accepts_html(&headers.into_iter().collect()), expected, "{accepted:?}");
        }
    }
}
