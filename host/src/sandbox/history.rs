//! What is known of who runs long: which lane work waits in, and how long a plugin that reaches its limits waits between
//! its turns.
//!
//! A call cannot be moved to another thread once it runs, so work whose calls are long must not start where short calls
//! are waiting. Nothing is declared: each source starts in the quick lane, a call that is not over after a slice
//! is stopped there and started again in the long lane (calls have no effects, so that is not seen), and the source stays there
//! until its calls are short again. Only sources with such a past are remembered, so the usual call costs a look into
//! an empty map.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

use super::types::Source;

/// A call that takes more processor time than this is a long one.
pub(super) const LONG: Duration = Duration::from_millis(5);
/// What a call in the quick lane is expected to take.
const USUAL: Duration = Duration::from_micros(50);
/// After so much time without a long call what is expected of a source halves, and a strike is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// A source's calls are expected to take 7/8 of the last expectation, or what the last one took if that is more.
const DECAY: (u32, u32) = (7, 8);
/// A pause doubles with each strike up to this one.
const MAX_STRIKES: u32 = 6;
/// The longest pause between two turns of a source.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// A tenant may have so many calls stopped in the quick lane in a row; then sources that are not known go to the long
/// lane. One is given back each [`FORGIVEN_EVERY`].
const MAX_OVERRUNS: u32 = 8;
const FORGIVEN_EVERY: Duration = Duration::from_secs(2);
/// So many sources and tenants are remembered.
const MAX_REMEMBERED: usize = 16_384;

/// Where work waits. Each lane has threads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// For calls that are over within a slice.
    Quick,
    /// For calls that take longer.
    Long,
    /// For plugins that keep reaching their limits.
    Penalised,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Quick, Self::Long, Self::Penalised];
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// It was stopped in the quick lane.
    Overran,
    /// The plugin used up its time, fuel or memory.
    AtALimit,
}

/// Where work of a source goes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) lane: Lane,
    /// What a turn is expected to cost.
    pub(super) expected: Duration,
    /// Not before this.
    pub(super) not_before: Option<Instant>,
}

const UNKNOWN: Placement = Placement { lane: Lane::Quick, expected: USUAL, not_before: None };

