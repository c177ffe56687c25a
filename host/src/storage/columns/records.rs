//! Records of attempts, ready to be written.

use super::attempts::AttemptRow;
use super::rendered::seal_request;
use super::values::JsonMaker;
use crate::domain::kept_body::KeptBody;
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
    pub kept_body: Option<KeptBodyRow>,
}

/// The body that an attempt sent, and that is kept.
#[derive(Debug)]
pub struct KeptBodyRow {
    pub attempt: i64,
    pub tenant: i64,
    pub body: Box<KeptBody>,
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
        let kept_body = record.kept_body.zip(record.attempt.as_ref());
        let kept_body = kept_body.map(|(body, attempt)| {
            let (attempt, tenant) = (attempt.id.0, record.tenant.0);
            KeptBodyRow { attempt, tenant, body }
        });
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
            kept_body,
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
        let kept = self.kept_body.as_ref().map_or(0, |kept| kept.body.bytes().len());
        rendered + kept + self.attempt.as_ref().map_or(0, AttemptRow::bytes)
    }
}
