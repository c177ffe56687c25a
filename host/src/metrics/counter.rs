//! Numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::label::Label;

/// A number that only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Counters<N> {
    /// Counters at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { Counter::new() }; N])
    }

    /// The counter of this value.
    pub fn of(&self, value: impl Label) -> &Counter {
        self.at(value.index())
    }

    /// The counter with this index, or the last one if there are not so many.
    pub fn at(&self, index: usize) -> &Counter {
        &self.0[index.min(N - 1)]
    }

    /// All numbers, in the order of the values.
    pub fn all(&self) -> [u64; N] {
        std::array::from_fn(|index| self.0[index].get())
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self::new()
    }
}
