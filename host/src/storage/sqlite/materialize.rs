//! Gives [rowless](super::rowless) deliveries their rows before somebody reads or changes them.

use super::messages::Message;
use super::rowless::Selection;
use super::stores::SqliteStores;
use crate::storage::StorageError;

impl SqliteStores {
    /// Writes rows for the selected deliveries that have none. Writes nothing if all have.
    pub(super) async fn materialize(&self, selection: Selection) -> Result<(), StorageError> {
        let mut until = None;
        while let Some(request) = self.rowless.request(selection, until) {
            // Deliveries that arrive meanwhile came after the request: they are not waited for.
            until = Some(request.until);
            self.submit(Message::Materialize, request).await?;
        }
        Ok(())
    }

    /// As [`Self::materialize`], for a list. If the rows cannot be written, the list shows those that could: reading goes
    /// on while the disk is full.
    pub(super) async fn materialize_for_list(&self, selection: Selection) {
        if let Err(error) = self.materialize(selection).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a list lacks deliveries that are in memory, since their rows cannot be written"
            );
        }
    }
}
