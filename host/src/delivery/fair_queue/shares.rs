//! How many requests a tenant may have in flight, depending on how its receiver is expected to answer.
//!
//! A receiver that hangs keeps its request in flight until the timeout. All tenants together may therefore have a quarter
//! of the limit in flight to hanging receivers, a half with slow receivers included, and three quarters with receivers of
//! which nothing is known. The rest is only for receivers that are known to answer at once.
//!
//! Each class divides what it may have into three parts. All tenants share the first part in proportion to what is still
//! free of it (a *dynamic threshold*, as switches share their buffers). The second part is for tenants with few requests of
//! the class in flight, the last one for tenants with none. So a tenant can start a request although others have all that
//! they may have. In eighths:
//!
//! | Class   | of the limit, with the classes below | shared by all | with few | with none |
//! |---------|--------------------------------------|---------------|----------|-----------|
//! | quick   | 8                                    | 6             | 7        | 8         |
//! | unknown | 6                                    | 3             | 3        | 8         |
//! | slow    | 4                                    | 6             | 6        | 8         |
//! | hanging | 2                                    | 4             | 4        | 8         |
//!
//! If receivers that used to answer fill nearly the whole limit and then stop answering, the very last requests are for
//! the classes that are more likely to answer.

use super::health::Class;
use crate::delivery::limits::DispatcherLimits;

const CLASSES: usize = Class::ALL.len();
/// The most requests in flight of a class that a tenant with *few* has.
const FEW: usize = 4;
/// The table's columns, by class.
const MOST: [usize; CLASSES] = [8, 6, 4, 2];
const SHARED: [usize; CLASSES] = [6, 3, 6, 4];
const WITH_FEW: [usize; CLASSES] = [7, 3, 6, 4];
/// What a class leaves of the limit to the other classes, in parts of 32.
const LEFT: [usize; CLASSES] = [0, 1, 4, 4];

/// See the module's head.
#[derive(Debug)]
pub(super) struct ConcurrencyShares {
    /// By class: how many requests it may have in flight, with the classes after it.
    most: [usize; CLASSES],
    /// By class: it starts nothing if this many requests are in flight.
    of_all: [usize; CLASSES],
    /// By class: how many it has in flight, with the classes after it.
    taken: [usize; CLASSES],
}

/// `count` eighths of `all`, rounded up, so that a limit of one serves every class.
fn eighths(all: usize, count: usize) -> usize {
    all - all * (8 - count) / 8
}

impl ConcurrencyShares {
    pub(super) fn new(limits: &DispatcherLimits) -> Self {
        let all = limits.in_flight;
        Self {
            most: MOST.map(|most| eighths(all, most)),
            of_all: LEFT.map(|left| all - all * left / 32),
            taken: [0; CLASSES],
        }
    }

    /// Requests in flight.
    pub(super) fn taken(&self) -> usize {
        self.taken[0]
    }

    /// How many requests `class` alone may have in flight, and how many it has.
    fn own(&self, class: Class) -> (usize, usize) {
        let number = class as usize;
        let below = self.taken.get(number + 1).copied().unwrap_or_default();
        (self.most[number].saturating_sub(below), self.taken[number] - below)
    }

    /// Whether a tenant with nothing of `class` in flight may start a request.
    pub(super) fn has_any(&self, class: Class) -> bool {
        let number = class as usize;
        self.taken[0] < self.of_all[number] && (0..=number).all(|it| self.taken[it] < self.most[it])
    }

    /// Whether any tenant with something of `class` in flight may start another request.
    pub(super) fn has_more(&self, class: Class) -> bool {
        let (all, own) = self.own(class);
        own < eighths(all, WITH_FEW[class as usize])
    }

    /// Whether a tenant with `held` requests of `class` in flight may start another, given [`Self::has_any`]. `of_tenant` is
    /// the limit for one whose receivers answer at once.
    pub(super) fn admits(&self, class: Class, held: usize, of_tenant: usize) -> bool {
        let (all, own) = self.own(class);
        let number = class as usize;
        let (shared, with_few) = (eighths(all, SHARED[number]), eighths(all, WITH_FEW[number]));
        // Its own limit, or the setting's, is for a tenant whose receivers answer.
        let alone = if class == Class::Quick { shared } else { (shared * 2).div_ceil(3) }.min(of_tenant);
        held == 0
            || (held < FEW && shared < with_few && own < with_few)
            // For a single tenant this is `held < alone`.
            || held * (shared - alone) < shared.saturating_sub(own) * alone
    }

    pub(super) fn take(&mut self, class: Class) {
        self.taken[..=class as usize].iter_mut().for_each(|taken| *taken += 1);
    }

    pub(super) fn give_back(&mut self, class: Class) {
        self.taken[..=class as usize].iter_mut().for_each(|taken| *taken -= 1);
    }
}

/// How much of `limit` a tenant that holds `held` may still take if all tenants together hold `used`. Three quarters are
/// shared by dynamic threshold, so that one tenant alone may have half. From there to seven eighths is for tenants that
/// hold less than `few`.
pub(super) fn capacity(held: usize, used: usize, limit: usize, few: usize) -> usize {
    let shared = limit - limit / 4;
    let of_shared = (2 * shared.saturating_sub(used)).saturating_sub(held) / 3;
    of_shared.max(few.saturating_sub(held).min(before_reserve(limit).saturating_sub(used)))
}

/// `limit` without its last eighth, the reserve for tenants that hold nothing.
pub(super) fn before_reserve(limit: usize) -> usize {
    limit - limit / 8
}
