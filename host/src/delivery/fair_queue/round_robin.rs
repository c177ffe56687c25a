//! The order in which tenants are served: round robin, separately for each class of receivers.

use std::collections::VecDeque;
use std::time::Instant;

use super::health::Class;
use super::withdrawal::Withdrawals;
use crate::domain::{HookId, TenantId};

const CLASSES: usize = Class::ALL.len();

/// What a tenant has in memory and in flight.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    /// Its hooks that may start a request, by class.
    pub runnable: [VecDeque<HookId>; CLASSES],
    /// Requests in flight, by the class under which they started.
    pub held: [usize; CLASSES],
    /// Requests in flight of all classes.
    pub in_flight: usize,
    /// Deliveries queued or reserved, over all hooks.
    pub taken: usize,
    /// The same in bytes.
    pub taken_bytes: usize,
    /// How many of them are of hooks that are set aside, if the tenant has a rate.
    pub aside: usize,
    /// Hooks without anything in memory whose receivers' health is remembered, the oldest first.
    pub remembered: VecDeque<HookId>,
    /// Its deliveries that are being cancelled.
    pub withdrawals: Withdrawals,
    /// Another request would be over the tenant's rate until then.
    pub not_before: Option<Instant>,
    /// The feeder found no room because of the tenant's rate, and waits to be woken.
    pub held_back: bool,
    /// For each class, whether the tenant has an entry in each of the two rings: that of tenants with nothing of the class
    /// in flight, and that of tenants with something. An entry in the other ring than the current one is stale.
    entries: [[bool; 2]; CLASSES],
}

impl Tenant {
    /// Whether nothing of it has to be kept.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0
            && self.in_flight == 0
            && self.remembered.is_empty()
            && self.withdrawals.is_empty()
            && self.not_before.is_none()
            && !self.entries.as_flattened().contains(&true)
            && self.runnable.iter().all(VecDeque::is_empty)
    }

    /// How many deliveries in memory its rate limits.
    pub(super) fn counted(&self) -> usize {
        self.taken - self.aside
    }

    /// Notes that its entry was taken out of a ring. Returns whether the entry was current.
    pub(super) fn take_entry(&mut self, class: Class, has_some: bool) -> bool {
        self.entries[class as usize][usize::from(has_some)] = false;
        self.has_some(class) == has_some
    }

    /// Whether it has something of `class` in flight.
    fn has_some(&self, class: Class) -> bool {
        self.held[class as usize] > 0
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    /// By class: tenants with nothing of it in flight, and tenants with something.
    rings: [[VecDeque<TenantId>; 2]; CLASSES],
    /// The class that was served last.
    last: usize,
}

impl RoundRobin {
    /// The class after the one that was served last.
    pub(super) fn next_class(&mut self) -> Class {
        self.last = (self.last + 1) % CLASSES;
        Class::ALL[self.last]
    }

    /// How many entries there are for `class`, of tenants that have something of it in flight, or of the others.
    pub(super) fn len(&self, class: Class, has_some: bool) -> usize {
        self.rings[class as usize][usize::from(has_some)].len()
    }

    /// Takes the next tenant out of its ring.
    pub(super) fn pop(&mut self, class: Class, has_some: bool) -> Option<TenantId> {
        self.rings[class as usize][usize::from(has_some)].pop_front()
    }

    /// Adds `tenant` if it has hooks of `class` that may start a request. A tenant that has reached its own limit, `most`, is
    /// added when one of its requests ends, or when its rate allows another.
    pub(super) fn add(&mut self, id: TenantId, tenant: &mut Tenant, class: Class, most: usize) {
        let waits = tenant.in_flight >= most || tenant.not_before.is_some();
        if tenant.runnable[class as usize].is_empty() || waits {
            return;
        }
        let ring = usize::from(tenant.has_some(class));
        if !std::mem::replace(&mut tenant.entries[class as usize][ring], true) {
            self.rings[class as usize][ring].push_back(id);
        }
    }
}
