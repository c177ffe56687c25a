//! The workers, one for each of the [`Cores`], each with its own connections; and which of them makes an attempt.
//!
//! An attempt goes to its hook's own worker, so that a receiver with few requests needs one connection. A receiver with many
//! requests in flight has many connections anyway, so its attempts are made on the core where the attempt before, or a
//! client's request, has just ended. In both cases, a worker with far more attempts than another one gives way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::dispatcher::{AttemptPermit, StartAttempt};
use super::work::Work;
use super::worker::Worker;
use crate::cores::{self, Cores};
use crate::domain::HookId;

/// How many more attempts than the idlest worker another one may have before it gives way.
const MAX_LEAD: usize = 16;
/// From this many requests of a hook in flight, the next one is made on the core where it starts.
const MANY: usize = 8;

/// See the module's head.
pub struct Workers {
    cores: Arc<Cores>,
    workers: Vec<(Arc<Worker>, AttemptCount)>,
}

/// The number of attempts that a worker is making.
type AttemptCount = Arc<AtomicUsize>;

impl Workers {
    /// Creates the set of `workers`, one for each core.
    #[must_use]
    pub fn new(cores: Arc<Cores>, workers: impl Iterator<Item = Worker>) -> Self {
        let workers = workers.map(|worker| (Arc::new(worker), AttemptCount::default())).collect();
        Self { workers, cores }
    }
}

impl StartAttempt for Workers {
    fn start(&self, work: Work, of_hook: usize, permit: AttemptPermit, others: Vec<(Work, AttemptPermit)>) {
        let counts = self.workers.iter().map(|(_, count)| count.load(Relaxed));
        let number = choose(work.hook, of_hook, cores::here(), counts);
        let (worker, count) = &self.workers[number];
        let (worker, counted) = (Arc::clone(worker), Counted::new(count));
        // Boxed, because the runtime would move these 4 KB several times.
        let attempt = Box::pin(async move {
            let _counted = counted;
            worker.run(work, permit, others).await;
        });
        self.cores.runtimes()[number].spawn(attempt);
    }
}

/// The index of the worker for an attempt of `hook`, which has `of_hook` requests in flight. `here` is the current core, if
/// there is one; `counts` has the number of attempts of each worker, and is not empty.
fn choose(
    hook: HookId,
    of_hook: usize,
    here: Option<usize>,
    counts: impl ExactSizeIterator<Item = usize> + Clone,
) -> usize {
    // The lowest bits of ids are sequence numbers and mostly zero, so all bits are mixed (Fibonacci hashing).
    let mixed = hook.0.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let preferred = match here {
        Some(here) if of_hook >= MANY => here,
        _ => mixed as usize % counts.len(),
    };
    let (idlest, least) = counts.clone().enumerate().min_by_key(|(_, count)| *count).unwrap_or_default();
    match counts.clone().nth(preferred) {
        Some(count) if count <= least + MAX_LEAD => preferred,
        _ => idlest,
    }
}

/// Counts an attempt of a worker until it is dropped.
struct Counted(AttemptCount);

impl Counted {
    fn new(count: &AttemptCount) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_of_a_hook_stay_with_one_worker_until_it_has_far_more_than_another() {
        let hook = HookId(1 << 22);
        let home = choose(hook, 1, None, [0, 0].into_iter());
        let other = 1 - home;
        for (what, of_hook, here, at_home, elsewhere, expected) in [
            ("a hook has its own worker", MANY, None, MAX_LEAD, 0, home),
            ("until that has far more attempts", MANY, None, MAX_LEAD + 1, 0, other),
            ("few requests stay with it, wherever they start", MANY - 1, Some(other), MAX_LEAD, 0, home),
            ("many are made where they start", MANY, Some(other), 0, MAX_LEAD, other),
            ("unless there are far more attempts", MANY, Some(other), 0, MAX_LEAD + 1, home),
            ("a core of another engine is ignored", MANY, Some(7), 0, 1, home),
        ] {
            let mut counts = [elsewhere; 2];
            counts[home] = at_home;
            assert_eq!(choose(hook, of_hook, here, counts.into_iter()), expected, "{what}");
        }
    }

    #[test]
    fn hooks_are_spread_over_workers_though_their_ids_end_in_zeros() {
        let mut hooks = [0; 4];
        for n in 0..1_000 {
            hooks[choose(HookId((1_700_000_000_000 + n) << 22), 1, None, [0; 4].into_iter())] += 1;
        }
        assert!(hooks.iter().all(|count| (200..300).contains(count)), "{hooks:?}");
    }
}
