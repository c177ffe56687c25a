//! `GET /time`: the clock that timestamps are held against. Open to all.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::envelope::Open;
use crate::directory::Directory;

/// What the clock says.
#[derive(Debug, Serialize)]
pub(super) struct Now {
    /// Unix seconds.
    timestamp: i64,
}

pub(super) async fn time(State(directory): State<Arc<Directory>>) -> Open<Now> {
    Open(Now { timestamp: directory.clock().now().unix_seconds() })
}
