//! A random number generator with a seed.
//!
//! It is SHA-256 of the seed and a counter. It does not come from a crate, so that an upgrade cannot change
//! the numbers that a retry of an old event sees.

use crate::domain::hash::sha256;

/// Generates blocks of 32 bytes from a seed.
pub(super) struct SeededRng {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl SeededRng {
    pub(super) fn new(text: &str) -> Self {
        let seed = sha256(&[b"hookwright random 1\0", text.as_bytes()]);
        Self { seed, counter: 0, block: [0; 32], used: 32 }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                self.block = sha256(&[&self.seed, &self.counter.to_le_bytes()]);
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str, pieces: &[usize]) -> Vec<u8> {
        let mut rng = SeededRng::new(text);
        let mut all = Vec::new();
        for piece in pieces {
            let mut bytes = vec![0; *piece];
            rng.fill(&mut bytes);
            all.append(&mut bytes);
        }
        all
    }

    #[test]
    fn numbers_depend_only_on_the_event_and_not_on_the_sizes_of_reads() {
        assert_eq!(bytes("evt_1", &[70]), bytes("evt_1", &[1, 31, 32, 6]));
        assert_ne!(bytes("evt_1", &[70]), bytes("evt_2", &[70]));
    }

    #[test]
    fn numbers_are_stable_between_releases() {
        assert_eq!(hex::encode(bytes("evt_1", &[8])), "f976faf3024cc537");
    }
}
