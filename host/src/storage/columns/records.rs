//! Records of attempts, ready to be written.

use super::attempts::AttemptRow;
use super::rendered::seal_request;
use super::values::JsonMaker;
use crate::domain::{DeliveryId, DeliveryState, LeaseId};
use crate::storage::{LeftGroup, Record, Rendered, RenderedRequest, StorageError};
use crate::vault::Vault;

/// A record ready to be written.
#[derive(Debug)]
pub struct RecordRow {
    pub delivery: DeliveryId,
    pub tenant: i64,
    pub lease: LeaseId,
    pub state: DeliveryState,
    pub attempts: u32,
    pub failures: u32,
    pub due_at: Option<i64>,
    pub attempt: Option<AttemptRow>,
    pub rendered: RenderedChange,
    pub leaves: Option<LeftGroup>,
}

/// What happens to the rendered request.
#[derive(Debug)]
pub enum RenderedChange {
    /// URL and headers are in `sealed`.
    Store {
        rendered: RenderedRequest,
        sealed: Vec<u8>,
    },
    Keep,
    Remove,
}

impl RecordRow {
    /// The columns of `record`.
    pub fn new(record: Record, json: &mut JsonMaker, vault: &Vault) -> Result<Self, StorageError> {
        let rendered = match record.rendered {
            // A final delivery keeps no request.
            Rendered::Store(_) if record.state.is_final() => RenderedChange::Remove,
            Rendered::Store(rendered) => {
                let sealed = seal_request(record.delivery, &rendered.request, vault)?;
                RenderedChange::Store { rendered, sealed }
            }
            Rendered::Keep => RenderedChange::Keep,
            // Before the first attempt nothing is stored, so most deliveries never touch that table.
            Rendered::Remove if record.attempts <= 1 => RenderedChange::Keep,
            Rendered::Remove => RenderedChange::Remove,
        };
        Ok(Self {
            delivery: record.delivery,
            tenant: record.tenant.0,
            lease: record.lease,
            state: record.state,
            attempts: record.attempts,
            failures: record.failures,
            due_at: record.due_at.map(|time| time.0),
            attempt: record.attempt.map(|attempt| AttemptRow::new(attempt, json)).transpose()?,
            rendered,
            leaves: record.leaves,
        })
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let rendered = match &self.rendered {
            RenderedChange::Store { rendered, sealed } => {
                sealed.len() + rendered.request.body.as_bytes().len()
            }
            RenderedChange::Keep | RenderedChange::Remove => 0,
        };
        rendered + self.attempt.as_ref().map_or(0, AttemptRow::bytes)
    }
}
