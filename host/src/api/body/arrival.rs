//! Reads a body with limits on its size, its duration and its transfer rate.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::Instant;

use crate::clients::Reserved;
use crate::clock;

/// The longest pause between two parts of a body.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// How long a body may take before the minimum rate applies.
const GRACE: Duration = Duration::from_secs(10);
/// The minimum average rate after [`GRACE`], in bytes per second.
const MIN_RATE: usize = 16 * 1024;

/// A body that is being read.
pub(super) struct Arrival {
    pub(super) body: Body,
    /// The `Content-Length`, in bytes; at most `limit`.
    pub(super) announced: Option<usize>,
    /// The maximum size, in bytes.
    pub(super) limit: usize,
    /// Memory for the announced length. Without one, the reservation grows with the body.
    pub(super) reserved: Option<Reserved>,
    /// The time limit for the whole body.
    pub(super) within: Duration,
}

/// Why reading a body failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// The body exceeds the maximum size.
    TooLarge,
    /// No memory is available for more of the body.
    NoRoom,
    /// The connection closed before the body was complete, or the framing is invalid.
    Incomplete,
    /// The body arrived too slowly. Contains the message for the client.
    TooSlow(String),
}

impl Arrival {
    /// Reads the whole body. Returns it with the memory reserved for it.
    pub(super) async fn complete(mut self) -> Result<(Bytes, Option<Reserved>), ReadError> {
        let began = Instant::from_std(clock::monotonic());
        let first = self.next(began, 0).await?.unwrap_or_default();
        if self.body.is_end_stream() {
            self.reserve(first.len())?;
            return Ok((first, self.reserved));
        }
        let mut body = Vec::with_capacity(self.announced.unwrap_or(first.len()).min(self.limit));
        let mut next = Some(first);
        while let Some(part) = next {
            self.reserve(body.len() + part.len())?;
            if let Some(reserved) = &self.reserved {
                // Allocates what is reserved; a vector that grows by itself would double its capacity.
                body.reserve_exact(reserved.bytes().max(body.len() + part.len()) - body.len());
            }
            body.extend_from_slice(&part);
            drop(part);
            next = self.next(began, body.len()).await?;
        }
        Ok((body.into(), self.reserved))
    }

    /// Reads the next part, after `received` bytes.
    pub(super) async fn next(&mut self, began: Instant, received: usize) -> Result<Option<Bytes>, ReadError> {
        let now = Instant::from_std(clock::monotonic());
        let by_limit = began + self.within;
        let deadline = by_limit.min(next_is_due(began, now, received));
        loop {
            match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(ReadError::Incomplete),
                // Trailers are ignored.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
                Err(_) if deadline == by_limit => {
                    let seconds = self.within.as_secs();
                    return Err(ReadError::TooSlow(format!(
                        "the body took more than {seconds} seconds to arrive"
                    )));
                }
                Err(_) => {
                    return Err(ReadError::TooSlow(format!(
                        "the body arrives too slowly: {received} bytes in {} seconds; after {} seconds, send at least {MIN_RATE} bytes per second without a pause of {} seconds",
                        clock::elapsed(began.into_std()).as_secs(),
                        GRACE.as_secs(),
                        MAX_PAUSE.as_secs(),
                    )));
                }
            }
        }
    }

    /// Reserves memory for `len` bytes.
    fn reserve(&mut self, len: usize) -> Result<(), ReadError> {
        if len > self.limit {
            return Err(ReadError::TooLarge);
        }
        match &mut self.reserved {
            // Doubles if there is room for that, so that a long body takes few steps.
            Some(reserved) if len > reserved.bytes() => {
                let sizes = [2 * len, len + len / 8, len];
                let grown = sizes.iter().find_map(|size| reserved.grow_to((*size).min(self.limit)).ok());
                grown.ok_or(ReadError::NoRoom)
            }
            _ => Ok(()),
        }
    }
}

/// When the next part of a body must have arrived.
fn next_is_due(began: Instant, now: Instant, received: usize) -> Instant {
    let by_rate = began + min_rate_time(received);
    by_rate.min(now + MAX_PAUSE)
}

/// How long a body of `len` bytes may take at the minimum rate.
pub(super) fn min_rate_time(len: usize) -> Duration {
    GRACE + Duration::from_secs((len / MIN_RATE) as u64)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;
    use crate::clients::Budget;

    #[test]
    fn a_body_keeps_the_minimum_rate_after_the_grace_period_without_a_long_pause() {
        let began = Instant::from_std(clock::monotonic());
        for (after_s, received, due_s) in [
            (0, 0, 10),
            (9, 100, 10),
            (9, MIN_RATE, 11),
            (20, 15 * MIN_RATE, 25),
            (60, 60 * MIN_RATE, 70),
            (1, 10_000_000, 16),
        ] {
            let now = began + Duration::from_secs(after_s);
            let due = next_is_due(began, now, received) - began;
            assert_eq!(due.as_secs(), due_s, "{received} bytes after {after_s} s");
        }
    }

    #[test]
    fn a_large_body_has_time_to_arrive_at_the_minimum_rate() {
        assert_eq!(min_rate_time(0), GRACE);
        assert_eq!(min_rate_time(100 * MIN_RATE), GRACE + Duration::from_secs(100));
        // An upload at 1 Mbit/s takes four minutes.
        assert!(min_rate_time(30_000_000) > Duration::from_secs(240));
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_needs_no_more_memory_than_it_has_bytes() {
        let budget = Budget::new(16 * 9_000);
        let reserved = budget.reserve(None, 1_000).unwrap();
        let parts = (0..9).map(|_| Ok::<_, Infallible>(Bytes::from(vec![0; 1_000])));
        let (body, within) = (Body::from_stream(stream::iter(parts)), Duration::from_secs(120));
        let arrival = Arrival { body, announced: None, limit: 100_000, reserved: Some(reserved), within };
        let (body, reserved) = arrival.complete().await.unwrap();
        assert_eq!((body.len(), reserved.unwrap().bytes()), (9_000, 9_000));
    }

    #[tokio::test]
    async fn the_parts_of_a_body_are_joined_up_to_the_limit() {
        for (limit, announced, expected) in [
            (5_000, None, Ok(5_000)),
            (5_000, Some(5_000), Ok(5_000)),
            (4_999, None, Err(ReadError::TooLarge)),
        ] {
            let parts = (0..5).map(|_| Ok::<_, Infallible>(Bytes::from(vec![0; 1_000])));
            let (body, within) = (Body::from_stream(stream::iter(parts)), Duration::from_secs(120));
            let arrival = Arrival { body, announced, limit, reserved: None, within };
            assert_eq!(
                arrival.complete().await.map(|(body, _)| body.len()),
                expected,
                "{limit} {announced:?}"
            );
        }
    }
}
