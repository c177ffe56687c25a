//! A body as it arrives.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time::Instant;

use crate::clients::Reserved;

/// For so long a sender may pause.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// How long a body may take before its pace counts.
const GRACE: Duration = Duration::from_secs(10);
/// How fast it must arrive on average after that, in bytes a second.
const LEAST_PACE: usize = 16 * 1024;

/// A body that is being read.
pub(super) struct Arrival {
    pub(super) body: Body,
    /// How long it says that it is, in bytes; at most `limit`.
    pub(super) announced: Option<usize>,
    /// How much is taken, in bytes.
    pub(super) limit: usize,
    /// Memory for what is announced; if nothing is, it grows as the body does.
    pub(super) reserved: Option<Reserved>,
    /// How long it may take.
    pub(super) within: Duration,
}

/// Why a body did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is larger than is taken.
    TooLarge,
    /// There is no memory for more of it right now.
    NoRoom,
    /// It broke off.
    Off,
    /// It came too slowly: in words.
    Slow(String),
}

impl Arrival {
    /// The whole body, and the memory that is reserved for it.
    pub(super) async fn complete(mut self) -> Result<(Bytes, Option<Reserved>), Broken> {
        let began = Instant::now();
        let first = self.next(began, 0).await?.unwrap_or_default();
        if self.body.is_end_stream() {
            self.room_for(first.len())?;
            return Ok((first, self.reserved));
        }
        let mut body = Vec::with_capacity(self.announced.unwrap_or(first.len()).min(self.limit));
        let mut next = Some(first);
        while let Some(part) = next {
            self.room_for(body.len() + part.len())?;
            body.extend_from_slice(&part);
            drop(part);
            next = self.next(began, body.len()).await?;
        }
        Ok((body.into(), self.reserved))
    }

    /// What comes next, after `received` bytes.
    async fn next(&mut self, began: Instant, received: usize) -> Result<Option<Bytes>, Broken> {
        let now = Instant::now();
        let by_all = began + self.within;
        let deadline = by_all.min(next_is_due(began, now, received));
        loop {
            match tokio::time::timeout_at(deadline, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Broken::Off),
                // Trailers say nothing.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
                Err(_) if deadline == by_all => {
                    let seconds = self.within.as_secs();
                    return Err(Broken::Slow(format!("the body took more than {seconds} seconds to arrive")));
                }
                Err(_) => {
                    return Err(Broken::Slow(format!(
                        "the body arrives too slowly, {received} bytes in {} seconds: after {} seconds it must have {LEAST_PACE} bytes a second, and no pause of {} seconds",
                        began.elapsed().as_secs(),
                        GRACE.as_secs(),
                        MAX_PAUSE.as_secs(),
                    )));
                }
            }
        }
    }

    /// Makes sure that `len` bytes may be in memory.
    fn room_for(&mut self, len: usize) -> Result<(), Broken> {
        if len > self.limit {
            return Err(Broken::TooLarge);
        }
        match &mut self.reserved {
            // In few steps.
            Some(reserved) if len > reserved.bytes() => {
                reserved.grow_to((2 * len).min(self.limit)).map_err(|_| Broken::NoRoom)
            }
            _ => Ok(()),
        }
    }
}

/// When the next part of a body must be there.
fn next_is_due(began: Instant, now: Instant, received: usize) -> Instant {
    let by_pace = began + longest(received);
    by_pace.min(now + MAX_PAUSE)
}

/// How long a body of `len` bytes takes at the least pace.
pub(super) fn longest(len: usize) -> Duration {
    GRACE + Duration::from_secs((len / LEAST_PACE) as u64)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    #[test]
    fn a_body_must_keep_a_pace_after_its_grace_and_make_no_long_pause() {
        let began = Instant::now();
        for (after_s, received, due_s) in [
            (0, 0, 10),
            (9, 100, 10),
            (9, LEAST_PACE, 11),
            (20, 15 * LEAST_PACE, 25),
            (60, 60 * LEAST_PACE, 70),
            (1, 10_000_000, 16),
        ] {
            let now = began + Duration::from_secs(after_s);
            let due = next_is_due(began, now, received) - began;
            assert_eq!(due.as_secs(), due_s, "{received} bytes after {after_s} s");
        }
    }

    #[test]
    fn a_large_body_has_time_to_arrive_at_the_least_pace() {
        assert_eq!(longest(0), GRACE);
        assert_eq!(longest(100 * LEAST_PACE), GRACE + Duration::from_secs(100));
        // An upload at 1 Mbit/s takes four minutes.
        assert!(longest(30_000_000) > Duration::from_secs(240));
    }

    #[tokio::test]
    async fn a_body_of_many_parts_is_one_and_no_larger_than_is_taken() {
        for (limit, announced, expected) in
            [(5_000, None, Ok(5_000)), (5_000, Some(5_000), Ok(5_000)), (4_999, None, Err(Broken::TooLarge))]
        {
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
