//! Starts attempts: whenever room comes free or work arrives, whose turn it is is started as a task.
//!
//! The dispatcher has no loop of its own. [`Dispatcher::push_reserved`] and a finished attempt both
//! *pump*: they start what may start and return. What does not fit into memory stays on disk, from where
//! the [`feeder`](super::feeder) fetches it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::crew::Crew;
use super::lanes::{Lanes, NotRecalled, Observation, Place, RecallEnd, Started, Work};
use crate::domain::{Delivery, HookId, TenantId, UnixMillis};

/// How much is in memory and under way at most.
#[derive(Debug, Clone)]
pub struct DispatcherLimits {
    /// Requests under way.
    pub in_flight: usize,
    /// Requests under way of one tenant.
    pub in_flight_per_tenant: usize,
    /// Requests under way of one hook.
    pub in_flight_per_hook: usize,
    /// Deliveries between start and finish: requests under way, and attempts that are not recorded yet. After a crash, as
    /// many may be sent once more.
    pub unfinished: usize,
    /// Deliveries waiting in memory; one tenant may have half of them.
    pub queued: usize,
    /// Deliveries of one hook waiting in memory.
    pub queued_per_hook: usize,
    /// What waits in memory, in bytes.
    pub queued_bytes: usize,
    /// How long a lease lasts. Far longer than a lane takes to empty: a lease that ends while its
    /// delivery is still in memory costs a second request.
    pub lease: Duration,
}

/// See the module's head.
pub struct Dispatcher {
    lanes: Mutex<Lanes>,
    lease: Duration,
    crew: OnceLock<Crew>,
    /// Attempts under way, to be waited for at the end.
    tasks: TaskTracker,
    /// Wakes the feeder.
    feeder: Arc<Notify>,
    /// When the feeder looks at the disk next by itself.
    next_look: Mutex<Option<UnixMillis>>,
}

impl Dispatcher {
    /// A dispatcher which keeps to `limits`. It starts nothing before it is given its crew.
    #[must_use]
    pub fn new(limits: DispatcherLimits) -> Arc<Self> {
        Arc::new(Self {
            lease: limits.lease,
            lanes: Mutex::new(Lanes::new(limits)),
            crew: OnceLock::new(),
            tasks: TaskTracker::new(),
            feeder: Arc::new(Notify::new()),
            next_look: Mutex::new(None),
        })
    }

    /// From now on, attempts are made by `crew`.
    pub fn start(self: &Arc<Self>, crew: Crew) {
        let _ = self.crew.set(crew);
        self.pump();
    }

    /// Takes room in memory for a delivery that is about to be stored. Until when it is to be leased, if
    /// there is room; if there is none, it is to be stored as due.
    pub fn reserve(&self, work: &Work, now: UnixMillis) -> Option<UnixMillis> {
        self.lanes().reserve(work).then(|| now.plus(self.lease))
    }

    /// Gives room back that was reserved for a delivery which is not stored.
    pub fn unreserve(&self, work: &Work) {
        if self.lanes().unreserve(work) {
            self.wake();
        }
    }

    /// Takes deliveries that have been reserved and stored.
    pub fn push_reserved(self: &Arc<Self>, works: Vec<Work>) {
        {
            let (mut lanes, now) = (self.lanes(), Instant::now());
            for work in works {
                if lanes.push(work, now) {
                    self.wake();
                }
            }
        }
        self.pump();
    }

    /// A delivery for `hook` of `tenant` was stored without room in memory: it is to be fetched from disk.
    pub fn stored_on_disk(&self, hook: HookId, tenant: TenantId) {
        self.lanes().set_backlog(hook, tenant, true);
        self.wake();
    }

    /// Something may be due on disk: a hook was enabled, a delivery retried by hand.
    pub fn wake(&self) {
        self.feeder.notify_one();
    }

    /// A delivery on disk is due at `time`: the feeder must not sleep for longer.
    pub fn due_at(&self, time: UnixMillis) {
        let sleeps_too_long = {
            let next = self.next_look.lock().unwrap_or_else(PoisonError::into_inner);
            next.is_none_or(|next| time < next)
        };
        if sleeps_too_long {
            self.wake();
        }
    }

    /// Takes a delivery out of memory that is about to be cancelled. From then on it is not attempted, unless what is
    /// answered is dropped.
    ///
    /// # Errors
    /// Where an attempt is under way, or it cannot be told whether one is.
    pub fn recall(self: &Arc<Self>, delivery: &Delivery, now: UnixMillis) -> Result<Recalled, NotRecalled> {
        let Delivery { id, tenant, hook, .. } = *delivery;
        let ticket = self.lanes().recall(id, (tenant, hook), now)?;
        Ok(Recalled { dispatcher: Arc::clone(self), ticket: (tenant, ticket), end: RecallEnd::PutBack })
    }

    /// Deliveries that are under way, or not recorded yet.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.lanes().unfinished()
    }

    /// Starts nothing more, and waits for what is under way. What is queued stays leased on disk, and is
    /// taken up by the next start.
    pub async fn drain(&self) {
        self.stop();
        self.tasks.wait().await;
    }

    /// Starts nothing more.
    pub fn stop(&self) {
        self.tasks.close();
        self.lanes().clear();
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_next_look(&self, at: Option<UnixMillis>) {
        *self.next_look.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    pub(super) fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.feeder)
    }

    /// Starts whatever may start.
    pub(super) fn pump(self: &Arc<Self>) {
        let Some(crew) = self.crew.get() else { return };
        let now = Instant::now();
        while !self.tasks.is_closed() {
            let Some(Started { work, of_hook, place }) = self.lanes().start_next(now) else { return };
            let slot = Slot { dispatcher: Arc::clone(self), place, held: true, _tracked: self.tasks.token() };
            crew.begin(work, of_hook, slot);
        }
    }
}

/// The place of one attempt among those under way and those unfinished; given back in any case, a panic included.
pub struct Slot {
    dispatcher: Arc<Dispatcher>,
    place: Place,
    /// Whether it is among those under way still: until the receiver has answered.
    held: bool,
    /// Who drains waits for the slot, and not for its task, which it outlives: it is given back when the record is on disk.
    _tracked: TaskTrackerToken,
}

impl Slot {
    /// The receiver has answered, or will not: another request may start, while this one is recorded. How many, follows
    /// what was observed.
    pub fn answered(&mut self, observation: Observation) {
        if std::mem::take(&mut self.held) {
            let wants_more = self.dispatcher.lanes().answered(self.place, observation, Instant::now());
            if wants_more {
                self.dispatcher.wake();
            }
            self.dispatcher.pump();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.answered(Observation::Nothing);
        self.dispatcher.lanes().finished(self.place);
        self.dispatcher.pump();
    }
}

/// A delivery that is not in memory while it is being cancelled. It is put back when this is dropped without
/// [`Recalled::cancelled`].
#[must_use]
pub struct Recalled {
    dispatcher: Arc<Dispatcher>,
    ticket: (TenantId, u64),
    end: RecallEnd,
}

impl Recalled {
    /// It stands as cancelled, and the lease that ended with it, if there was one, ran until `lease`.
    pub fn cancelled(mut self, lease: Option<UnixMillis>) {
        self.end = RecallEnd::Cancelled { lease };
    }
}

impl Drop for Recalled {
    fn drop(&mut self) {
        let wants_more = self.dispatcher.lanes().end_recall(self.ticket, self.end, Instant::now());
        if wants_more {
            self.dispatcher.wake();
        }
        self.dispatcher.pump();
    }
}
