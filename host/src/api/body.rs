//! A request's body: what it says it is, and no more of it than is taken.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::json;
use super::problem::{Kind, Problem, shorten};

/// How much is taken of a body in which nothing is wanted, in bytes.
const MAX_NOTHING: usize = 4 * 1024;
/// How long a body may take to arrive.
const MAX_ARRIVAL: Duration = Duration::from_secs(120);
/// How long a body that is too large is read all the same, so that its sender sees the answer.
const MAX_DISCARDING: Duration = Duration::from_secs(10);
/// How much of it is read, in bytes.
const MAX_DISCARDED_LEN: usize = 128 * 1024 * 1024;

/// What kind of body a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One JSON document.
    Json,
    /// One JSON document, or a form.
    JsonOrForm,
    /// A JSON merge patch (RFC 7396), or simply JSON.
    MergePatch,
    /// One JSON document a line.
    JsonLines,
    /// Wasm.
    Wasm,
}

impl Takes {
    fn fits(self, essence: &str) -> bool {
        let json =
            essence == "application/json" || (essence.ends_with("+json") && !essence.ends_with("patch+json"));
        match self {
            Self::Json => json,
            Self::JsonOrForm => json || essence == "application/x-www-form-urlencoded",
            Self::MergePatch => json || essence == "application/merge-patch+json",
            Self::JsonLines => matches!(
                essence,
                "application/x-ndjson"
                    | "application/ndjson"
                    | "application/jsonl"
                    | "application/x-jsonlines"
            ),
            Self::Wasm => matches!(essence, "application/wasm" | "application/octet-stream"),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonOrForm => "application/json or application/x-www-form-urlencoded",
            Self::MergePatch => "application/merge-patch+json or application/json",
            Self::JsonLines => "application/x-ndjson or application/jsonl",
            Self::Wasm => "application/wasm or application/octet-stream",
        }
    }

    /// # Errors
    /// Where the headers say that the body is of another type, or compressed.
    pub fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "a compressed body is not taken; send it without Content-Encoding";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Encoding"));
        }
        let Some(sent) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
        if self == Self::Json && sent.as_bytes() == b"application/json" {
            return Ok(());
        }
        let sent = sent.to_str().unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if self.fits(&essence) {
            return Ok(());
        }
        let detail = format!("the body is sent as `{}`; {} is wanted", shorten(sent), self.in_words());
        Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Type"))
    }
}

/// A body that has not been read yet: whoever sent it is checked first.
pub struct Payload {
    headers: HeaderMap,
    body: Body,
    /// How long it may take to arrive.
    within: Duration,
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body, within: MAX_ARRIVAL })
    }
}

impl Payload {
    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The same, with less time to arrive in.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: time, ..self }
    }

    /// Reads the body: at most `limit` bytes, of the type that is taken. No type given is as good.
    ///
    /// # Errors
    /// Where it is of another type, larger, or doesn't arrive.
    pub async fn read(self, takes: Takes, limit: usize) -> Result<Bytes, Problem> {
        takes.check(&self.headers)?;
        self.read_any(limit).await
    }

    /// As [`Self::read`], of a request that may come without a body.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_optional(self, takes: Takes, limit: usize) -> Result<Option<Bytes>, Problem> {
        let checked = takes.check(&self.headers);
        let body = self.read_any(limit).await?;
        if body.is_empty() {
            return Ok(None);
        }
        checked.map(|()| Some(body))
    }

    /// Of a request that takes no members: no body, or an object without any.
    ///
    /// # Errors
    /// Where something is said that would not be heeded.
    pub async fn read_nothing(self) -> Result<(), Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        match self.read_optional(Takes::Json, MAX_NOTHING).await? {
            Some(body) => json::parse::<Nothing>(&body).map(drop),
            None => Ok(()),
        }
    }

    async fn read_any(self, limit: usize) -> Result<Bytes, Problem> {
        let too_large = || Problem::new(Kind::TooLarge, format!("the body has more than {limit} bytes"));
        let announced = self.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
            if !self.headers.contains_key(header::EXPECT) {
                let _ = tokio::time::timeout(MAX_DISCARDING.min(self.within), discard(self.body)).await;
            }
            return Err(too_large());
        }
        let reading = Limited::new(self.body, limit).collect();
        match tokio::time::timeout(self.within, reading).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Problem::new(Kind::UnreadableBody, "the body broke off or is framed wrongly")),
            Err(_) => {
                let detail = format!("the body took more than {} seconds to arrive", self.within.as_secs());
                Err(Problem::new(Kind::RequestTimeout, detail))
            }
        }
    }
}

/// Reads what nobody wants. A client that is still sending when its connection is closed sees that the
/// connection broke, and not the answer which says why. One that asks first (`Expect: 100-continue`)
/// does not get here.
async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MAX_DISCARDED_LEN {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(headers: HeaderMap, body: Body) -> Payload {
        Payload { headers, body, within: MAX_ARRIVAL }
    }

    /// A body that never comes.
    fn absent() -> Payload {
        let never = futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>();
        payload(HeaderMap::new(), Body::from_stream(never))
    }

    #[tokio::test]
    async fn what_does_not_arrive_in_time_is_refused() {
        let problem = absent().within(Duration::ZERO).read(Takes::Json, 4).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::RequestTimeout);
        assert_eq!(problem.detail(), "the body took more than 0 seconds to arrive");
    }

    #[test]
    fn content_types_are_checked() {
        for (takes, content_type, fits) in [
            (Takes::Json, "application/json", true),
            (Takes::Json, "Application/JSON; charset=utf-8", true),
            (Takes::Json, "application/vnd.x+json", true),
            (Takes::Json, "application/merge-patch+json", false),
            (Takes::Json, "application/x-www-form-urlencoded", false),
            (Takes::Json, "", false),
            (Takes::MergePatch, "application/merge-patch+json", true),
            (Takes::MergePatch, "application/json-patch+json", false),
            (Takes::JsonLines, "application/x-ndjson", true),
            (Takes::JsonLines, "application/json", false),
            (Takes::Wasm, "application/wasm", true),
            (Takes::Wasm, "text/javascript", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(takes.check(&headers).is_ok(), fits, "{takes:?} {content_type}");
        }
        assert!(Takes::Json.check(&HeaderMap::new()).is_ok());
        let gzip = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert!(Takes::Json.check(&gzip).is_err());
    }

    #[tokio::test]
    async fn where_nothing_is_wanted_nothing_is_taken() {
        let read = |body: &'static str| payload(HeaderMap::new(), Body::from(body)).read_nothing();
        assert_eq!(read("").await, Ok(()));
        assert_eq!(read(" {} ").await, Ok(()));
        for (body, kind) in
            [("{{", Kind::MalformedJson), ("[]", Kind::WrongType), (r#"{"delay":5}"#, Kind::UnknownMember)]
        {
            assert_eq!(read(body).await.unwrap_err().kind(), kind, "{body}");
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_taken() {
        let read = |body: Body| payload(HeaderMap::new(), body).read(Takes::Json, 4);
        assert_eq!(read(Body::from("1234")).await.unwrap(), "1234");
        assert_eq!(read(Body::from("12345")).await.unwrap_err().kind(), Kind::TooLarge);
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, "5".parse().unwrap())]);
        let announced = payload(headers, Body::empty());
        assert_eq!(announced.read(Takes::Json, 4).await.unwrap_err().kind(), Kind::TooLarge);
    }
}
