//! What lists of deliveries show if the request asks for it.

use std::collections::HashMap;

use crate::api::params::Params;
use crate::api::problem::Problem;
use crate::domain::{Delivery, DeliveryId, LastAttempt, TenantId};
use crate::storage::{Storage, StorageError};

/// What a list shows of deliveries besides their own members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::v3) enum Include {
    /// Nothing.
    Nothing,
    /// Their last attempts.
    LastAttempt,
}

impl Include {
    /// The query parameter.
    pub(in crate::api::v3) const PARAM: &'static str = "include";
    /// What the parameter may contain.
    pub(in crate::api::v3) const NAMES: [&'static str; 1] = ["last_attempt"];

    /// Reads the parameter.
    ///
    /// # Errors
    /// Fails if there is nothing of that name.
    pub(in crate::api::v3) fn of(params: &Params) -> Result<Self, Problem> {
        match params.get(Self::PARAM) {
            None => Ok(Self::Nothing),
            Some(name) if Self::NAMES.contains(&name) => Ok(Self::LastAttempt),
            Some(_) => Err(Problem::parameter(Self::PARAM, "expected `last_attempt`")),
        }
    }

    /// Reads what is included of `deliveries`. One without an attempt is left out.
    ///
    /// # Errors
    /// Fails if storage cannot be read.
    pub(in crate::api::v3) async fn read(
        self,
        storage: &Storage,
        tenant: TenantId,
        deliveries: &[Delivery],
    ) -> Result<HashMap<DeliveryId, LastAttempt>, StorageError> {
        let attempted = deliveries.iter().filter(|delivery| delivery.attempts > 0);
        let ids: Vec<_> = attempted.map(|delivery| delivery.id).collect();
        if self == Self::Nothing || ids.is_empty() {
            return Ok(HashMap::new());
        }
        storage.deliveries.last_attempts(tenant, &ids).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_can_be_included() {
        for (query, expected) in [
            ("", Some(Include::Nothing)),
            ("include=last_attempt", Some(Include::LastAttempt)),
            ("include=", None),
            ("include=attempts", None),
            ("include=last_attempt,last_attempt", None),
        ] {
            let uri = format!("/x?{query}").parse().unwrap();
            let read = Include::of(&Params::of(&uri, &[Include::PARAM]).unwrap());
            assert!(read.as_ref().err().is_none_or(|problem| problem.detail().contains("`last_attempt`")));
            assert_eq!(read.ok(), expected, "{query}");
        }
    }
}
