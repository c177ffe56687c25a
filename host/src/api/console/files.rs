//! The built files of the console, which are in the binary. A debug build reads them from disk at each request.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

/// How long browsers keep a file whose name has a digest of its content: a year.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// The least length of a digest in the name of a file.
const MIN_DIGEST: usize = 8;

#[derive(RustEmbed)]
#[folder = "console/dist"]
struct Built;

/// The page itself.
pub(super) fn index() -> Option<EmbeddedFile> {
    Built::get("index.html")
}

/// The response with a file; `None` if there is none.
pub(super) fn response(path: &str, headers: &HeaderMap) -> Option<Response> {
    let (_, ending) = path.rsplit_once('.')?;
    let media_type = media_type(ending).filter(|_| path != "index.html")?;
    let plain = Built::get(path)?;
    let packed = accepts_gzip(headers).then(|| Built::get(&format!("{path}.gz"))).flatten();
    let is_packed = packed.is_some();
    let file = packed.unwrap_or(plain);
    let tag = tag(&file, "");
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::ETAG, &tag)
        .header(header::VARY, "accept-encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header("cross-origin-resource-policy", "same-origin")
        .header(header::CACHE_CONTROL, if has_digest(path) { IMMUTABLE } else { "no-cache" });
    if is_packed {
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    let body = match is_known(headers, &tag) {
        true => {
            response = response.status(StatusCode::NOT_MODIFIED);
            Body::empty()
        }
        false => Body::from(Bytes::from(file.data.into_owned())),
    };
    response.body(body).ok()
}

/// The entity tag of a file, or of a variant that is made of it.
pub(super) fn tag(file: &EmbeddedFile, variant: &str) -> String {
    format!("\"{}{variant}\"", hex::encode(&file.metadata.sha256_hash()[..16]))
}

/// Whether the client has the representation with this tag.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| {
        accepted.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|weight| weight == "q=0")
        })
    })
}

/// Whether the name has the form `name-digest.ending`.
fn has_digest(path: &str) -> bool {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let digest = stem.rsplit_once('-').map_or("", |(_, digest)| digest);
    digest.len() >= MIN_DIGEST && digest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn media_type(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_digest_are_immutable() {
        for (path, expected) in [
            ("app-0123abCD.js", true),
            ("lib/editor-3f9a3f9a3f9a.css", true),
            ("app.js", false),
            ("app-short.js", false),
            ("app-0123_bcd.js", false),
        ] {
            assert_eq!(has_digest(path), expected, "{path}");
        }
    }

    #[test]
    fn a_file_is_packed_if_the_client_accepts_it() {
        for (accepted, expected) in
            [("gzip, br", true), ("br;q=1, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expected, "{accepted}");
        }
    }
}
