//! `wasi:random`: pseudo-random numbers from the event's id.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::seeded::SeededRng;
use crate::sandbox::fuel::HASHED_BYTE_FUEL;
use crate::sandbox::state::State;

/// Maximum number of bytes in one call of `get-random-bytes`.
const MAX_BYTES: u64 = 64 << 10;

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
