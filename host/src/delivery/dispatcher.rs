//! Starts attempts: whenever capacity becomes free or work arrives, the next attempts start.
//!
//! The dispatcher has no loop. [`Dispatcher::push_reserved`] and the end of an attempt both *pump*: they start what may
//! start and return. What does not fit into memory stays on disk, and the [`feeder`](super::feeder) claims it from there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::erased::ErasedEvents;
use super::fair_queue::{AttemptKey, FairQueue, Next, NotRecalled, Observation, RecallEnd, Started};
use super::hook_health::{Gate, HookHealthMonitor};
use super::limits::DispatcherLimits;
use super::live::{DeliveryChange, LiveChanges};
use super::work::Work;
use crate::clock;
use crate::domain::{Delivery, Flows, HookId, Lease, NodeNumber, TenantId, Trigger, UnixMillis};
use crate::storage::{Membership, Record, Term};

/// Makes attempts in the background.
pub trait StartAttempt: Send + Sync {
    /// Starts an attempt and returns at once. `of_hook` requests of its hook are in flight, including this one. The `others`
    /// are for the same request.
    fn start(&self, work: Work, of_hook: usize, permit: AttemptPermit, others: Vec<(Work, AttemptPermit)>);
}

/// See the module's head.
pub struct Dispatcher {
    queue: Mutex<FairQueue>,
    lease: Duration,
    in_flight_per_hook: usize,
    membership: Arc<Membership>,
    /// What hooks and tenants ask for.
    flows: RwLock<Flows>,
    has_flows: AtomicBool,
    started: OnceLock<(Arc<dyn StartAttempt>, Handle)>,
    /// Notified when nothing starts any more and everything is recorded.
    drained: Notify,
    /// Wakes the feeder.
    feeder: Arc<Notify>,
    /// The same for what need not be at once: there is room in memory again.
    refills: Arc<Notify>,
    full_look: AtomicBool,
    /// When the feeder looks at the disk next.
    next_look: Mutex<Option<UnixMillis>>,
    /// When delayed deliveries are looked at next, and the task that does it.
    next_pump: Mutex<Option<(Instant, AbortHandle)>>,
    health: Arc<HookHealthMonitor>,
    erased: ErasedEvents,
    live: Arc<LiveChanges>,
}

impl Dispatcher {
    /// Creates a dispatcher that keeps `limits`. It starts nothing before [`Self::start`].
    #[must_use]
    pub fn new(limits: DispatcherLimits) -> Arc<Self> {
        Self::beside(Membership::alone(NodeNumber(0)), limits, HookHealthMonitor::in_memory())
    }

    /// Creates one that keeps the limits of hooks together with the nodes of `membership`, and holds what `health` says.
    #[must_use]
    pub fn beside(
        membership: Arc<Membership>,
        limits: DispatcherLimits,
        health: Arc<HookHealthMonitor>,
    ) -> Arc<Self> {
        Arc::new(Self {
            lease: limits.lease,
            in_flight_per_hook: limits.in_flight_per_hook,
            queue: Mutex::new(FairQueue::new(limits).beside(membership.members())),
            membership,
            flows: RwLock::default(),
            has_flows: AtomicBool::new(false),
            started: OnceLock::new(),
            drained: Notify::new(),
            feeder: Arc::new(Notify::new()),
            refills: Arc::new(Notify::new()),
            full_look: AtomicBool::new(true),
            next_look: Mutex::new(None),
            next_pump: Mutex::new(None),
            health,
            erased: ErasedEvents::default(),
            live: Arc::default(),
        })
    }

    /// From now on, `attempts` makes attempts. Timers of delayed deliveries run on `runtime`.
    pub fn start(self: &Arc<Self>, attempts: Arc<dyn StartAttempt>, runtime: Handle) {
        let _ = self.started.set((attempts, runtime));
        self.pump();
    }

    /// The health of hooks.
    #[must_use]
    pub fn health(&self) -> &HookHealthMonitor {
        &self.health
    }

    /// What is told to those who watch deliveries.
    #[must_use]
    pub fn live(&self) -> &Arc<LiveChanges> {
        &self.live
    }

    /// Takes room in memory for a delivery that is about to be stored, and returns it with its lease. If there is no room, or
    /// this node may not start it, the delivery is stored as due.
    pub fn reserve(&self, work: Work, now: UnixMillis) -> Option<Work> {
        let term = self.membership.term();
        self.queue().reserve(&work).then(|| Work { lease_until: now.plus(self.lease), term, ..work })
    }

