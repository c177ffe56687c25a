//! Budgets for the bytes of requests or responses in memory: in total, per tenant, and for senders whose tenant is unknown.
//!
//! Small bodies (up to [`UNCOUNTED`]) are not counted: one for each connection is little. So publishing an event pays nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::domain::TenantId;

/// Bodies up to this size are not counted, in bytes.
pub const UNCOUNTED: usize = 4 * 1024;
/// Bodies larger than this, in bytes, leave a fifth of the budget to smaller ones, so that events find room besides batches.
const LARGE: usize = 1 << 20;

/// A number of bytes that may be in memory at the same time.
///
/// A tenant may have half of what others leave. So the first has the most, and there is always room for the next. Senders without
/// a tenant share a sixteenth of all.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    of_holder: HashMap<Option<TenantId>, usize>,
}

/// A part of a budget, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Reserved {
    budget: Arc<Budget>,
    holder: Option<TenantId>,
    bytes: usize,
}

/// There is no room for so many bytes right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::default() })
    }

    /// Reserves `bytes` for `holder`: a tenant, or the senders without one.
    ///
    /// # Errors
    /// If that is more than the holder may have right now.
    pub fn reserve(self: &Arc<Self>, holder: Option<TenantId>, bytes: usize) -> Result<Reserved, NoRoom> {
        let mut reserved = Reserved { budget: Arc::clone(self), holder, bytes: 0 };
        reserved.grow_to(bytes)?;
        Ok(reserved)
    }

    /// As [`Self::reserve`], but a tenant that holds nothing yet may have all that is free: for a body that cannot be divided.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn reserve_one(self: &Arc<Self>, holder: Option<TenantId>, bytes: usize) -> Result<Reserved, NoRoom> {
        self.reserve(holder, bytes).or_else(|refused| {
            let mut used = self.lock();
            if holder.is_none()
                || used.of_holder.contains_key(&holder)
                || bytes > self.limit - used.all.min(self.limit)
            {
                return Err(refused);
            }
            used.add(holder, bytes);
            Ok(Reserved { budget: Arc::clone(self), holder, bytes })
        })
    }

    /// Counts `bytes` for `holder` even if that is more than it may have.
    pub fn force(self: &Arc<Self>, holder: Option<TenantId>, bytes: usize) -> Reserved {
        self.lock().add(holder, bytes);
        Reserved { budget: Arc::clone(self), holder, bytes }
    }

    /// Whether `holder` may have `more` bytes, for a body that then has `bytes`.
    fn admits(&self, used: &Used, holder: Option<TenantId>, bytes: usize, more: usize) -> bool {
        let region = if bytes > LARGE { self.limit - self.limit / 5 } else { self.limit };
        let own = used.of_holder.get(&holder).copied().unwrap_or(0);
        let left_by_others = region.saturating_sub(used.all - own);
        let share = if holder.is_some() { left_by_others / 2 } else { (self.limit / 16).min(left_by_others) };
        own + more <= share
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn add(&mut self, holder: Option<TenantId>, bytes: usize) {
        self.all += bytes;
        *self.of_holder.entry(holder).or_default() += bytes;
    }

    fn subtract(&mut self, holder: Option<TenantId>, bytes: usize) {
        self.all -= bytes;
        if let Some(own) = self.of_holder.get_mut(&holder) {
            *own -= bytes;
            if *own == 0 {
                self.of_holder.remove(&holder);
            }
        }
    }
}

impl Reserved {
    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves more, up to `bytes` in total.
    ///
    /// # Errors
    /// As [`Budget::reserve`]. The previous reservation stays.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let more = bytes.saturating_sub(self.bytes);
        let mut used = self.budget.lock();
        if !self.budget.admits(&used, self.holder, bytes, more) {
            return Err(NoRoom);
        }
        used.add(self.holder, more);
        self.bytes += more;
        Ok(())
    }

    /// Ties the reservation to `bytes`: it lasts until the last part of them is dropped.
    #[must_use]
    pub fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _reserved: self })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.lock().subtract(self.holder, self.bytes);
    }
}

struct Held {
    bytes: Bytes,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<TenantId> = Some(TenantId(1));
    const OTHER: Option<TenantId> = Some(TenantId(2));
    const THIRD: Option<TenantId> = Some(TenantId(3));
    const MIB: usize = 1 << 20;

    #[test]
    fn a_tenant_has_half_of_what_others_leave_and_small_bodies_find_room() {
        let budget = Budget::new(80 * MIB);
        let upload = budget.reserve(ONE, 32 * MIB).unwrap();
        assert!(budget.reserve(ONE, 2 * MIB).is_err());
        let batch = budget.reserve(OTHER, 16 * MIB).unwrap();
        assert!(budget.reserve(OTHER, 2 * MIB).is_err());
        let third = budget.reserve(THIRD, 8 * MIB).unwrap();
        let small: Vec<_> =
            (10..20).map(|tenant| budget.reserve(Some(TenantId(tenant)), MIB).unwrap()).collect();
        drop(small);
        drop((upload, batch));
        assert!(budget.reserve(ONE, 28 * MIB).is_ok());
        drop(third);
        let used = budget.lock();
        assert_eq!((used.all, used.of_holder.len()), (0, 0));
    }

    #[test]
    fn senders_without_a_tenant_share_a_small_part() {
        let budget = Budget::new(16 * MIB);
        let one = budget.reserve(None, MIB / 2).unwrap();
        let two = budget.reserve(None, MIB / 2).unwrap();
        assert!(budget.reserve(None, 1).is_err());
        assert!(budget.reserve_one(None, 1).is_err());
        assert!(budget.reserve(ONE, 5 * MIB).is_ok());
        drop((one, two));
    }

    #[test]
    fn one_indivisible_body_may_take_all_that_is_free() {
        let budget = Budget::new(16 * MIB);
        assert!(budget.reserve(ONE, 12 * MIB).is_err());
        let answer = budget.reserve_one(ONE, 12 * MIB).unwrap();
        assert!(budget.reserve_one(ONE, 1).is_err());
        assert!(budget.reserve_one(OTHER, 12 * MIB).is_err());
        assert!(budget.reserve_one(OTHER, MIB).is_ok());
        drop(answer);
    }

    #[test]
    fn forced_bytes_count_beyond_the_limit() {
        let budget = Budget::new(16 * MIB);
        let forced = [budget.force(ONE, 12 * MIB), budget.force(ONE, 12 * MIB)];
        assert!(budget.reserve_one(ONE, 1).is_err());
        assert!(budget.reserve_one(OTHER, 1).is_err());
        drop(forced);
        assert!(budget.reserve_one(OTHER, 16 * MIB).is_ok());
    }

    #[test]
    fn a_reservation_grows_and_lasts_as_long_as_its_bytes() {
        let budget = Budget::new(16 * MIB);
        let mut reserved = budget.reserve(ONE, MIB).unwrap();
        reserved.grow_to(6 * MIB).unwrap();
        assert_eq!(reserved.grow_to(7 * MIB), Err(NoRoom));
        assert_eq!(reserved.bytes(), 6 * MIB);
        let mut bytes = reserved.hold(Bytes::from_static(b"abc"));
        let part = bytes.split_to(1);
        drop(bytes);
        assert_eq!(budget.lock().all, 6 * MIB);
        drop(part);
        assert_eq!(budget.lock().all, 0);
    }
}
