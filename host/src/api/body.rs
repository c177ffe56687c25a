//! Request bodies: content type, maximum size and minimum transfer rate.
//!
//! A body that is not small is charged to its tenant's memory (see [`clients`](crate::clients)) before it is
//! read. It must arrive at a minimum rate, so that a stalled client does not hold memory for long.

mod arrival;
mod content_type;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::Instant;

use self::arrival::{Arrival, ReadError, min_rate_time};
pub use self::content_type::ContentType;
use super::json;
use super::problem::{Kind, Problem};
use crate::clients::{Client, NoRoom, Reserved, UNCOUNTED};
use crate::clock;

/// The maximum size of the body of a request without members, in bytes.
const MAX_EMPTY_LEN: usize = 4 * 1024;
/// The time limit for a body, unless its `Content-Length` takes longer at the minimum rate.
const MAX_ARRIVAL: Duration = Duration::from_secs(120);
/// The initial reservation for a body without `Content-Length`, in bytes.
const INITIAL_RESERVATION: usize = 64 * 1024;
/// How long a rejected body is still read, so that its sender sees the response.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a rejected body is read, in bytes.
const MAX_DISCARDED_LEN: usize = 128 * 1024 * 1024;

/// A body that has not been read yet, so that the handler can authenticate the caller first.
pub struct Payload {
    headers: HeaderMap,
    body: Body,
    /// The connection that sends the body; `None` in tests.
    client: Option<Arc<Client>>,
    /// The time limit for the body; `None` for the default, which depends on the length.
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

    /// Sets the time limit for the body.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }

    /// Does not charge the body's memory to the tenant, for callers whose memory is limited otherwise.
    #[must_use]
    pub fn uncounted(self) -> Self {
        Self { client: None, ..self }
    }

    /// Reads a body of at most `limit` bytes. Its memory stays charged to the tenant until the last clone of
    /// the returned bytes is dropped.
    ///
    /// # Errors
    /// Fails if the body has another content type, exceeds `limit`, exceeds the available memory, or does not
    /// arrive in time.
    pub async fn read(self, expected: ContentType, limit: usize) -> Result<Bytes, Problem> {
        self.read_held(expected, limit).await.map(|(body, reserved)| held(body, reserved))
    }

    /// Like [`Self::read`], but returns the reservation of memory: for handlers whose parsed values outlive
    /// the body.
    ///
    /// # Errors
    /// Fails like [`Self::read`].
    pub async fn read_held(
        self,
        expected: ContentType,
        limit: usize,
    ) -> Result<(Bytes, Option<Reserved>), Problem> {
        let is_empty = self.body.is_end_stream();
        match expected.check(&self.headers) {
            Err(problem) if !is_empty || self.headers.contains_key(header::CONTENT_TYPE) => {
                Err(self.refused(problem))
            }
            _ => self.read_any(limit).await,
        }
    }

    /// Like [`Self::read`], for a request whose body is optional.
    ///
    /// # Errors
    /// Fails like [`Self::read`].
    pub async fn read_optional(self, expected: ContentType, limit: usize) -> Result<Option<Bytes>, Problem> {
        let checked = expected.check(&self.headers);
        let (body, reserved) = self.read_any(limit).await?;
        if body.is_empty() {
            return Ok(None);
        }
        checked.map(|()| Some(held(body, reserved)))
    }

