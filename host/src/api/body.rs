//! A request's body: what it says it is, and no more of it than is taken.
//!
//! What is not small has a place in its tenant's memory (see [`clients`](crate::clients)) before it is read, and must
//! arrive at some pace: a sender that sends nothing holds no memory for long.

mod arrival;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use self::arrival::{Arrival, Broken, longest};
use super::json;
use super::problem::{Kind, Problem, shorten};
use crate::clients::{Client, NoRoom, Reserved, UNCOUNTED};

/// How much is taken of a body in which nothing is wanted, in bytes.
const MAX_NOTHING: usize = 4 * 1024;
/// How long a body may take to arrive, unless it says that it is so long that it takes longer at the least pace.
const MAX_ARRIVAL: Duration = Duration::from_secs(120);
/// How much memory a body that does not say its length has at first, in bytes.
const FIRST_STEP: usize = 64 * 1024;
/// How long a body that is refused is read all the same, so that its sender sees the answer.
const MAX_DISCARDING: Duration = Duration::from_secs(10);
/// How much of it is read, in bytes.
const MAX_DISCARDED_LEN: usize = 128 * 1024 * 1024;

/// What kind of body a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One JSON document.
    Json,
    /// The same of clients of other systems, which do not all say what they send.
    JsonOrUnsaid,
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
            Self::Json | Self::JsonOrUnsaid => json,
            Self::JsonOrForm => json || essence == "application/x-www-form-urlencoded",
            Self::MergePatch => json || essence == "application/merge-patch+json",
            Self::JsonLines => matches!(
                essence,
                "application/x-ndjson"
                    | "application/ndjson"
                    | "application/jsonl"
                    | "application/x-jsonlines"
                    // What generated clients send that know of no NDJSON.
                    | "application/octet-stream"
            ),
            Self::Wasm => matches!(essence, "application/wasm" | "application/octet-stream"),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Json | Self::JsonOrUnsaid => "application/json",
            Self::JsonOrForm => "application/json or application/x-www-form-urlencoded",
            Self::MergePatch => "application/merge-patch+json or application/json",
            Self::JsonLines => "application/x-ndjson or application/jsonl",
            Self::Wasm => "application/wasm or application/octet-stream",
        }
    }

    /// Whether a body may come without its type: a client of another system may never have sent one.
    fn may_be_unsaid(self) -> bool {
        matches!(self, Self::JsonOrUnsaid | Self::JsonOrForm)
    }

    /// # Errors
    /// If the headers do not say that the body is of this type, in UTF-8, and not compressed.
    pub fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "a compressed body is not taken; send it without Content-Encoding";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Encoding"));
        }
        let Some(sent) = headers.get(header::CONTENT_TYPE) else {
            return if self.may_be_unsaid() { Ok(()) } else { Err(self.unsaid()) };
        };
        if self == Self::Json && sent.as_bytes() == b"application/json" {
            return Ok(());
        }
        let sent = sent.to_str().unwrap_or_default();
        let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !self.fits(&essence) {
            let detail = format!("the body is sent as `{}`; {} is wanted", shorten(sent), self.in_words());
            return Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Type"));
        }
        match charset(sent) {
            Some(other) if self != Self::Wasm && !is_utf8(other) => {
                let detail = format!("the body is sent in `{}`; send it in UTF-8", shorten(other));
                Err(Problem::new(Kind::UnsupportedMediaType, detail).of_parameter("Content-Type"))
            }
            _ => Ok(()),
        }
    }

    fn unsaid(self) -> Problem {
        let detail = format!("the body comes without a Content-Type; send {}", self.in_words());
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

/// A body that has not been read yet: whoever sent it is checked first.
pub struct Payload {
    headers: HeaderMap,
    body: Body,
    /// The connection that it comes on; none in tests.
    client: Option<Arc<Client>>,
    /// How long it may take to arrive, however long it is.
    within: Option<Duration>,
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        let client = parts.extensions.remove();
        Ok(Self { headers: parts.headers, body, client, within: None })
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
        Self { within: Some(time), ..self }
    }

    /// The same, of a sender whose memory is bounded otherwise.
    #[must_use]
    pub fn uncounted(self) -> Self {
        Self { client: None, ..self }
    }

    /// Reads the body: at most `limit` bytes, of the type that is taken. Its memory is its tenant's until the last part of it is
    /// dropped.
    ///
    /// # Errors
    /// If it is of another type, larger, there is no memory for it right now, or it doesn't arrive.
    pub async fn read(self, takes: Takes, limit: usize) -> Result<Bytes, Problem> {
        self.read_held(takes, limit).await.map(|(body, reserved)| held(body, reserved))
    }

    /// As [`Self::read`]. The memory is reserved until what comes beside the body is dropped: for a body of which more is made than
    /// it is itself.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_held(self, takes: Takes, limit: usize) -> Result<(Bytes, Option<Reserved>), Problem> {
        let is_empty = self.body.is_end_stream();
        match takes.check(&self.headers) {
            Err(problem) if !is_empty || self.headers.contains_key(header::CONTENT_TYPE) => {
                Err(self.refused(problem))
            }
            _ => self.read_any(limit).await,
        }
    }

    /// As [`Self::read`], of a request that may come without a body.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_optional(self, takes: Takes, limit: usize) -> Result<Option<Bytes>, Problem> {
        let checked = takes.check(&self.headers);
        let (body, reserved) = self.read_any(limit).await?;
        if body.is_empty() {
            return Ok(None);
        }
        checked.map(|()| Some(held(body, reserved)))
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

    async fn read_any(self, limit: usize) -> Result<(Bytes, Option<Reserved>), Problem> {
        if self.body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        let announced = self.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let announced = announced.and_then(|text| text.parse::<u64>().ok());
        let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced.is_some_and(|length| length > limit) {
            return Err(self.refused(too_large(limit)));
        }
        let reserved = match &self.client {
            Some(client) if announced.is_none_or(|length| length > UNCOUNTED) => {
                client.reserve_request(announced.unwrap_or(FIRST_STEP).min(limit)).map(Some)
            }
            _ => Ok(None),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(NoRoom) => return Err(self.refused(no_room())),
        };
        let within = self.within.unwrap_or_else(|| MAX_ARRIVAL.max(longest(announced.unwrap_or(0))));
        let arrival = Arrival { body: self.body, announced, limit, reserved, within };
        arrival.complete().await.map_err(|broken| match broken {
            Broken::TooLarge => too_large(limit),
            Broken::NoRoom => no_room(),
            Broken::Off => Problem::new(Kind::UnreadableBody, "the body broke off or is framed wrongly"),
            Broken::Slow(detail) => Problem::new(Kind::RequestTimeout, detail),
        })
    }

    /// Refuses the request without reading its body, at once. What its sender sends all the same is taken for a while.
    fn refused(self, problem: Problem) -> Problem {
        if !self.headers.contains_key(header::EXPECT) && !self.body.is_end_stream() {
            tokio::spawn(tokio::time::timeout(MAX_DISCARDING, discard(self.body)));
        }
        problem
    }
}

