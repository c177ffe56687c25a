//! Selects the lane for work from the past cost of its source, and delays sources whose plugins keep hitting limits.
//!
//! A running call cannot move to another thread, so long calls must not start on threads for short calls. Each source
//! starts in the quick lane. A call that exceeds its slice is stopped and repeated in the long lane, which is not
//! visible because calls have no side effects. The source stays in the long lane until its calls are short again. Only
//! sources with long calls are remembered, so the common case is one look-up in an empty map.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

use super::types::Source;

/// A call that takes more CPU time than this is long.
pub(super) const LONG: Duration = Duration::from_millis(5);
/// Expected CPU time of a call in the quick lane.
const SHORT_RUN: Duration = Duration::from_micros(50);
/// Time without a long call after which the expected cost of a source halves and it loses one strike.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// The next expected cost is 7/8 of the last expected cost, or the last cost if that is greater.
const DECAY: (u32, u32) = (7, 8);
/// The pause doubles with each strike, up to this number of strikes.
const MAX_STRIKES: u32 = 6;
/// Longest pause between two runs of a source.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// After this number of overruns in the quick lane, unknown sources of the tenant start in the long lane. One overrun
/// is forgiven every [`FORGIVEN_EVERY`].
const MAX_OVERRUNS: u32 = 8;
const FORGIVEN_EVERY: Duration = Duration::from_secs(2);
/// Maximum number of remembered sources, and of tenants.
const MAX_REMEMBERED: usize = 16_384;

/// A queue with its own threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// For calls that end within a slice.
    Quick,
    /// For longer calls.
    Long,
    /// For plugins that keep hitting their limits.
    Penalised,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Quick, Self::Long, Self::Penalised];
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunEnd {
    Completed,
    /// It was stopped after its slice in the quick lane.
    Overran,
    /// The plugin used up its CPU time, fuel or memory.
    HitLimit,
}

/// Where new work of a source waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) lane: Lane,
    /// Expected cost of its next run.
    pub(super) expected: Duration,
    /// Earliest start.
    pub(super) not_before: Option<Instant>,
}

const UNKNOWN: Placement = Placement { lane: Lane::Quick, expected: SHORT_RUN, not_before: None };

/// Past cost of sources and tenants.
#[derive(Default)]
pub(super) struct History {
    sources: HashMap<(TenantId, Source), Record>,
    tenants: HashMap<TenantId, Overruns>,
}

struct Record {
    expected: Duration,
    strikes: u32,
    not_before: Option<Instant>,
    seen: Instant,
}

struct Overruns {
    count: u32,
    since: Instant,
}

impl History {
    /// Returns where new work of `source` waits.
    pub(super) fn place(&self, tenant: TenantId, source: Source, now: Instant) -> Placement {
        if self.sources.is_empty() && self.tenants.is_empty() {
            return UNKNOWN;
        }
        if let Some(record) = self.sources.get(&(tenant, source))
            && let Some(placement) = record.placement(now)
        {
            return placement;
        }
        match self.tenants.get(&tenant) {
            Some(overruns) if overruns.left(now) >= MAX_OVERRUNS => {
                Placement { lane: Lane::Long, expected: LONG, ..UNKNOWN }
            }
            _ => UNKNOWN,
        }
    }

    /// Records a run. Returns whether waiting work of the source or the tenant may have to move.
    pub(super) fn record(
        &mut self,
        tenant: TenantId,
        source: Source,
        cost: Duration,
        ended: RunEnd,
        now: Instant,
    ) -> bool {
        let is_long = cost > LONG || ended != RunEnd::Completed;
        if !is_long && self.sources.is_empty() {
            return false;
        }
        let mut moved = self.record_source(tenant, source, cost, ended, now);
        if ended == RunEnd::Overran {
            moved |= self.record_overrun(tenant, now);
        }
        moved
    }

