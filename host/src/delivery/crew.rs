//! The workers, one for each of the [`Cores`], each with connections of its own; and which of them makes an attempt.
//!
//! An attempt goes to its hook's own worker, so that a receiver which is sent little is sent it over one connection. One that
//! is sent much at a time has many connections anyway: then the attempt is made on the core where the one before it, or a
//! client's request, has just ended. In either case a worker that has far more to do than another gives way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::dispatcher::Slot;
use super::lanes::Work;
use super::worker::Worker;
use crate::cores::{self, Cores};
use crate::domain::HookId;

/// How many more attempts than the idlest worker one may have under way before it gives way.
const LEAD: usize = 16;
/// From so many requests of a hook under way on, the next is made wherever it begins.
const MANY: usize = 8;

/// See the module's head.
pub struct Crew {
    cores: Arc<Cores>,
    workers: Vec<(Arc<Worker>, UnderWay)>,
}

/// How many attempts of a worker are under way.
type UnderWay = Arc<AtomicUsize>;

impl Crew {
    /// A crew of as many `workers` as there are cores.
    #[must_use]
    pub fn new(cores: Arc<Cores>, workers: impl Iterator<Item = Worker>) -> Self {
        let workers = workers.map(|worker| (Arc::new(worker), UnderWay::default())).collect();
        Self { workers, cores }
    }

    /// Begins an attempt, with which `of_hook` requests of its hook are under way.
    pub(super) fn begin(&self, work: Work, of_hook: usize, slot: Slot) {
        let counts = self.workers.iter().map(|(_, under_way)| under_way.load(Relaxed));
        let number = choose(work.hook, of_hook, cores::here(), counts);
        let (worker, under_way) = &self.workers[number];
        let busy = Busy::among(under_way);
        // In a box, since the runtime would move these 4 KB some more times on their way.
        let attempt = Box::pin(Arc::clone(worker).run(work, slot, busy));
        self.cores.runtimes()[number].spawn(attempt);
    }
}

/// The worker for an attempt for `hook`, which has `of_hook` requests under way, that begins on the core `here`, if it is one.
/// `under_way` tells how many attempts each worker has, of which there is one at least.
fn choose(
    hook: HookId,
    of_hook: usize,
    here: Option<usize>,
    under_way: impl ExactSizeIterator<Item = usize> + Clone,
) -> usize {
    // Ids have their counts in their lowest bits, which are mostly zero: the golden ratio's bits mix them all.
    let mixed = hook.0.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let preferred = match here {
        Some(here) if of_hook >= MANY => here,
        _ => mixed as usize % under_way.len(),
    };
    let (idlest, least) = under_way.clone().enumerate().min_by_key(|(_, count)| *count).unwrap_or_default();
    match under_way.clone().nth(preferred) {
        Some(count) if count <= least + LEAD => preferred,
        _ => idlest,
    }
}

/// One of the attempts that a worker has under way.
pub(super) struct Busy(UnderWay);

impl Busy {
    fn among(under_way: &UnderWay) -> Self {
        under_way.fetch_add(1, Relaxed);
        Self(Arc::clone(under_way))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stay_together_until_a_worker_has_far_more_to_do() {
        let hook = HookId(1 << 22);
        let home = choose(hook, 1, None, [0, 0].into_iter());
        let other = 1 - home;
        for (what, of_hook, here, at_home, elsewhere, expected) in [
            ("a hook has its own worker", MANY, None, LEAD, 0, home),
            ("until that has far more to do", MANY, None, LEAD + 1, 0, other),
            ("few requests stay with it, wherever they begin", MANY - 1, Some(other), LEAD, 0, home),
            ("many are made where they begin", MANY, Some(other), 0, LEAD, other),
            ("unless there is far more to do", MANY, Some(other), 0, LEAD + 1, home),
            ("a core of another engine is none of ours", MANY, Some(7), 0, 1, home),
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
