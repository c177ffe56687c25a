//! Typed identifiers.
//!
//! An id is a 63-bit number: 41 bits of milliseconds since 2020, 10 bits of node, 12 bits of sequence. It sorts by
//! time, so an index of ids grows at its end, and as an integer it serves as SQLite's row id. Its text is a prefix
//! and 13 digits in Crockford's base 32, lower case, which sort the same way: `evt_01m8rz4g3k2v7`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Invalid, NodeNumber, UnixMillis};

/// Epoch of ids: 2020-01-01T00:00:00Z. They last until 2089.
const EPOCH_MS: i64 = 1_577_836_800_000;
const NODE_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
/// Greatest timestamp that follows the clock. The range above it is reserved for ids that run ahead of the clock.
const LAST_MILLIS: i64 = (1 << 41) - (1 << 32);
const DIGITS: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Generates unique, ascending ids within a node.
#[derive(Debug)]
pub struct IdGenerator {
    /// Milliseconds and sequence of the last id, without its node.
    last: AtomicI64,
    /// Maximum timestamp of new ids, unless the last id has a greater one: see [`IdGenerator::set_ceiling`].
    ceiling: AtomicI64,
    node: i64,
}

impl IdGenerator {
    /// Creates a generator for `node` (0 to 1023) whose ids are greater than `after`.
    ///
    /// `after` is the greatest id that this node has stored, so that no id repeats if the clock was set back between
    /// two runs.
    #[must_use]
    pub fn new(node: u16, after: i64) -> Self {
        // The next millisecond is unused, whatever sequence number the stored id has.
        let free_millis = (after >> (NODE_BITS + SEQUENCE_BITS)) + 1;
        let last = AtomicI64::new(free_millis << SEQUENCE_BITS);
        Self { last, ceiling: AtomicI64::new(LAST_MILLIS), node: i64::from(node & 0x3ff) }
    }

    /// The node of the generated ids.
    #[must_use]
    pub fn node(&self) -> i64 {
        self.node
    }

    /// Limits the timestamps of new ids to `time`. Otherwise, a clock that is set far ahead by mistake would affect
    /// all later ids.
    pub fn set_ceiling(&self, time: UnixMillis) {
        self.ceiling.store((time.0 - EPOCH_MS).clamp(0, LAST_MILLIS), Ordering::Relaxed);
    }

    /// Returns the next id. Ids run ahead of the clock if more than 4,096 are generated in a millisecond.
    pub fn next_raw(&self, now: UnixMillis) -> i64 {
        let millis = (now.0 - EPOCH_MS).min(self.ceiling.load(Ordering::Relaxed));
        let floor = millis.max(0) << SEQUENCE_BITS;
        let advance = |last: i64| Some(floor.max(last + 1));
        let previous = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance).unwrap_or(floor);
        let ticket = floor.max(previous + 1);
        let (millis, sequence) = (ticket >> SEQUENCE_BITS, ticket & ((1 << SEQUENCE_BITS) - 1));
        (millis << (NODE_BITS + SEQUENCE_BITS)) | (self.node << SEQUENCE_BITS) | sequence
    }
}

fn encode(raw: i64, out: &mut [u8; DIGITS]) {
    let mut rest = raw.cast_unsigned();
    for digit in out.iter_mut().rev() {
        *digit = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
}

fn decode(text: &str) -> Option<i64> {
    if text.len() != DIGITS {
        return None;
    }
    let mut raw: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        raw = (raw << 5) | digit as u128;
    }
    i64::try_from(raw).ok()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// Prefix of the id's text.
            pub const PREFIX: &'static str = $prefix;

            /// Generates an id.
            pub fn generate(ids: &IdGenerator, now: UnixMillis) -> Self {
                Self(ids.next_raw(now))
            }

            /// When the id was generated, from its timestamp.
            #[must_use]
            pub fn created_at(self) -> UnixMillis {
                UnixMillis((self.0 >> (NODE_BITS + SEQUENCE_BITS)) + EPOCH_MS)
            }

            /// The id without its node: below 2^53, so every JSON parser represents it exactly. Ids of two nodes may
            /// have the same short form.
            #[must_use]
            pub fn short(self) -> i64 {
                let sequence = self.0 & ((1 << SEQUENCE_BITS) - 1);
                ((self.0 >> (NODE_BITS + SEQUENCE_BITS)) << SEQUENCE_BITS) | sequence
            }

            /// The id of `node` with this short form; `None` if the short form is out of range.
            #[must_use]
            pub fn from_short(short: i64, node: i64) -> Option<Self> {
                let (millis, sequence) = (short >> SEQUENCE_BITS, short & ((1 << SEQUENCE_BITS) - 1));
                let fits = (0..1 << 41).contains(&millis) && (0..1 << NODE_BITS).contains(&node);
                fits.then_some(Self((millis << (NODE_BITS + SEQUENCE_BITS)) | (node << SEQUENCE_BITS) | sequence))
            }

            /// The range of all nodes' ids with this short form, which are adjacent; `None` if it is out of range. Other ids
            /// of the same millisecond are in it, too.
            #[must_use]
            pub fn range_of_short(short: i64) -> Option<RangeInclusive<Self>> {
                Some(Self::from_short(short, 0)?..=Self::from_short(short, i64::from(NodeNumber::LAST.0))?)
            }

            /// The node that made the id.
            #[must_use]
            pub fn node(self) -> NodeNumber {
                NodeNumber(((self.0 >> SEQUENCE_BITS) & ((1 << NODE_BITS) - 1)) as u16)
            }

            /// The least possible id with the timestamp `time`, for filters by time.
            #[must_use]
            pub fn first_at(time: UnixMillis) -> Self {
                let millis = (time.0 - EPOCH_MS).clamp(0, (1 << 41) - 1);
                Self(millis << (NODE_BITS + SEQUENCE_BITS))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; DIGITS];
                encode(self.0, &mut digits);
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.strip_prefix($prefix)
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| Invalid::new(concat!("an id must have the form ", $prefix, "01m8rz4g3k2v7")))
            }
        }
    };
}

id!(
    /// A tenant.
    TenantId, "ten_"
);
id!(
    /// An API key; not the key itself.
    KeyId, "key_"
);
id!(
    /// A hook.
    HookId, "hook_"
);
id!(
    /// The engine's id of an event. [`super::EventId`] is the external id.
    EventKey, "evt_"
);
id!(
    /// A delivery.
    DeliveryId, "dlv_"
);
id!(
    /// An attempt of a delivery.
    AttemptId, "atp_"
);
id!(
    /// A job: work on many deliveries.
    JobId, "job_"
);
id!(
    /// A key of an operator; not the key itself.
    OperatorKeyId, "opk_"
);
id!(
    /// An entry of the audit log.
    AuditId, "aud_"
);

impl AttemptId {
    /// The id of the attempt under the lease with which a delivery is first stored. There is at most one, so it uses
    /// the number of the delivery, and storage finds it without an index. No other attempt has this number, because
    /// one generator numbers both.
    #[must_use]
    pub fn under_stored_lease(delivery: DeliveryId) -> Self {
        Self(delivery.0)
    }
}

#[cfg(test)]
mod tests;
