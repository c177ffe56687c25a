//! Bounded LRU map of linked plugins by digest.
//!
//! The most recently used plugins are *warm*: the pages of their code stay in memory. The pages of the others are
//! released to the operating system; the next call reads them from the page cache, which takes about ten
//! microseconds. So a hundred rarely used plugins need less memory than a hundred busy ones. A plugin counts as
//! used when a pipeline is submitted, so one that waits in a long queue may run cold.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Digest;

use super::mapped::Mapped;
use super::plugin::Plugin;

/// An evicted plugin stays alive in the calls that hold it, and its code stays in the disk cache.
pub(super) struct Catalog {
    capacity: usize,
    /// Maximum size of warm code, in bytes.
    warm_bytes: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_digest: HashMap<Digest, Entry>,
    uses: u64,
    warm_bytes: usize,
}

struct Entry {
    plugin: Arc<Plugin>,
    used: u64,
    warm: bool,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.plugin.code.as_ref().map_or(0, Mapped::bytes)
    }
}

impl Catalog {
    pub(super) fn new(capacity: usize, warm_bytes: usize) -> Self {
        Self { capacity: capacity.max(1), warm_bytes, entries: Mutex::default() }
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Plugin>> {
        let (plugin, cold) = self.entries().touch(digest, self.warm_bytes)?;
        release(&cold);
        Some(plugin)
    }

    /// Returns the plugins in memory, with greater numbers for later uses.
    pub(super) fn recency(&self) -> HashMap<Digest, u64> {
        self.entries().by_digest.iter().map(|(digest, entry)| (*digest, entry.used)).collect()
    }

    pub(super) fn insert(&self, digest: Digest, plugin: impl Into<Arc<Plugin>>) -> Arc<Plugin> {
        let plugin = plugin.into();
        let mut entries = self.entries();
        entries.remove(&digest);
        if entries.by_digest.len() >= self.capacity
            && let Some(oldest) = entries.oldest(|_| true)
        {
            entries.remove(&oldest);
        }
        let entry = Entry { plugin: Arc::clone(&plugin), used: 0, warm: false };
        entries.by_digest.insert(digest, entry);
        let touched = entries.touch(&digest, self.warm_bytes);
        drop(entries);
        if let Some((_, cold)) = touched {
            release(&cold);
        }
        plugin
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Marks a plugin as used and warm. Returns it with the plugins that became cold.
    fn touch(&mut self, digest: &Digest, warm_bytes: usize) -> Option<(Arc<Plugin>, Vec<Arc<Plugin>>)> {
        self.uses += 1;
        let entry = self.by_digest.get_mut(digest)?;
        entry.used = self.uses;
        let plugin = Arc::clone(&entry.plugin);
        let mut cold = Vec::new();
        if !std::mem::replace(&mut entry.warm, true) {
            self.warm_bytes += entry.bytes();
            while self.warm_bytes > warm_bytes
                && let Some(oldest) = self.oldest(|entry| entry.warm).filter(|oldest| oldest != digest)
                && let Some(entry) = self.by_digest.get_mut(&oldest)
            {
                entry.warm = false;
                self.warm_bytes -= entry.bytes();
                cold.push(Arc::clone(&entry.plugin));
            }
        }
        Some((plugin, cold))
    }

    fn oldest(&self, which: impl Fn(&Entry) -> bool) -> Option<Digest> {
        let all = self.by_digest.iter().filter(|(_, entry)| which(entry));
        all.min_by_key(|(_, entry)| entry.used).map(|(digest, _)| *digest)
    }

    fn remove(&mut self, digest: &Digest) {
        if let Some(entry) = self.by_digest.remove(digest)
            && entry.warm
        {
            self.warm_bytes -= entry.bytes();
        }
    }
}

fn release(plugins: &[Arc<Plugin>]) {
    plugins.iter().filter_map(|plugin| plugin.code.as_ref()).for_each(Mapped::release);
}
