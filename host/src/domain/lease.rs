//! Leases: the right of one node to attempt a delivery.

use super::ids::IdGenerator;
use super::{DeliveryId, NodeNumber, UnixMillis};

/// Tells leases apart: no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// Of the lease with which a delivery is stored. There is one at most, so that it needs no number but the delivery's.
    #[must_use]
    pub fn of_stored(delivery: DeliveryId) -> Self {
        Self(delivery.0)
    }
}

/// The right of one node to attempt a delivery until a time. A record counts if its lease is still the delivery's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which node has it.
    pub owner: NodeNumber,
    /// Which lease.
    pub id: LeaseId,
    /// When it ends.
    pub until: UnixMillis,
}

impl Lease {
    /// A new lease of the node that `ids` makes ids for.
    #[must_use]
    pub fn generate(ids: &IdGenerator, now: UnixMillis, until: UnixMillis) -> Self {
        let id = ids.next_raw(now);
        Self { owner: DeliveryId(id).node(), id: LeaseId(id), until }
    }

    /// The lease with which `delivery` is stored: that of the node that made its id.
    #[must_use]
    pub fn of_stored(delivery: DeliveryId, until: UnixMillis) -> Self {
        Self { owner: delivery.node(), id: LeaseId::of_stored(delivery), until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_belongs_to_the_node_that_makes_its_id() {
        let now = UnixMillis(1_795_000_000_000);
        let ids = IdGenerator::new(1023, 0);
        let delivery = DeliveryId::generate(&ids, now);
        let (stored, claimed) = (Lease::of_stored(delivery, now), Lease::generate(&ids, now, now));
        assert_eq!([stored.owner, claimed.owner], [NodeNumber(1023); 2]);
        assert_ne!(stored.id, claimed.id);
        assert_eq!(stored.id, LeaseId::of_stored(delivery));
    }
}
