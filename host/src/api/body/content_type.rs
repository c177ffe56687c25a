//! The content types of request bodies.

use http::{HeaderMap, header};

use crate::api::problem::{Kind, Problem, shorten};

/// The content type that a request expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// One JSON document.
    Json,
    /// One JSON document; `Content-Type` may be absent, because clients of other systems do not all send it.
    JsonOrUntyped,
    /// One JSON document or a form; `Content-Type` may be absent.
    JsonOrForm,
    /// A JSON merge patch (RFC 7396), under its own media type or as plain JSON.
    MergePatch,
    /// One JSON document per line.
    JsonLines,
    /// A WebAssembly binary.
    Wasm,
}

impl ContentType {
    fn fits(self, essence: &str) -> bool {
        let json =
            essence == "application/json" || (essence.ends_with("+json") && !essence.ends_with("patch+json"));
        match self {
            Self::Json | Self::JsonOrUntyped => json,
            Self::JsonOrForm => json || essence == "application/x-www-form-urlencoded",
            Self::MergePatch => json || essence == "application/merge-patch+json",
            Self::JsonLines => matches!(
                essence,
                "application/x-ndjson"
                    | "application/ndjson"
                    | "application/jsonl"
                    | "application/x-jsonlines"
                    // Sent by generated clients, which do not support NDJSON.
                    | "application/octet-stream"
            ),
            Self::Wasm => matches!(essence, "application/wasm" | "application/octet-stream"),
        }
    }

    fn names(self) -> &'static str {
        match self {
            Self::Json | Self::JsonOrUntyped => "application/json",
            Self::JsonOrForm => "application/json or application/x-www-form-urlencoded",
            Self::MergePatch => "application/merge-patch+json or application/json",
            Self::JsonLines => "application/x-ndjson or application/jsonl",
            Self::Wasm => "application/wasm or application/octet-stream",
        }
    }

    /// Whether `Content-Type` may be absent.
    fn may_be_untyped(self) -> bool {
        matches!(self, Self::JsonOrUntyped | Self::JsonOrForm)
    }

    /// Checks the headers that describe the body.
    ///
    /// # Errors
    /// Fails if the body has another type, is compressed, or is text in another encoding than UTF-8.
    pub fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "compressed bodies are not supported; send the body without Content-Encoding";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Encoding"));
        }
        let Some(sent) = headers.get(header::CONTENT_TYPE) else {
            return if self.may_be_untyped() { Ok(()) } else { Err(self.missing_content_type()) };
        };
        if self == Self::Json && sent.as_bytes() == b"application/json" {
            return Ok(());
        }
        let sent = sent.to_str().unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !self.fits(&essence) {
            let detail = format!("unsupported content type `{}`; expected {}", shorten(sent), self.names());
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Type"));
        }
        match charset(sent) {
            Some(other) if self != Self::Wasm && !is_utf8(other) => {
                let detail = format!("unsupported charset `{}`; expected UTF-8", shorten(other));
                Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Type"))
            }
            _ => Ok(()),
        }
    }

    fn missing_content_type(self) -> Problem {
        let detail = format!("missing Content-Type; expected {}", self.names());
        Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Type")
    }
}

/// The parameter `charset` of a media type.
fn charset(media_type: &str) -> Option<&str> {
    let parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// Whether text in this encoding is UTF-8.
fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_checked() {
        for (expected, content_type, fits) in [
            (ContentType::Json, "application/json", true),
            (ContentType::Json, "Application/JSON; charset=utf-8", true),
            (ContentType::Json, "application/vnd.x+json", true),
            (ContentType::Json, "application/merge-patch+json", false),
            (ContentType::Json, "application/x-www-form-urlencoded", false),
            (ContentType::Json, "", false),
            (ContentType::Json, "application/json; charset=\"UTF-8\"", true),
            (ContentType::Json, "application/json;charset=utf-16", false),
            (ContentType::JsonOrUntyped, "application/json; charset=iso-8859-1", false),
            (ContentType::MergePatch, "application/merge-patch+json", true),
            (ContentType::MergePatch, "application/json-patch+json", false),
            (ContentType::JsonLines, "application/x-ndjson", true),
            (ContentType::JsonLines, "application/json", false),
            (ContentType::Wasm, "application/wasm", true),
            (ContentType::Wasm, "text/javascript", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(expected.check(&headers).is_ok(), fits, "{expected:?} {content_type}");
        }
        for (expected, may_be_untyped) in [
            (ContentType::Json, false),
            (ContentType::MergePatch, false),
            (ContentType::JsonLines, false),
            (ContentType::Wasm, false),
            (ContentType::JsonOrUntyped, true),
            (ContentType::JsonOrForm, true),
        ] {
            assert_eq!(expected.check(&HeaderMap::new()).is_ok(), may_be_untyped, "{expected:?}");
        }
        let gzip = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert!(ContentType::Json.check(&gzip).is_err());
    }
}
