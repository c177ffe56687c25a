//! Which places for requests under way a tenant may take, by what its receiver is expected to do.
//!
//! Receivers that hang hold their places until the timeout, so what they may have is bounded for all tenants together:
//! hanging ones have a quarter of the places, with those that are slow a half, with those that nothing is known of three
//! quarters. The rest only receivers can have that are known to answer at once.
//!
//! Of what is left to a class, a first part is shared by tenants in proportion to what is still free of it (a *dynamic
//! threshold*, as switches share their buffers), a second part is for tenants with few requests of the class under way,
//! and the rest for those with none. So a tenant finds a place although others have all that they may have. In eighths:
//!
//! | Class   | of all places, with the classes below | shared by all | with few | with none |
//! |---------|---------------------------------------|---------------|----------|-----------|
//! | quick   | 8                                     | 6             | 7        | 8         |
//! | unknown | 6                                     | 3             | 3        | 8         |
//! | slow    | 4                                     | 6             | 6        | 8         |
//! | hanging | 2                                     | 4             | 4        | 8         |
//!
//! Where receivers that used to answer have taken nearly all before they ceased to, the very last places are for those
//! that are more likely to give them back.

use super::health::Class;
use crate::delivery::DispatcherLimits;

const CLASSES: usize = Class::ALL.len();
/// How many places of a class a tenant with *few* has at most.
const FEW: usize = 4;
/// The table's columns, by class.
const MOST: [usize; CLASSES] = [8, 6, 4, 2];
const SHARED: [usize; CLASSES] = [6, 3, 6, 4];
const WITH_FEW: [usize; CLASSES] = [7, 3, 6, 4];
/// What a class leaves of all places, whoever has them, in parts of 32.
const LEFT: [usize; CLASSES] = [0, 1, 4, 4];

/// See the module's head.
#[derive(Debug)]
pub(super) struct Places {
    /// Of one tenant whose receivers answer at once.
    of_tenant: usize,
    /// By class: how many it may have, with the classes after it.
    most: [usize; CLASSES],
    /// By class: it begins nothing where so many places are taken.
    of_all: [usize; CLASSES],
    /// By class: how many it has, with the classes after it.
    taken: [usize; CLASSES],
}

/// So many eighths of `all`, rounded up: one place serves everything.
fn eighths(all: usize, count: usize) -> usize {
    all - all * (8 - count) / 8
}

impl Places {
    pub(super) fn new(limits: &DispatcherLimits) -> Self {
        let all = limits.in_flight;
        Self {
            of_tenant: limits.in_flight_per_tenant,
            most: MOST.map(|most| eighths(all, most)),
            of_all: LEFT.map(|left| all - all * left / 32),
            taken: [0; CLASSES],
        }
    }

    /// Requests under way.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken[0]
    }

    /// How many places there are for `class` alone, and how many it has.
    fn own(&self, class: Class) -> (usize, usize) {
        let number = class as usize;
        let below = self.taken.get(number + 1).copied().unwrap_or_default();
        (self.most[number].saturating_sub(below), self.taken[number] - below)
    }

    /// Whether a tenant with nothing of `class` under way may begin.
    pub(super) fn has_any(&self, class: Class) -> bool {
        let number = class as usize;
        self.taken[0] < self.of_all[number] && (0..=number).all(|it| self.taken[it] < self.most[it])
    }

    /// Whether a tenant that has something of `class` under way may begin another, provided that it has little enough.
    pub(super) fn has_more(&self, class: Class) -> bool {
        let (all, own) = self.own(class);
        own < eighths(all, WITH_FEW[class as usize])
    }

    /// Whether a tenant with `held` of `class` under way may begin another, if [`Self::has_any`].
    pub(super) fn admits(&self, class: Class, held: usize) -> bool {
        let (all, own) = self.own(class);
        let number = class as usize;
        let (shared, with_few) = (eighths(all, SHARED[number]), eighths(all, WITH_FEW[number]));
        // The setting says how much one tenant may have whose receivers answer.
        let alone = if class == Class::Quick { shared } else { (shared * 2).div_ceil(3) }.min(self.of_tenant);
        held == 0
            || (held < FEW && shared < with_few && own < with_few)
            // For a tenant that is alone this comes to `held < alone`.
            || held * (shared - alone) < shared.saturating_sub(own) * alone
    }

    pub(super) fn take(&mut self, class: Class) {
        self.taken[..=class as usize].iter_mut().for_each(|taken| *taken += 1);
    }

    pub(super) fn give_back(&mut self, class: Class) {
        self.taken[..=class as usize].iter_mut().for_each(|taken| *taken -= 1);
    }
}

/// How much of `limit` a tenant may still take that holds `held`, where all together hold `used`. Three quarters are
/// shared by dynamic threshold, so that one tenant alone may have half; up to seven eighths, those find room that have
/// less than `little`.
pub(super) fn room(held: usize, used: usize, limit: usize, little: usize) -> usize {
    let shared = limit - limit / 4;
    let of_shared = (2 * shared.saturating_sub(used)).saturating_sub(held) / 3;
    of_shared.max(little.saturating_sub(held).min(before_reserve(limit).saturating_sub(used)))
}

/// What is left of `limit` before the last eighth, which is for tenants that hold nothing.
pub(super) fn before_reserve(limit: usize) -> usize {
    limit - limit / 8
}