fn held(body: Bytes, reserved: Option<Reserved>) -> Bytes {
    match reserved {
        Some(reserved) => reserved.hold(body),
        None => body,
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body has more than {limit} bytes"))
}

fn no_room() -> Problem {
    Problem::new(
        Kind::Unavailable,
        "too many bytes of requests are in memory right now, of the same tenant or of all; try again in a moment",
    )
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
        Payload { headers, body, client: None, within: None }
    }

    fn json_headers() -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())])
    }

    /// A body that never comes.
    fn absent() -> Payload {
        let never = futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>();
        payload(json_headers(), Body::from_stream(never))
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
            (Takes::Json, "application/json; charset=\"UTF-8\"", true),
            (Takes::Json, "application/json;charset=utf-16", false),
            (Takes::JsonOrUnsaid, "application/json; charset=iso-8859-1", false),
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
        for (takes, may_be_unsaid) in [
            (Takes::Json, false),
            (Takes::MergePatch, false),
            (Takes::JsonLines, false),
            (Takes::Wasm, false),
            (Takes::JsonOrUnsaid, true),
            (Takes::JsonOrForm, true),
        ] {
            assert_eq!(takes.check(&HeaderMap::new()).is_ok(), may_be_unsaid, "{takes:?}");
        }
        let gzip = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert!(Takes::Json.check(&gzip).is_err());
    }

    #[tokio::test]
    async fn where_nothing_is_wanted_nothing_is_taken() {
        let read = |body: &'static str| payload(json_headers(), Body::from(body)).read_nothing();
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
        let read = |body: Body| payload(json_headers(), body).read(Takes::Json, 4);
        assert_eq!(read(Body::from("1234")).await.unwrap(), "1234");
        assert_eq!(read(Body::from("12345")).await.unwrap_err().kind(), Kind::TooLarge);
        let mut headers = json_headers();
        headers.insert(header::CONTENT_LENGTH, "5".parse().unwrap());
        let announced = payload(headers, Body::from("12345"));
        assert_eq!(announced.read(Takes::Json, 4).await.unwrap_err().kind(), Kind::TooLarge);
    }
}
