//! Jobs: work on many deliveries, done step by step in the background.

use std::fmt;
use std::str::FromStr;

use super::attempt::named_enum;
use super::{
    DeliveryFilter, DeliveryId, DeliveryState, EventKey, EventType, Hook, HookId, Invalid, JobId, KeyId,
    Pipeline, TenantId, TypePattern, UnixMillis,
};

named_enum! {
    /// State of a job.
    JobState {
        /// It makes progress, or waits for deliveries that it made.
        Running = "running",
        /// It makes no progress until it is resumed.
        Paused = "paused",
        /// Everything is examined.
        Completed = "completed",
        /// It was cancelled. What it made stays.
        Cancelled = "cancelled",
        /// It cannot go on.
        Failed = "failed",
    }
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Completed, Self::Cancelled, Self::Failed];

    /// Whether the job makes no further progress.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }

    /// The states from which a client may move a job into this one.
    #[must_use]
    pub fn reached_from(self) -> &'static [Self] {
        match self {
            Self::Running => &[Self::Paused],
            Self::Paused => &[Self::Running],
            Self::Cancelled => &[Self::Running, Self::Paused],
            Self::Completed | Self::Failed => &[],
        }
    }
}

/// How many deliveries a job makes due, in 1,000 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobRate(u32);

impl JobRate {
    /// The least rate in a second.
    pub const MIN: f64 = 0.1;
    /// The greatest rate in a second.
    pub const MAX: f64 = 10_000.0;
    /// The rate of a job that names none: 500 in a second.
    pub const DEFAULT: Self = Self(500_000);

    /// A rate in a second.
    ///
    /// # Errors
    /// If it is not from 0.1 to 10,000.
    pub fn per_second(rate: f64) -> Result<Self, Invalid> {
        if !(Self::MIN..=Self::MAX).contains(&rate) {
            return Err(Invalid::new(
                "the rate of a job is a number from 0.1 to 10000, in deliveries per second",
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 100 to 10,000,000"
        )]
        Ok(Self((rate * 1_000.0).round() as u32))
    }

    /// A rate from its number, which [`Self::in_1000_seconds`] returned.
    #[must_use]
    pub fn from_1000_seconds(number: u32) -> Self {
        Self(number.max(1))
    }

    /// How many in 1,000 seconds.
    #[must_use]
    pub fn in_1000_seconds(self) -> u32 {
        self.0
    }

    /// How many in a second.
    #[must_use]
    pub fn in_a_second(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }

    /// How long `count` deliveries take, in milliseconds.
    #[must_use]
    pub fn millis_for(self, count: u64) -> u64 {
        count.saturating_mul(1_000_000) / u64::from(self.0)
    }
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobWork {
    /// Sends stored events to a hook.
    Replay(Replay),
    /// Makes deliveries due again.
    Retry(DeliveryFilter),
    /// Cancels deliveries.
    Cancel(DeliveryFilter),
}

impl JobWork {
    /// The names of the kinds of work.
    pub const KINDS: &'static [&'static str] = &["replay", "retry", "cancel"];

    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Replay(_) => "replay",
            Self::Retry(_) => "retry",
            Self::Cancel(_) => "cancel",
        }
    }

    /// The only hook that it is about, if there is one.
    #[must_use]
    pub fn hook(&self) -> Option<HookId> {
        match self {
            Self::Replay(replay) => Some(replay.hook),
            Self::Retry(filter) | Self::Cancel(filter) => filter.hook,
        }
    }

    /// The number of the event or delivery before the first that it examines.
    #[must_use]
    pub fn start(&self) -> i64 {
        match self {
            Self::Replay(replay) => EventKey::first_at(replay.since).0 - 1,
            Self::Retry(filter) | Self::Cancel(filter) => {
                filter.since.map_or(0, |since| DeliveryId::first_at(since).0 - 1)
            }
        }
    }
}

