//! The view of a delivery's last attempt.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::v3::openapi::schemas;
use crate::domain::LastAttempt;

/// The last attempt of a delivery, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LastAttempt)]
pub(super) struct LastAttemptView {
    /// The number of the attempt within its delivery, counted from 1.
    number: u32,
    #[schema(value_type = schemas::Outcome)]
    outcome: &'static str,
    /// The status of the response; null if there was none.
    status: Option<u16>,
    /// Why there was no response, or how the plugin failed: the first 200 bytes. Null otherwise.
    error: Option<String>,
}

impl From<LastAttempt> for LastAttemptView {
    fn from(last: LastAttempt) -> Self {
        let LastAttempt { number, outcome, status, error } = last;
        Self { number, outcome, status, error }
    }
}