    fn record_source(
        &mut self,
        tenant: TenantId,
        source: Source,
        cost: Duration,
        ended: RunEnd,
        now: Instant,
    ) -> bool {
        let key = (tenant, source);
        let is_long = cost > LONG || ended != RunEnd::Completed;
        if !self.sources.contains_key(&key) {
            if !is_long {
                return false;
            }
            self.make_room(now);
        }
        let record = self.sources.entry(key).or_insert_with(|| Record::new(now));
        let before = record.placement(now).map_or(Lane::Quick, |placement| placement.lane);
        record.update(cost, ended, now);
        match record.placement(now) {
            Some(placement) => placement.lane != before || placement.not_before.is_some(),
            None => {
                self.sources.remove(&key);
                before != Lane::Quick
            }
        }
    }

    /// Returns whether the tenant has reached [`MAX_OVERRUNS`].
    fn record_overrun(&mut self, tenant: TenantId, now: Instant) -> bool {
        if self.tenants.len() >= MAX_REMEMBERED {
            self.tenants.retain(|_, overruns| overruns.left(now) > 0);
        }
        let overruns = self.tenants.entry(tenant).or_insert(Overruns { count: 0, since: now });
        *overruns =
            Overruns { count: overruns.left(now).saturating_add(1).min(2 * MAX_OVERRUNS), since: now };
        overruns.count >= MAX_OVERRUNS
    }

    fn make_room(&mut self, now: Instant) {
        if self.sources.len() < MAX_REMEMBERED {
            return;
        }
        self.sources.retain(|_, record| record.placement(now).is_some());
        if self.sources.len() < MAX_REMEMBERED {
            return;
        }
        // All sources have long calls: forget the least recently used one.
        let oldest = self.sources.iter().min_by_key(|(_, record)| record.seen).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.sources.remove(&oldest);
        }
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { expected: Duration::ZERO, strikes: 0, not_before: None, seen: now }
    }

    /// Returns the expected cost and the strikes that remain after the quiet time since the last run.
    fn after(&self, now: Instant) -> (Duration, u32) {
        let quiet = now.saturating_duration_since(self.seen).as_millis() / HALF_LIFE.as_millis();
        let halvings = u32::try_from(quiet).unwrap_or(u32::MAX);
        let expected = if halvings >= 32 { Duration::ZERO } else { self.expected / (1 << halvings) };
        (expected, self.strikes.saturating_sub(halvings))
    }

    /// Returns `None` if the source needs no special treatment.
    fn placement(&self, now: Instant) -> Option<Placement> {
        let (expected, strikes) = self.after(now);
        let not_before = self.not_before.filter(|at| *at > now && strikes > 0);
        let lane = match strikes {
            0 if expected > LONG => Lane::Long,
            0 => return None,
            _ => Lane::Penalised,
        };
        Some(Placement { lane, expected, not_before })
    }

    fn update(&mut self, cost: Duration, ended: RunEnd, now: Instant) {
        let (expected, strikes) = self.after(now);
        let (parts, of) = DECAY;
        self.expected = cost.max(expected / of * parts);
        if ended == RunEnd::Overran {
            self.expected = self.expected.max(LONG * 2);
        }
        self.strikes = match ended {
            RunEnd::HitLimit => (strikes + 1).min(MAX_STRIKES),
            RunEnd::Completed => strikes.saturating_sub(1),
            RunEnd::Overran => strikes,
        };
        self.not_before = match ended {
            RunEnd::HitLimit => Some(now + (cost * ((1 << self.strikes) - 1)).min(MAX_PAUSE)),
            RunEnd::Completed | RunEnd::Overran => None,
        };
        self.seen = now;
    }
}

