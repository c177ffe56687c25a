//! Keys of operators in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::use_mark::UseMark;
use crate::domain::{OperatorKey, OperatorKeyId};

/// Keys of operators in memory.
#[derive(Debug, Default)]
pub struct OperatorKeyIndex {
    pub(super) by_hash: HashMap<[u8; 32], KnownOperatorKey>,
    pub(super) by_id: BTreeMap<OperatorKeyId, Arc<OperatorKey>>,
}

/// A key, and whether it was used.
#[derive(Debug)]
pub struct KnownOperatorKey {
    pub(super) key: Arc<OperatorKey>,
    pub(super) mark: UseMark,
}

impl OperatorKeyIndex {
    /// An index of these.
    #[must_use]
    pub fn new(keys: Vec<OperatorKey>) -> Self {
        let mut index = Self::default();
        keys.into_iter().for_each(|key| index.put(Arc::new(key)));
        index
    }

    /// Adds a key, or replaces the one with the same id.
    pub(super) fn put(&mut self, key: Arc<OperatorKey>) {
        let mark = self.by_hash.remove(&key.hash).map(|known| known.mark).unwrap_or_default();
        self.by_id.insert(key.id, Arc::clone(&key));
        self.by_hash.insert(key.hash, KnownOperatorKey { key, mark });
    }

    pub(super) fn remove(&mut self, id: OperatorKeyId) {
        if let Some(key) = self.by_id.remove(&id) {
            self.by_hash.remove(&key.hash);
        }
    }
}
