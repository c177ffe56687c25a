//! In which order tenants have their turns: for each class of receivers those that have nothing of it under way, and
//! those that have something.

use std::collections::VecDeque;

use super::health::Class;
use super::recall::Recall;
use crate::delivery::DispatcherLimits;
use crate::domain::{HookId, TenantId};

const CLASSES: usize = Class::ALL.len();

/// What a tenant has in memory and under way.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    /// Its hooks that may begin a request, by class.
    pub runnable: [VecDeque<HookId>; CLASSES],
    /// Requests under way, by the class with which they began.
    pub held: [usize; CLASSES],
    /// All of those.
    pub in_flight: usize,
    /// Queued or reserved, over all hooks.
    pub taken: usize,
    /// The weight of those.
    pub taken_bytes: usize,
    /// Hooks that have had nothing in memory, the oldest first.
    pub remembered: VecDeque<HookId>,
    /// Its deliveries that are being cancelled.
    pub recalls: Vec<Recall>,
    /// For each class, in which of the two rings it has an entry: without anything of it under way, or with something.
    /// An entry in the other ring than the one where it belongs now is out of date.
    entries: [[bool; 2]; CLASSES],
}

impl Tenant {
    /// Whether nothing has to be kept of it.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0
            && self.in_flight == 0
            && self.remembered.is_empty()
            && self.recalls.is_empty()
            && !self.entries.as_flattened().contains(&true)
            && self.runnable.iter().all(VecDeque::is_empty)
    }

    /// Its entry in a ring has been taken out. False if it was out of date.
    pub(super) fn take_entry(&mut self, class: Class, has_some: bool) -> bool {
        self.entries[class as usize][usize::from(has_some)] = false;
        self.has_some(class) == has_some
    }

    /// Whether it has something of `class` under way.
    fn has_some(&self, class: Class) -> bool {
        self.held[class as usize] > 0
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Rings {
    /// By class: the tenants without anything of it under way, and those with something.
    rings: [[VecDeque<TenantId>; 2]; CLASSES],
    /// Which class had its turn last.
    last: usize,
}

impl Rings {
    /// The class after the one that had its turn last.
    pub(super) fn next_class(&mut self) -> Class {
        self.last = (self.last + 1) % CLASSES;
        Class::ALL[self.last]
    }

    /// How many entries there are for `class`, of tenants that have something of it under way or have not.
    pub(super) fn len(&self, class: Class, has_some: bool) -> usize {
        self.rings[class as usize][usize::from(has_some)].len()
    }

    /// The tenant whose turn it is.
    pub(super) fn pop(&mut self, class: Class, has_some: bool) -> Option<TenantId> {
        self.rings[class as usize][usize::from(has_some)].pop_front()
    }

    /// Has `tenant` wait for a turn if it has hooks of `class` that may begin a request. Its own limit has it wait for
    /// the end of one of its own.
    pub(super) fn list(
        &mut self,
        id: TenantId,
        tenant: &mut Tenant,
        class: Class,
        limits: &DispatcherLimits,
    ) {
        if tenant.runnable[class as usize].is_empty() || tenant.in_flight >= limits.in_flight_per_tenant {
            return;
        }
        let ring = usize::from(tenant.has_some(class));
        if !std::mem::replace(&mut tenant.entries[class as usize][ring], true) {
            self.rings[class as usize][ring].push_back(id);
        }
    }
}