impl Overruns {
    fn left(&self, now: Instant) -> u32 {
        let forgiven = now.saturating_duration_since(self.since).as_millis() / FORGIVEN_EVERY.as_millis();
        self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::domain::HookId;

    const TENANT: TenantId = TenantId(1);
    const SOURCE: Source = Source::Hook(HookId(1));
    const CALL: Duration = Duration::from_millis(500);

    fn after_limit_hits(times: u32, now: Instant) -> History {
        let mut history = History::default();
        history.record(TENANT, SOURCE, LONG, RunEnd::Overran, now);
        for _ in 0..times {
            history.record(TENANT, SOURCE, CALL, RunEnd::HitLimit, now);
        }
        history
    }

    #[test]
    fn a_source_with_long_calls_moves_to_the_long_lane_and_back() {
        let now = clock::monotonic();
        let mut history = History::default();
        assert_eq!(history.place(TENANT, SOURCE, now), UNKNOWN);
        assert!(history.record(TENANT, SOURCE, LONG, RunEnd::Overran, now));
        assert_eq!(history.place(TENANT, SOURCE, now).lane, Lane::Long);
        assert_eq!(history.place(TENANT, Source::DryRun, now), UNKNOWN, "another source of the tenant");
        history.record(TENANT, SOURCE, CALL, RunEnd::Completed, now);
        assert_eq!(history.place(TENANT, SOURCE, now).expected, CALL);
        let calls =
            (1..).find(|_| history.record(TENANT, SOURCE, SHORT_RUN, RunEnd::Completed, now)).unwrap();
        assert!((20..60).contains(&calls), "{calls} short calls");
        assert_eq!(history.place(TENANT, SOURCE, now), UNKNOWN);
        assert!(history.sources.is_empty());
    }

    #[test]
    fn pauses_double_with_each_strike_and_shrink_with_each_completed_call() {
        let now = clock::monotonic();
        let pause = |history: &History| {
            history.place(TENANT, SOURCE, now).not_before.map(|at| at.duration_since(now).as_millis())
        };
        let pauses: Vec<_> = (0..=7).map(|times| pause(&after_limit_hits(times, now))).collect();
        let expected = [None, Some(500), Some(1_500), Some(3_500), Some(7_500), Some(10_000), Some(10_000)];
        assert_eq!(pauses[..7], expected);
        assert_eq!(pauses[7], Some(10_000), "the longest pause");
        let mut history = after_limit_hits(3, now);
        history.record(TENANT, SOURCE, CALL, RunEnd::Completed, now);
        assert_eq!(pause(&history), None);
        assert_eq!(history.place(TENANT, SOURCE, now).lane, Lane::Penalised);
        history.record(TENANT, SOURCE, CALL, RunEnd::HitLimit, now);
        assert_eq!(pause(&history), Some(3_500));
        for _ in 0..3 {
            history.record(TENANT, SOURCE, CALL, RunEnd::Completed, now);
        }
        assert_eq!(history.place(TENANT, SOURCE, now).lane, Lane::Long);
    }

    #[test]
    fn strikes_are_forgotten_over_time() {
        let now = clock::monotonic();
        let history = after_limit_hits(2, now);
        for (seconds, lane) in
            [(9, Lane::Penalised), (19, Lane::Penalised), (21, Lane::Long), (80, Lane::Quick)]
        {
            let later = now + Duration::from_secs(seconds);
            assert_eq!(history.place(TENANT, SOURCE, later).lane, lane, "after {seconds} s");
        }
    }

    #[test]
    fn a_tenant_cannot_avoid_the_long_lane_with_new_hooks() {
        let now = clock::monotonic();
        let mut history = History::default();
        let hook = |number| Source::Hook(HookId(number));
        for number in 0..i64::from(MAX_OVERRUNS) {
            assert_eq!(history.place(TENANT, hook(number), now).lane, Lane::Quick, "{number}");
            history.record(TENANT, hook(number), LONG, RunEnd::Overran, now);
        }
        assert_eq!(history.place(TENANT, hook(100), now).lane, Lane::Long);
        assert_eq!(history.place(TenantId(2), hook(200), now), UNKNOWN, "another tenant");
        let later = now + FORGIVEN_EVERY;
        assert_eq!(history.place(TENANT, hook(100), later).lane, Lane::Quick);
    }

    #[test]
    fn the_history_is_bounded() {
        let now = clock::monotonic();
        let mut history = History::default();
        for number in 0..i64::try_from(MAX_REMEMBERED).unwrap() + 10 {
            let at = now + Duration::from_nanos(number.unsigned_abs());
            history.record(TenantId(number), Source::Hook(HookId(number)), CALL, RunEnd::Overran, at);
        }
        assert!(history.sources.len() <= MAX_REMEMBERED && history.tenants.len() <= MAX_REMEMBERED + 10);
    }
}
