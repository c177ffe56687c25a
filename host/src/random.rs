//! The only place that takes random numbers from the system.
//!
//! What the engine *does* at random, such as spreading retries, goes through [`Random`], which a simulation can seed. Keys,
//! nonces and secrets are made by [`secret_bytes`], which always asks the system: nothing may make them predictable.

use std::fmt::Debug;
use std::sync::Arc;

/// A source of random numbers for the engine's behavior. Behind a trait so that a simulation can seed it.
pub trait Random: Send + Sync + Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Random {
    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A random number from 0 to 1.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        f64::from(u32::from_le_bytes(self.bytes())) / f64::from(u32::MAX)
    }
}

/// The system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl SystemRandom {
    /// The system's generator as components take it.
    #[must_use]
    pub fn shared() -> Arc<dyn Random> {
        Arc::new(Self)
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "this is where random numbers are read")]
        rand::fill(bytes);
    }
}

/// `N` random bytes for a key, a nonce or a secret.
#[must_use]
pub fn secret_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "this is where random numbers are read")]
    rand::fill(&mut bytes);
    bytes
}