/// Which stored events are sent to a hook: those that it subscribes to, and that meet all conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The hook.
    pub hook: HookId,
    /// Accepted at this time or later.
    pub since: UnixMillis,
    /// Accepted before this time.
    pub until: UnixMillis,
    /// Of one of these types; empty: of any.
    pub types: Vec<TypePattern>,
    /// The newest delivery of the event for the hook is in one of these states, which are final.
    pub states: Vec<DeliveryState>,
    /// Or the event has no delivery for the hook.
    pub missed: bool,
    /// The pipeline that runs instead of the hook's. A job that is read from storage has no settings in it: they are sealed,
    /// and read with the deliveries that it made.
    pub pipeline: Option<Pipeline>,
}

impl Replay {
    /// Whether `hook` wants an event of this type and project again.
    #[must_use]
    pub fn wants_event(&self, hook: &Hook, event_type: &EventType, project: Option<i64>) -> bool {
        hook.wants(event_type, project)
            && (self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type)))
    }

    /// Whether an event is wanted whose newest delivery for the hook is in state `former`. What is not final is sent in any
    /// case.
    #[must_use]
    pub fn wants_former(&self, former: Option<DeliveryState>) -> bool {
        let all = self.states.is_empty() && !self.missed;
        match former {
            None => all || self.missed,
            Some(state) => state.is_final() && (all || self.states.contains(&state)),
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// What it does.
    pub work: JobWork,
    /// How many deliveries it makes due, at most.
    pub rate: JobRate,
    /// The key that started it. `None`: the operator's.
    pub started_by: Option<KeyId>,
    /// Its state.
    pub state: JobState,
    /// Why it failed.
    pub reason: Option<String>,
    /// How far it is.
    pub progress: JobProgress,
    /// When it ended.
    pub finished_at: Option<UnixMillis>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobProgress {
    /// The number of the last event or delivery that was examined.
    pub examined_to: i64,
    /// How many were examined: events that the hook subscribes to, or deliveries.
    pub examined: u64,
    /// How many deliveries were made, retried or cancelled.
    pub made: u64,
    /// No delivery that it makes is due before.
    pub next_due_at: UnixMillis,
    /// Of the deliveries that it made last, those that may not have been attempted yet.
    pub outstanding: Vec<DeliveryId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_deliveries_are_chosen_by_state() {
        use DeliveryState::*;
        let replay = |states: &[DeliveryState], missed| Replay {
            hook: HookId(1),
            since: UnixMillis(0),
            until: UnixMillis(1),
            types: Vec::new(),
            states: states.to_vec(),
            missed,
            pipeline: None,
        };
        for (states, missed, wanted) in [
            (
                &[] as &[_],
                false,
                vec![None, Some(Succeeded), Some(Exhausted), Some(Dropped), Some(Cancelled)],
            ),
            (&[], true, vec![None]),
            (&[Exhausted], false, vec![Some(Exhausted)]),
            (&[Exhausted, Cancelled], true, vec![None, Some(Exhausted), Some(Cancelled)]),
        ] {
            let all = [None].into_iter().chain(DeliveryState::ALL.map(Some));
            let found: Vec<_> = all.filter(|former| replay(states, missed).wants_former(*former)).collect();
            assert_eq!(found, wanted, "{states:?} {missed}");
        }
    }

    #[test]
    fn rates_have_bounds() {
        for rate in [0.0, 0.09, 10_000.1, -1.0, f64::NAN, f64::INFINITY] {
            assert!(JobRate::per_second(rate).is_err(), "{rate}");
        }
        for (rate, count, millis) in
            [(0.1, 1, 10_000), (0.5, 3, 6_000), (50.0, 50, 1_000), (10_000.0, 200, 20)]
        {
            assert_eq!(JobRate::per_second(rate).unwrap().millis_for(count), millis, "{rate}");
        }
        assert!((JobRate::per_second(0.25).unwrap().in_a_second() - 0.25).abs() < 1e-9);
    }
}
