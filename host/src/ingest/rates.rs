//! How many events a tenant may publish in a second: a token bucket, which holds the events of one second.
//!
//! A request is admitted if a token is left, whatever the number of its events. What it takes beyond is missing afterwards,
//! so the rate holds on average, and a batch may be larger than the rate.

use std::time::{Duration, Instant};

/// How much of a rate is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStatus {
    /// Events in a second.
    pub limit: u64,
    /// How many may be published now.
    pub remaining: u64,
    /// After how many seconds, at least one, the next may be published if none is left; otherwise, when all are there again.
    pub reset_s: u64,
}

/// See the module's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    /// Tokens in a second, which is also the most that there are.
    rate: f64,
    /// Less than nothing after a large batch.
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A bucket that is full once it has a rate.
    pub(super) fn full(now: Instant) -> Self {
        Self { rate: 0.0, tokens: f64::INFINITY, at: now }
    }

    /// This node has a share of `limit`, beside other nodes.
    pub(super) fn set_rate(&mut self, limit: u64, nodes: usize, now: Instant) {
        self.refill(now);
        #[expect(clippy::cast_precision_loss, reason = "limits are small")]
        let rate = limit as f64 / nodes.max(1) as f64;
        self.rate = rate;
        // A node's share of a low rate may be less than one.
        self.tokens = self.tokens.min(rate.max(1.0));
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate.max(1.0).max(self.tokens));
        self.at = now.max(self.at);
    }

    /// Takes a token for each of `events`, if there is one.
    pub(super) fn take(&mut self, events: usize, now: Instant) -> bool {
        self.refill(now);
        let is_admitted = self.tokens >= 1.0;
        if is_admitted {
            #[expect(clippy::cast_precision_loss, reason = "calls have few events")]
            let events = events as f64;
            self.tokens -= events;
        }
        is_admitted
    }

    /// What is left, of `limit` on all nodes together.
    pub(super) fn status(&self, limit: u64, now: Instant) -> RateStatus {
        let missing = if self.tokens < 1.0 { 1.0 - self.tokens } else { self.rate.max(1.0) - self.tokens };
        let reset = Duration::from_secs_f64((missing / self.rate).clamp(0.0, 1e9));
        let elapsed = now.saturating_duration_since(self.at);
        let reset_s = reset.saturating_sub(elapsed).as_secs_f64().ceil().max(1.0) as u64;
        RateStatus { limit, remaining: self.tokens.max(0.0) as u64, reset_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// A bucket of `limit` events in a second, on this many nodes.
    fn bucket(limit: u64, nodes: usize) -> (TokenBucket, Instant) {
        let now = clock::monotonic();
        let mut bucket = TokenBucket::full(now);
        bucket.set_rate(limit, nodes, now);
        (bucket, now)
    }

    #[test]
    fn a_rate_holds_on_average_whatever_the_size_of_batches() {
        for (limit, nodes, batch) in [(10, 1, 1), (10, 1, 7), (10, 1, 100), (1, 3, 1), (100_000, 2, 10_000)] {
            let (mut bucket, begin) = bucket(limit, nodes);
            let mut accepted = 0;
            for step in 0..60_000 {
                let now = begin + Duration::from_millis(step);
                if bucket.take(batch, now) {
                    accepted += batch;
                }
            }
            let share = limit * 60 / nodes as u64;
            let accepted = accepted as u64;
            assert!(accepted >= share.saturating_sub(batch as u64), "{accepted} of {share}");
            assert!(accepted <= share + limit + batch as u64 + 1, "{accepted} of {share}");
        }
    }

    #[test]
    fn it_is_told_when_another_event_may_be_published() {
        let (mut bucket, now) = bucket(10, 1);
        assert_eq!(bucket.status(10, now), RateStatus { limit: 10, remaining: 10, reset_s: 1 });
        assert!(bucket.take(4, now));
        assert_eq!(bucket.status(10, now), RateStatus { limit: 10, remaining: 6, reset_s: 1 });
        assert!(bucket.take(30, now), "a batch may be larger than the rate");
        let status = bucket.status(10, now);
        assert_eq!((status.remaining, status.reset_s), (0, 3));
        for (after_ms, taken) in [(0, false), (2_400, false), (2_501, true), (2_502, false)] {
            assert_eq!(bucket.take(1, now + Duration::from_millis(after_ms)), taken, "{after_ms}");
        }
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let (mut bucket, now) = bucket(1_000, 1);
        bucket.set_rate(5, 1, now);
        assert_eq!(bucket.status(5, now).remaining, 5);
        assert!(bucket.take(5, now) && !bucket.take(1, now));
        bucket.set_rate(1_000, 1, now);
        assert!(!bucket.take(1, now), "a higher one gives no burst");
        assert!(bucket.take(1, now + Duration::from_millis(2)));
    }
}
