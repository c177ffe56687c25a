//! Calls that the host ends.

use super::SandboxError;

/// Why a call ended without a result although the plugin did not fail.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// It used up its slice. It can be repeated because calls have no side effects.
    Slice,
    /// Its caller is gone.
    Abandoned,
    /// The engine failed.
    Failed(SandboxError),
}

impl From<SandboxError> for Interrupted {
    fn from(error: SandboxError) -> Self {
        Self::Failed(error)
    }
}

impl From<wasmtime::Error> for Interrupted {
    fn from(error: wasmtime::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Interrupted> for SandboxError {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Failed(error) => error,
            Interrupted::Slice => Self::Engine("a call without a time slice was stopped".to_owned()),
            Interrupted::Abandoned => Self::ShutDown,
        }
    }
}