    /// Events whose deliveries do not start any more.
    #[must_use]
    pub fn erased(&self) -> &ErasedEvents {
        &self.erased
    }

    /// Whether an attempt of `work` may start now. This is asked again right before a request is sent: the process may have
    /// been stopped meanwhile, another node may have to start it, or its event may be erased.
    #[must_use]
    pub fn may_start(&self, work: &Work) -> bool {
        let is_for_this_node = || work.trigger == Trigger::Test || self.has_share(work.hook, work.tenant());
        self.membership.holds(work.term) && is_for_this_node() && !self.erased.has(work.event.key)
    }

    pub(super) fn term(&self) -> Term {
        self.membership.term()
    }

    /// Gives back the room of a delivery that is not stored.
    pub fn unreserve(&self, work: &Work) {
        let wants_more = self.queue().unreserve(work);
        self.wake_if(wants_more);
    }

    /// Queues deliveries that have been reserved and stored.
    pub fn push_reserved(self: &Arc<Self>, works: Vec<Work>) {
        let mut wants_more = false;
        {
            let (mut queue, now) = (self.queue(), clock::monotonic());
            for work in works {
                wants_more |= queue.push(work, now);
            }
        }
        self.wake_if(wants_more);
        self.pump();
    }

    /// Has the feeder claim a delivery for `hook` that was stored without room in memory.
    pub fn stored_on_disk(&self, hook: HookId, tenant: TenantId) {
        // If the hook is another node's, that one looks for it.
        if self.owns(hook, tenant) {
            let mut queue = self.queue();
            queue.set_backlog(hook, tenant, true);
            // If there is no room, the feeder is woken when there is.
            if !queue.wakes_feeder(hook) {
                self.feeder.notify_one();
            }
        }
    }

    /// Notes a delivery on disk that is held: new ones of its hook are stored behind it. If its circuit is open, the feeder
    /// looks at it when it is time to probe, at the latest.
    pub fn held_on_disk(&self, hook: HookId, tenant: TenantId, now: UnixMillis) {
        if !self.owns(hook, tenant) {
            return;
        }
        self.queue().set_backlog(hook, tenant, true);
        match self.health().gate(hook, now) {
            Gate::ShutUntil(until) => self.due_at(until),
            Gate::ProbeDue => self.due_at(now),
            Gate::Open => {}
        }
    }

    /// Has the feeder look at the disk: a hook was enabled, or a delivery was retried by hand.
    pub fn wake(&self) {
        self.want_full_look();
        self.feeder.notify_one();
    }

    /// The feeder's next look is at each hook.
    pub(super) fn want_full_look(&self) {
        self.full_look.store(true, Ordering::Release);
    }

    pub(super) fn take_full_look(&self) -> bool {
        self.full_look.swap(false, Ordering::AcqRel)
    }

    fn wake_if(&self, wants_more: bool) {
        if wants_more {
            self.refills.notify_one();
        }
    }

    /// Has the feeder look at the disk at `time` at the latest, when a delivery is due.
    pub fn due_at(&self, time: UnixMillis) {
        if lock(&self.next_look).is_none_or(|next| time < next) {
            self.feeder.notify_one();
        }
    }

    /// Starts no request of `hook` before `until`, for rate limits and circuit breakers. This replaces an earlier time.
    pub fn delay_hook(self: &Arc<Self>, hook: HookId, tenant: TenantId, until: Instant) {
        self.queue().delay(hook, tenant, until);
        self.pump();
    }

    /// Takes a delivery out of memory before it is cancelled. No attempt of it starts until the return value is dropped, and
    /// none at all after [`Recalled::cancelled`].
    ///
    /// # Errors
    /// Fails if an attempt is in progress, or if that is unknown.
    pub fn recall(self: &Arc<Self>, delivery: &Delivery, now: UnixMillis) -> Result<Recalled, NotRecalled> {
        let Delivery { id, tenant, hook, .. } = *delivery;
        let ticket = self.queue().recall(id, (tenant, hook), now)?;
        Ok(Recalled { dispatcher: Arc::clone(self), ticket: (tenant, ticket), end: RecallEnd::PutBack })
    }

