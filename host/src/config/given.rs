//! The texts of settings, to find out which have changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::hash::sha256;

/// The texts of all settings, as hashes: some are secrets.
#[derive(Debug, Clone, Default)]
pub struct Given(BTreeMap<&'static str, [u8; 32]>);

impl Given {
    pub(super) fn insert(&mut self, name: &'static str, text: &str) {
        self.0.insert(name, sha256(&[text.as_bytes()]));
    }

    /// The names of the settings whose texts differ, in alphabetical order.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).copied().collect();
        names.into_iter().filter(|name| self.0.get(name) != other.0.get(name)).collect()
    }
}
