//! The only node.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::PoisonError;

use async_trait::async_trait;

use super::data_dir::LOCK_FILE;
use super::stores::SqliteStores;
use crate::domain::NodeNumber;
use crate::storage::{NodeReport, NodeState, NodeStatus, NodeStore, StorageError};

#[async_trait]
impl NodeStore for SqliteStores {
    async fn nodes(&self) -> Result<Vec<NodeStatus>, StorageError> {
        let report = self.last_report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let status = report.map(|report| NodeStatus {
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            started_at: Some(report.started_at),
            last_beat_at: Some(report.now),
            activity: Some(report.activity),
            ..only_node(NodeState::Alive, report.address)
        });
        Ok(status.into_iter().collect())
    }

    async fn report(&self, report: NodeReport) -> Result<(), StorageError> {
        *self.last_report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

fn only_node(state: NodeState, address: String) -> NodeStatus {
    NodeStatus {
        node: NodeNumber(0),
        state,
        version: None,
        address,
        started_at: None,
        last_beat_at: None,
        silent_ms: None,
        activity: None,
    }
}

/// Whether a process has the database in `data_dir`, which listens on `address` by its settings.
///
/// # Errors
/// [`StorageError::Missing`] if there is no database; else the error of the file system.
pub fn node_of(data_dir: &Path, address: String) -> Result<NodeStatus, StorageError> {
    let lock = match File::open(data_dir.join(LOCK_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StorageError::Missing(format!("there is no database in {}", data_dir.display())));
        }
        opened => opened?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(only_node(NodeState::Ended, address)),
        Err(TryLockError::WouldBlock) => Ok(only_node(NodeState::Alive, address)),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_says_whether_a_process_has_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let state = || node_of(dir.path(), "127.0.0.1:8080".to_owned()).map(|node| node.state);
        assert!(matches!(state(), Err(StorageError::Missing(_))));
        let lock = File::create(dir.path().join(LOCK_FILE)).unwrap();
        assert_eq!(state().unwrap(), NodeState::Ended);
        lock.try_lock().unwrap();
        assert_eq!(state().unwrap(), NodeState::Alive);
    }
}
