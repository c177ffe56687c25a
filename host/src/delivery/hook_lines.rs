//! Limits the log lines about hooks, so that a hook whose receiver fails neither floods the log nor hides what is said of others.
//!
//! In each interval a hook has [`OF_HOOK`] lines, and all hooks together have [`OF_ALL`]. What is beyond is counted, and at the
//! end of the interval one line says how much there was of each hook.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio_util::sync::CancellationToken;

use super::reason::reason;
use super::work::Work;
use crate::domain::{Hook, HookId, Outcome, TenantId};

const INTERVAL: Duration = Duration::from_secs(10);
/// How many lines a hook has in an interval.
const OF_HOOK: u32 = 5;
/// How many lines all hooks have, and of how many hooks is said what was left out.
const OF_ALL: u32 = 100;
/// How many hooks are told apart in an interval.
const MAX_HOOKS: usize = 10_000;

/// The limit of this process.
static LINES: HookLines = HookLines::new();

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A delivery is exhausted.
    Exhausted,
    /// The state of the hook changed.
    State,
}

/// Whether a line about `hook` may be logged now. Otherwise it is counted.
pub(super) fn permit(hook: &Hook, about: About) -> bool {
    LINES.permit(hook.tenant, hook.id, about)
}

/// Logs that a delivery is exhausted.
pub(super) fn log_exhausted(hook: &Hook, work: &Work, outcome: &Outcome) {
    if !permit(hook, About::Exhausted) {
        return;
    }
    let (delivery, event, attempt) = (work.delivery, work.event.key, work.attempts + 1);
    let (outcome, reason) = (outcome.as_str(), reason(outcome));
    tracing::warn!(tenant = %hook.tenant, hook = %hook.id, %delivery, %event, attempt, outcome, reason, "a delivery is exhausted");
}

/// Logs from time to time what was left out, until `stop`.
pub async fn report_left_out(stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        log_left_out();
    }
}

/// Logs what was left out since the last time.
pub fn log_left_out() {
    LINES.next_interval().log();
}

#[derive(Debug)]
struct HookLines(Mutex<Option<Interval>>);

#[derive(Debug, Default)]
struct Interval {
    lines: u32,
    hooks: FxHashMap<HookId, OfHook>,
    /// Of hooks that are not told apart.
    of_others: LeftOut,
}

#[derive(Debug)]
struct OfHook {
    tenant: TenantId,
    lines: u32,
    left_out: LeftOut,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct LeftOut {
    exhausted: u64,
    changes: u64,
}

impl HookLines {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn interval(&self) -> MutexGuard<'_, Option<Interval>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(&self, tenant: TenantId, hook: HookId, about: About) -> bool {
        let mut interval = self.interval();
        let Interval { lines, hooks, of_others } = interval.get_or_insert_default();
        if hooks.len() >= MAX_HOOKS && !hooks.contains_key(&hook) {
            of_others.add(about);
            return false;
        }
        let new = || OfHook { tenant, lines: 0, left_out: LeftOut::default() };
        let of_hook = hooks.entry(hook).or_insert_with(new);
        if *lines >= OF_ALL || of_hook.lines >= OF_HOOK {
            of_hook.left_out.add(about);
            return false;
        }
        *lines += 1;
        of_hook.lines += 1;
        true
    }

    /// Ends the interval.
    fn next_interval(&self) -> Interval {
        self.interval().take().unwrap_or_default()
    }
}

impl LeftOut {
    fn add(&mut self, about: About) {
        match about {
            About::Exhausted => self.exhausted += 1,
            About::State => self.changes += 1,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { exhausted: self.exhausted + other.exhausted, changes: self.changes + other.changes }
    }
}

impl Interval {
    /// What was left out of the hooks with the most, and of all others.
    fn left_out(self) -> (Vec<(TenantId, HookId, LeftOut)>, LeftOut) {
        let hooks = self.hooks.into_iter().map(|(hook, of_hook)| (of_hook.tenant, hook, of_hook.left_out));
        let mut hooks: Vec<_> = hooks.filter(|(.., left_out)| *left_out != LeftOut::default()).collect();
        hooks.sort_unstable_by_key(|(_, hook, left_out)| {
            (std::cmp::Reverse(left_out.exhausted + left_out.changes), *hook)
        });
        let further = hooks.split_off(hooks.len().min(OF_ALL as usize));
        let others = further.into_iter().fold(self.of_others, |sum, (.., left_out)| sum.plus(left_out));
        (hooks, others)
    }

    fn log(self) {
        let (hooks, LeftOut { exhausted, changes }) = self.left_out();
        for (tenant, hook, LeftOut { exhausted, changes }) in hooks {
            tracing::warn!(%tenant, %hook, exhausted, changes, "more deliveries of a hook are exhausted, or its state changed more often, than was logged");
        }
        if exhausted + changes > 0 {
            tracing::warn!(
                exhausted,
                changes,
                "deliveries of further hooks are exhausted, or their states changed"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(lines: &HookLines, hook: i64, times: u32) -> u32 {
        let permit = |_: &u32| lines.permit(TenantId(1), HookId(hook), About::Exhausted);
        u32::try_from((0..times).filter(permit).count()).unwrap()
    }

    #[test]
    fn a_hook_has_few_lines_and_the_rest_is_counted() {
        let lines = HookLines::new();
        assert_eq!(permitted(&lines, 7, 160), OF_HOOK);
        assert_eq!(permitted(&lines, 8, 1), 1, "another hook is not hidden");
        assert!(!lines.permit(TenantId(1), HookId(7), About::State));
        let (hooks, others) = lines.next_interval().left_out();
        assert_eq!(hooks, [(TenantId(1), HookId(7), LeftOut { exhausted: 155, changes: 1 })]);
        assert_eq!(others, LeftOut::default());
        assert_eq!(permitted(&lines, 7, 1), 1, "in the next interval");
    }

    #[test]
    fn all_hooks_together_have_a_bounded_number_of_lines() {
        let lines = HookLines::new();
        let all = i64::try_from(MAX_HOOKS).unwrap() + 50;
        let logged: u32 = (0..all).map(|hook| permitted(&lines, hook, 2)).sum();
        assert_eq!(logged, OF_ALL);
        let (hooks, others) = lines.next_interval().left_out();
        assert_eq!(hooks.len(), OF_ALL as usize);
        let counted: u64 = hooks.iter().map(|(.., left_out)| left_out.exhausted).sum();
        let rest = u64::try_from(2 * all).unwrap() - u64::from(logged);
        assert_eq!(counted + others.exhausted, rest, "nothing is lost");
    }
}
