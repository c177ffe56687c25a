//! How a hook's events are sent together.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Invalid;
use super::attempt::named_enum;

/// Several events are sent in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// How many events one request has at most.
    pub max_events: usize,
    /// How long an event waits for others at most.
    pub max_wait: Duration,
    /// What the request is.
    pub format: BatchFormat,
}

named_enum! {
    /// What a request with several events is.
    BatchFormat {
        /// A JSON array of what the hook's pipeline writes for each event.
        Json = "json",
        /// A batch of CloudEvents (CloudEvents 1.0, HTTP protocol binding, section 3.3).
        CloudEvents = "cloudevents",
    }
}

impl BatchOptions {
    /// The least that `max_events` may be: one event needs no batch.
    pub const MIN_EVENTS: usize = 2;
    /// The most that `max_events` may be.
    pub const MAX_EVENTS: usize = 1_000;
    /// The most that `max_wait` may be.
    pub const MAX_WAIT: Duration = Duration::from_secs(60);
    /// The most that the bodies of a request have together, in bytes: below what common servers take. One that is larger
    /// is sent by itself.
    pub const MAX_BYTES: usize = 512 << 10;

    /// Checks the number of events.
    ///
    /// # Errors
    /// If it is not from 2 to 1,000.
    pub fn check_events(events: u64) -> Result<usize, Invalid> {
        let fits = |events: &usize| (Self::MIN_EVENTS..=Self::MAX_EVENTS).contains(events);
        usize::try_from(events).ok().filter(fits).ok_or_else(|| {
            Invalid::new(format!("a request has from {} to 1,000 events at most", Self::MIN_EVENTS))
        })
    }

    /// Checks the wait in milliseconds.
    ///
    /// # Errors
    /// If it is longer than a minute.
    pub fn check_wait(wait_ms: u64) -> Result<Duration, Invalid> {
        let wait = Duration::from_millis(wait_ms);
        if wait <= Self::MAX_WAIT {
            return Ok(wait);
        }
        Err(Invalid::new("an event waits for others for 60,000 ms at most"))
    }
}