    /// Reads the body of a request without members: empty, or an empty object.
    ///
    /// # Errors
    /// Fails if the body has members, or cannot be read.
    pub async fn read_nothing(self) -> Result<(), Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        match self.read_optional(ContentType::Json, MAX_EMPTY_LEN).await? {
            Some(body) => json::parse::<Nothing>(&body).map(drop),
            None => Ok(()),
        }
    }

    /// Reads a body of at most `limit` bytes in parts, without collecting it in memory.
    ///
    /// # Errors
    /// Fails if the body has another content type, or if its `Content-Length` exceeds `limit`.
    pub fn parts(self, expected: ContentType, limit: usize) -> Result<BodyParts, Problem> {
        if !self.body.is_end_stream()
            && let Err(problem) = expected.check(&self.headers)
        {
            return Err(self.refused(problem));
        }
        let (payload, announced) = self.announced(limit)?;
        let arrival = payload.arriving(announced, limit, None);
        Ok(BodyParts { arrival, began: Instant::from_std(clock::monotonic()), received: 0 })
    }

    async fn read_any(self, limit: usize) -> Result<(Bytes, Option<Reserved>), Problem> {
        if self.body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        let (payload, announced) = self.announced(limit)?;
        let reserved = match &payload.client {
            Some(client) if announced.is_none_or(|length| length > UNCOUNTED) => {
                client.reserve_request(announced.unwrap_or(INITIAL_RESERVATION).min(limit)).map(Some)
            }
            _ => Ok(None),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(NoRoom) => return Err(payload.refused(no_room())),
        };
        let arrival = payload.arriving(announced, limit, reserved);
        arrival.complete().await.map_err(|error| unreadable(error, limit))
    }

    /// The value of `Content-Length`.
    ///
    /// # Errors
    /// Fails if it exceeds `limit`.
    fn announced(self, limit: usize) -> Result<(Self, Option<usize>), Problem> {
        let announced = self.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let announced = announced.and_then(|text| text.parse::<u64>().ok());
        let announced = announced.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced.is_some_and(|length| length > limit) {
            return Err(self.refused(too_large(limit)));
        }
        Ok((self, announced))
    }

    fn arriving(self, announced: Option<usize>, limit: usize, reserved: Option<Reserved>) -> Arrival {
        let within = self.within.unwrap_or_else(|| MAX_ARRIVAL.max(min_rate_time(announced.unwrap_or(0))));
        Arrival { body: self.body, announced, limit, reserved, within }
    }

    /// Rejects the request before its body is read. A task discards the body, see [`discard`].
    fn refused(self, problem: Problem) -> Problem {
        if !self.headers.contains_key(header::EXPECT) && !self.body.is_end_stream() {
            tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, discard(self.body)));
        }
        problem
    }
}

/// A body that is read in parts.
pub struct BodyParts {
    arrival: Arrival,
    began: Instant,
    received: usize,
}

impl BodyParts {
    /// The next part; `None` at the end of the body.
    ///
    /// # Errors
    /// Fails if the body is too large, incomplete, or arrives too slowly.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let limit = self.arrival.limit;
        let next = self.arrival.next(self.began, self.received).await;
        let next = next.map_err(|error| unreadable(error, limit))?;
        self.received += next.as_ref().map_or(0, Bytes::len);
        if self.received > limit {
            return Err(too_large(limit));
        }
        Ok(next)
    }
}

fn unreadable(error: ReadError, limit: usize) -> Problem {
    match error {
        ReadError::TooLarge => too_large(limit),
        ReadError::NoRoom => no_room(),
        ReadError::Incomplete => {
            Problem::new(Kind::UnreadableBody, "the body is incomplete or framed incorrectly")
        }
        ReadError::TooSlow(detail) => Problem::new(Kind::RequestTimeout, detail),
    }
}

fn held(body: Bytes, reserved: Option<Reserved>) -> Bytes {
    match reserved {
        Some(reserved) => reserved.hold(body),
        None => body,
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body exceeds {limit} bytes"))
}

fn no_room() -> Problem {
    Problem::new(
        Kind::Unavailable,
        "the memory for request bodies, of this tenant or of all tenants, is in use; try again later",
    )
}

/// Reads and drops a rejected body. A client that is still sending when the connection closes sees a
/// connection error instead of the response. Clients that send `Expect: 100-continue` do not send the body.
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

    /// A body that never arrives.
    fn absent() -> Payload {
        let never = futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>();
        payload(json_headers(), Body::from_stream(never))
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_in_time_is_refused() {
        let problem = absent().within(Duration::ZERO).read(ContentType::Json, 4).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::RequestTimeout);
        assert_eq!(problem.detail(), "the body took more than 0 seconds to arrive");
    }

    #[tokio::test]
    async fn a_request_without_members_accepts_only_an_empty_body_or_object() {
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
    async fn a_body_beyond_the_limit_is_refused() {
        let read = |body: Body| payload(json_headers(), body).read(ContentType::Json, 4);
        assert_eq!(read(Body::from("1234")).await.unwrap(), "1234");
        assert_eq!(read(Body::from("12345")).await.unwrap_err().kind(), Kind::TooLarge);
        let mut headers = json_headers();
        headers.insert(header::CONTENT_LENGTH, "5".parse().unwrap());
        let announced = payload(headers, Body::from("12345"));
        assert_eq!(announced.read(ContentType::Json, 4).await.unwrap_err().kind(), Kind::TooLarge);
    }
}