/// See the module's head.
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
    /// Where work of `source` goes.
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

    /// Takes note of a turn. Answers whether other work of the source, or of the tenant, may belong elsewhere now.
    pub(super) fn took(
        &mut self,
        tenant: TenantId,
        source: Source,
        cost: Duration,
        ended: Ended,
        now: Instant,
    ) -> bool {
        let is_long = cost > LONG || ended != Ended::Well;
        if !is_long && self.sources.is_empty() {
            return false;
        }
        let mut moved = self.note_source(tenant, source, cost, ended, now);
        if ended == Ended::Overran {
            moved |= self.note_overrun(tenant, now);
        }
        moved
    }

    fn note_source(
        &mut self,
        tenant: TenantId,
        source: Source,
        cost: Duration,
        ended: Ended,
        now: Instant,
    ) -> bool {
        let key = (tenant, source);
        let is_long = cost > LONG || ended != Ended::Well;
        if !self.sources.contains_key(&key) {
            if !is_long {
                return false;
            }
            self.make_room(now);
        }
        let record = self.sources.entry(key).or_insert_with(|| Record::new(now));
        let before = record.placement(now).map_or(Lane::Quick, |placement| placement.lane);
        record.take_in(cost, ended, now);
        match record.placement(now) {
            Some(placement) => placement.lane != before || placement.not_before.is_some(),
            None => {
                self.sources.remove(&key);
                before != Lane::Quick
            }
        }
    }

    /// Answers whether this was one too many.
    fn note_overrun(&mut self, tenant: TenantId, now: Instant) -> bool {
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
        // All of them run long: the one that was seen least recently starts anew.
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

    /// What is expected and how many strikes are left after some quiet time.
    fn after(&self, now: Instant) -> (Duration, u32) {
        let quiet = now.saturating_duration_since(self.seen).as_millis() / HALF_LIFE.as_millis();
        let halvings = u32::try_from(quiet).unwrap_or(u32::MAX);
        let expected = if halvings >= 32 { Duration::ZERO } else { self.expected / (1 << halvings) };
        (expected, self.strikes.saturating_sub(halvings))
    }

    /// None: it is like any other.
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

    fn take_in(&mut self, cost: Duration, ended: Ended, now: Instant) {
        let (expected, strikes) = self.after(now);
        let (parts, of) = DECAY;
        self.expected = cost.max(expected / of * parts);
        if ended == Ended::Overran {
            self.expected = self.expected.max(LONG * 2);
        }
        self.strikes = match ended {
            Ended::AtALimit => (strikes + 1).min(MAX_STRIKES),
            Ended::Well => strikes.saturating_sub(1),
            Ended::Overran => strikes,
        };
        self.not_before = match ended {
            Ended::AtALimit => Some(now + (cost * ((1 << self.strikes) - 1)).min(MAX_PAUSE)),
            Ended::Well | Ended::Overran => None,
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
    use crate::domain::HookId;

    const TENANT: TenantId = TenantId(1);
    const SOURCE: Source = Source::Hook(HookId(1));
    const CALL: Duration = Duration::from_millis(500);

    fn ran_into_its_limit(times: u32, now: Instant) -> History {
        let mut history = History::default();
        history.took(TENANT, SOURCE, LONG, Ended::Overran, now);
        for _ in 0..times {
            history.took(TENANT, SOURCE, CALL, Ended::AtALimit, now);
        }
        history
    }

    #[test]
    fn who_runs_long_goes_to_the_long_lane_and_comes_back() {
        let now = Instant::now();
        let mut history = History::default();
        assert_eq!(history.place(TENANT, SOURCE, now), UNKNOWN);
        assert!(history.took(TENANT, SOURCE, LONG, Ended::Overran, now));
        assert_eq!(history.place(TENANT, SOURCE, now).lane, Lane::Long);
        assert_eq!(history.place(TENANT, Source::DryRun, now), UNKNOWN, "another source of the tenant");
        history.took(TENANT, SOURCE, CALL, Ended::Well, now);
        assert_eq!(history.place(TENANT, SOURCE, now).expected, CALL);
        let calls = (1..).find(|_| history.took(TENANT, SOURCE, USUAL, Ended::Well, now)).unwrap();
        assert!((20..60).contains(&calls), "{calls} short calls");
        assert_eq!(history.place(TENANT, SOURCE, now), UNKNOWN);
        assert!(history.sources.is_empty());
    }

    #[test]
    fn pauses_double_with_each_strike_and_shrink_with_each_good_call() {
        let now = Instant::now();
        let pause = |history: &History| {
            history.place(TENANT, SOURCE, now).not_before.map(|at| at.duration_since(now).as_millis())
        };
        let pauses: Vec<_> = (0..=7).map(|times| pause(&ran_into_its_limit(times, now))).collect();
        let expected = [None, Some(500), Some(1_500), Some(3_500), Some(7_500), Some(10_000), Some(10_000)];
        assert_eq!(pauses[..7], expected);
        assert_eq!(pauses[7], Some(10_000), "the longest pause");
        let mut history = ran_into_its_limit(3, now);
        history.took(TENANT, SOURCE, CALL, Ended::Well, now);
        assert_eq!(pause(&history), None);
        assert_eq!(history.place(TENANT, SOURCE, now).lane, Lane::Penalised);
        history.took(TENANT, SOURCE, CALL, Ended::AtALimit, now);
        assert_eq!(pause(&history), Some(3_500));
        for _ in 0..3 {
            history.took(TENANT, SOURCE, CALL, Ended::Well, now);
        }
        assert_eq!(history.place(TENANT, SOURCE, now).lane, Lane::Long);
    }

    #[test]
    fn time_heals() {
        let now = Instant::now();
        let history = ran_into_its_limit(2, now);
        for (seconds, lane) in
            [(9, Lane::Penalised), (19, Lane::Penalised), (21, Lane::Long), (80, Lane::Quick)]
        {
            let later = now + Duration::from_secs(seconds);
            assert_eq!(history.place(TENANT, SOURCE, later).lane, lane, "after {seconds} s");
        }
    }

    #[test]
    fn a_tenant_cannot_overrun_with_ever_new_hooks() {
        let now = Instant::now();
        let mut history = History::default();
        let hook = |number| Source::Hook(HookId(number));
        for number in 0..i64::from(MAX_OVERRUNS) {
            assert_eq!(history.place(TENANT, hook(number), now).lane, Lane::Quick, "{number}");
            history.took(TENANT, hook(number), LONG, Ended::Overran, now);
        }
        assert_eq!(history.place(TENANT, hook(100), now).lane, Lane::Long);
        assert_eq!(history.place(TenantId(2), hook(200), now), UNKNOWN, "another tenant");
        let later = now + FORGIVEN_EVERY;
        assert_eq!(history.place(TENANT, hook(100), later).lane, Lane::Quick);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut history = History::default();
        for number in 0..i64::try_from(MAX_REMEMBERED).unwrap() + 10 {
            let at = now + Duration::from_nanos(number.unsigned_abs());
            history.took(TenantId(number), Source::Hook(HookId(number)), CALL, Ended::Overran, at);
        }
        assert!(history.sources.len() <= MAX_REMEMBERED && history.tenants.len() <= MAX_REMEMBERED + 10);
    }
}
