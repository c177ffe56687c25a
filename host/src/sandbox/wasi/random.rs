//! `wasi:random`: pseudo-random numbers from the event's id.
//!
//! The generator is SHA-256 of a seed and a counter. It does not come from a crate, so that an upgrade cannot change
//! the numbers that a retry of an old event sees.

use sha2::{Digest as _, Sha256};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::sandbox::state::State;
use crate::sandbox::v1::host::HASHED_BYTE_FUEL;

/// Maximum number of bytes in one call of `get-random-bytes`.
const MAX_BYTES: u64 = 64 << 10;

/// Generates blocks of 32 bytes from a seed.
pub(super) struct SeededRng {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl SeededRng {
    fn new(text: &str) -> Self {
        let seed = Sha256::new().chain_update(b"hookwright random 1\0").chain_update(text).finalize();
        Self { seed: seed.into(), counter: 0, block: [0; 32], used: 32 }
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                let block = Sha256::new().chain_update(self.seed).chain_update(self.counter.to_le_bytes());
                self.block = block.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

impl State {
    fn random(&mut self) -> &mut SeededRng {
        let event = &self.wasi.event;
        self.wasi.random.get_or_insert_with(|| {
            Box::new(SeededRng::new(event.as_ref().map_or("", |event| event.id.as_str())))
        })
    }

    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MAX_BYTES {
            return Err(wasmtime::format_err!(
                "requested {len} random bytes at once; the limit is {MAX_BYTES}"
            ));
        }
        let len = usize::try_from(len)?;
        self.charge(len, HASHED_BYTE_FUEL)?;
        let mut bytes = vec![0; len];
        self.random().fill(&mut bytes);
        Ok(bytes)
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.charge(bytes.len(), HASHED_BYTE_FUEL)?;
        self.random().fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
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
