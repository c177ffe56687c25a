//! `GET /time`: the server's clock, against which timestamps are checked. Needs no authentication.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::envelope::Open;
use crate::directory::Directory;

/// The current time.
#[derive(Debug, Serialize)]
pub(super) struct Now {
    /// Unix seconds.
    timestamp: i64,
}

pub(super) async fn time(State(directory): State<Arc<Directory>>) -> Open<Now> {
    Open(Now { timestamp: directory.clock().now().unix_seconds() })
}