    /// The number of deliveries between start and record.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.queue().unfinished()
    }

    /// The number of deliveries in memory: queued, or [unfinished](Self::unfinished).
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.queue().in_memory()
    }

    /// Starts nothing more, and waits until everything in progress is recorded. What is queued stays leased on disk for the
    /// next process.
    pub async fn drain(&self) {
        self.stop();
        loop {
            let drained = self.drained.notified();
            if self.queue().is_drained() {
                return;
            }
            drained.await;
        }
    }

    /// Starts nothing more.
    pub fn stop(&self) {
        self.queue().close();
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, FairQueue> {
        lock(&self.queue)
    }

    pub(super) fn set_next_look(&self, at: Option<UnixMillis>) {
        *lock(&self.next_look) = at;
    }

    pub(super) fn feeder_wakes(&self) -> Arc<Notify> {
        Arc::clone(&self.feeder)
    }

    pub(super) fn refills(&self) -> Arc<Notify> {
        Arc::clone(&self.refills)
    }

    /// What this node knows of the others.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Starts everything that may start.
    pub(super) fn pump(self: &Arc<Self>) {
        let Some((attempts, runtime)) = self.started.get() else { return };
        // When it is not fenced any more, `members` pumps.
        if self.membership.is_fenced() {
            return;
        }
        let now = clock::monotonic();
        loop {
            let (next, refill) = {
                let mut queue = self.queue();
                (queue.start(now), queue.take_refill())
            };
            self.wake_if(refill);
            match next {
                Next::Start(Started { work, others, of_hook, wants_more, key }) => {
                    self.wake_if(wants_more);
                    let permit = |key, in_flight| {
                        let dispatcher = Arc::clone(self);
                        AttemptPermit { dispatcher, key, in_flight }
                    };
                    let other = |work: Work| {
                        let key = key.of_other(work.delivery);
                        (work, permit(key, false))
                    };
                    let others = others.into_iter().map(other).collect();
                    attempts.start(work, of_hook, permit(key, true), others);
                }
                Next::WaitUntil(until) => return self.pump_at(until, runtime),
                Next::Idle => return,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The permit of one attempt. While it exists, the attempt counts as unfinished; until it is [told](Self::report) the
/// outcome, its request counts as in flight. Dropping it ends both, also after a panic.
pub struct AttemptPermit {
    dispatcher: Arc<Dispatcher>,
    key: AttemptKey,
    in_flight: bool,
}

impl AttemptPermit {
    /// [`Dispatcher::may_start`], for an attempt that has this permit.
    #[must_use]
    pub fn may_start(&self, work: &Work) -> bool {
        self.dispatcher.may_start(work)
    }

    /// What is told of `record` to those who watch its delivery, once it is on disk.
    pub(super) fn change(&self, work: &Work, record: &Record) -> Option<Arc<DeliveryChange>> {
        self.dispatcher.live.of_record(work, record)
    }

    /// Tells the outcome once: the receiver has answered, or will not. Another request may start while this attempt is
    /// recorded, and `observation` decides how many. A second call has no effect.
    pub fn report(&mut self, observation: Observation) {
        if std::mem::take(&mut self.in_flight) {
            let wants_more = self.dispatcher.queue().request_ended(self.key, observation, clock::monotonic());
            self.dispatcher.wake_if(wants_more);
            self.dispatcher.pump();
        }
    }
}

impl Drop for AttemptPermit {
    fn drop(&mut self) {
        self.report(Observation::Nothing);
        let is_drained = {
            let mut queue = self.dispatcher.queue();
            queue.recorded(self.key);
            queue.is_drained()
        };
        if is_drained {
            self.dispatcher.drained.notify_waiters();
        }
        self.dispatcher.pump();
    }
}

/// A delivery that is out of memory while it is being cancelled. Dropping it queues the delivery again, unless
/// [`Recalled::cancelled`] was called.
#[must_use]
pub struct Recalled {
    dispatcher: Arc<Dispatcher>,
    ticket: (TenantId, u64),
    end: RecallEnd,
}

impl Recalled {
    /// The delivery is cancelled. `lease` is the one that ended with it, if it was leased.
    pub fn cancelled(mut self, lease: Option<Lease>) {
        self.end = RecallEnd::Cancelled { lease };
    }
}

impl Drop for Recalled {
    fn drop(&mut self) {
        let wants_more = self.dispatcher.queue().end_recall(self.ticket, self.end, clock::monotonic());
        self.dispatcher.wake_if(wants_more);
        self.dispatcher.pump();
    }
}

mod at_rest;
mod figures;
mod flows;
mod several;
mod timer;

#[cfg(test)]
mod tests;
