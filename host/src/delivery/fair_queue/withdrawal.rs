//! Deliveries of one tenant that are being cancelled.

use crate::delivery::work::Work;
use crate::domain::{DeliveryId, Lease, UnixMillis};

/// Cancelled deliveries of one tenant that may still be on their way into memory. Each is forgotten when its lease
/// would have ended.
const MAX_EXPECTED: usize = 100;

/// Why a delivery cannot be cancelled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRecalled {
    /// An attempt is in progress, or its record is not written yet.
    AttemptInProgress,
    /// Too many cancelled deliveries of the tenant may still be on their way into memory.
    TooMany,
}

/// What became of the cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecallEnd {
    /// The delivery is not cancelled and is queued again.
    PutBack,
    /// The delivery is cancelled.
    Cancelled {
        /// The lease that ended with it, if it was leased.
        lease: Option<Lease>,
    },
}

/// One delivery that is being cancelled, or that was cancelled and may still arrive.
#[derive(Debug)]
struct Withdrawal {
    ticket: u64,
    delivery: DeliveryId,
    /// Taken out of the queue, or arrived since.
    held: Vec<Work>,
    /// After the cancellation: the ended lease under which the delivery may still arrive.
    ended_lease: Option<Lease>,
}

/// The deliveries of one tenant that are being cancelled.
#[derive(Debug, Default)]
pub(super) struct Withdrawals(Vec<Withdrawal>);

/// What happens to a delivery that arrives.
pub(super) enum Arrival {
    /// It is queued.
    Queue(Work),
    /// It is held until the cancellation ends.
    Held,
    /// It is cancelled already, and dropped.
    Dropped,
}

impl Withdrawals {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets deliveries that cannot arrive any more. Fails if too many still may.
    pub(super) fn make_room(&mut self, now: UnixMillis) -> Result<(), NotRecalled> {
        self.0.retain(|withdrawal| withdrawal.ended_lease.is_none_or(|lease| lease.until > now));
        if self.0.len() < MAX_EXPECTED { Ok(()) } else { Err(NotRecalled::TooMany) }
    }

    pub(super) fn begin(&mut self, ticket: u64, delivery: DeliveryId, held: Vec<Work>) {
        self.0.push(Withdrawal { ticket, delivery, held, ended_lease: None });
    }

    /// Ends the cancellation with this ticket. Returns what was cancelled and what is queued again.
    pub(super) fn end(&mut self, ticket: u64, end: RecallEnd) -> Option<(Vec<Work>, Vec<Work>)> {
        let index = self.0.iter().position(|withdrawal| withdrawal.ticket == ticket)?;
        let mut withdrawal = self.0.swap_remove(index);
        let ended = match end {
            RecallEnd::Cancelled { lease } => lease,
            RecallEnd::PutBack => None,
        };
        // Work of an earlier lease has lost it already.
        let is_cancelled = |work: &Work| ended.is_some_and(|lease| work.lease <= lease.id);
        let has_arrived =
            withdrawal.held.iter().any(|work| ended.is_some_and(|lease| work.lease == lease.id));
        let (cancelled, stays): (Vec<Work>, Vec<Work>) = withdrawal.held.drain(..).partition(is_cancelled);
        if let Some(lease) = ended.filter(|_| !has_arrived) {
            self.0.push(Withdrawal { ended_lease: Some(lease), ..withdrawal });
        }
        Some((cancelled, stays))
    }

    /// Decides what happens to a delivery that arrives.
    pub(super) fn arrive(&mut self, work: Work) -> Arrival {
        let is_it = |withdrawal: &Withdrawal| {
            withdrawal.delivery == work.delivery
                && withdrawal.ended_lease.is_none_or(|lease| work.lease <= lease.id)
        };
        let Some(index) = self.0.iter().position(is_it) else { return Arrival::Queue(work) };
        if let Some(lease) = self.0[index].ended_lease {
            if work.lease == lease.id {
                self.0.swap_remove(index);
            }
            return Arrival::Dropped;
        }
        self.0[index].held.push(work);
        Arrival::Held
    }
}
