//! `GET /time`: the server's clock, against which timestamps are checked. Needs no authentication.

use axum::extract::State;
use serde::Serialize;

use super::envelope::Open;
use crate::sources::Sources;

/// The current time.
#[derive(Debug, Serialize)]
pub(super) struct Now {
    /// Unix seconds.
    timestamp: i64,
}

pub(super) async fn time(State(sources): State<Sources>) -> Open<Now> {
    Open(Now { timestamp: sources.now().unix_seconds() })
}
