//! Plugins that are ready to be called, by digest: a bounded number, least recently used first out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Digest;

use super::plugin::Plugin;

/// A plugin that leaves lives on in the calls that hold it; its code is still in the disk's cache.
pub(super) struct Catalog {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_digest: HashMap<Digest, (Arc<Plugin>, u64)>,
    uses: u64,
}

impl Catalog {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: Mutex::default() }
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let now = entries.uses;
        let (plugin, used) = entries.by_digest.get_mut(digest)?;
        *used = now;
        Some(Arc::clone(plugin))
    }

    pub(super) fn insert(&self, digest: Digest, plugin: Plugin) -> Arc<Plugin> {
        let plugin = Arc::new(plugin);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let now = entries.uses;
        if entries.by_digest.len() >= self.capacity && !entries.by_digest.contains_key(&digest) {
            let oldest =
                entries.by_digest.iter().min_by_key(|(_, (_, used))| *used).map(|(digest, _)| *digest);
            if let Some(oldest) = oldest {
                entries.by_digest.remove(&oldest);
            }
        }
        entries.by_digest.insert(digest, (Arc::clone(&plugin), now));
        plugin
    }
}
