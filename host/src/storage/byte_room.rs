//! The limits of a claim on bytes.

use std::collections::HashMap;

use super::records::HookClaim;
use crate::domain::TenantId;

/// What a claimed delivery takes beside its event's data and its rendered body.
const OVERHEAD_BYTES: u64 = 256;

/// How many bytes a claim may still take.
#[derive(Debug)]
pub struct ByteRoom {
    left: u64,
    /// How many bytes each tenant may still take, once it has taken a delivery: the first one is taken however large it is.
    of_tenants: HashMap<TenantId, u64>,
}

impl ByteRoom {
    /// Of a claim that takes at most `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { left: bytes, of_tenants: HashMap::new() }
    }

    /// Takes the room of the next delivery of a hook, whose data and rendered body have `bytes`; false if it does not fit.
    pub fn take(&mut self, claim: &HookClaim, bytes: u64) -> bool {
        let bytes = OVERHEAD_BYTES + bytes;
        let is_first = self.of_tenants.is_empty();
        let of_tenant = self.of_tenants.get(&claim.tenant);
        let of_tenant = of_tenant.copied().unwrap_or(claim.tenant_bytes.max(bytes));
        let fits_all = bytes <= self.left || is_first;
        let fits = fits_all && bytes <= of_tenant;
        // A delivery that does not fit ends the claim, or its tenant's part: one that is due later must not overtake it.
        self.left = if fits_all { self.left } else { 0 };
        if fits {
            self.left = self.left.saturating_sub(bytes);
        }
        self.of_tenants.insert(claim.tenant, if fits { of_tenant - bytes } else { 0 });
        fits
    }
}
