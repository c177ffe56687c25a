//! `wasi:io`: empty input, output to the plugin's log, and pollables that are always ready.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::error;

use crate::sandbox::logs::Stdio;
use crate::sandbox::state::State;

/// Representations of the handles.
pub(super) const STDIN: u32 = 0;
pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;
pub(super) const READY: u32 = 3;

/// Maximum size of a write, in bytes.
const MAX_WRITE: u64 = 4096;
/// Maximum number of handles in one poll; `wasi:io` has no limit of its own.
const MAX_POLLED: usize = 1024;

/// Fuel per byte that is written, and per handle that is polled.
const UNIT_FUEL: u64 = 8;

impl error::Host for State {}
impl error::HostError for State {
    fn to_debug_string(&mut self, _: Resource<error::Error>) -> wasmtime::Result<String> {
        Ok(String::new())
    }

    fn drop(&mut self, _: Resource<error::Error>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl poll::Host for State {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() || pollables.len() > MAX_POLLED {
            return Err(wasmtime::format_err!(
                "polled {} handles at once; expected 1 to {MAX_POLLED}",
                pollables.len()
            ));
        }
        self.charge(pollables.len(), UNIT_FUEL)?;
        Ok((0..).take(pollables.len()).collect())
    }
}

impl poll::HostPollable for State {
    fn ready(&mut self, _: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn block(&mut self, _: Resource<DynPollable>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn drop(&mut self, _: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.wasi.drop_handle();
        Ok(())
    }
}

impl streams::Host for State {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Trap(error) => Err(error),
            // No operation here fails in any other way.
            StreamError::Closed | StreamError::LastOperationFailed(_) => Ok(streams::StreamError::Closed),
        }
    }
}

impl streams::HostInputStream for State {
    fn read(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _: Resource<DynInputStream>, _: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.handle(READY)
    }

    fn drop(&mut self, _: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.wasi.drop_handle();
        Ok(())
    }
}

impl State {
    fn write(&mut self, stream: &Resource<DynOutputStream>, bytes: &[u8]) -> StreamResult<()> {
        if bytes.len() as u64 > MAX_WRITE {
            let error =
                wasmtime::format_err!("wrote {} bytes at once; the limit is {MAX_WRITE}", bytes.len());
            return Err(StreamError::Trap(error));
        }
        self.charge(bytes.len(), UNIT_FUEL).map_err(StreamError::Trap)?;
        let stdio = if stream.rep() == STDERR { Stdio::Err } else { Stdio::Out };
        self.logs.write_stdio(stdio, bytes);
        Ok(())
    }
}

impl streams::HostOutputStream for State {
    fn check_write(&mut self, _: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(MAX_WRITE)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        Self::write(self, &stream, &bytes)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        Self::write(self, &stream, &bytes)
    }

    fn flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    /// Ignores zeroes, which are not text.
    fn write_zeroes(&mut self, _: Resource<DynOutputStream>, _: u64) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_write_zeroes_and_flush(&mut self, _: Resource<DynOutputStream>, _: u64) -> StreamResult<()> {
        Ok(())
    }

    fn splice(
        &mut self,
        _: Resource<DynOutputStream>,
        _: Resource<DynInputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        _: Resource<DynOutputStream>,
        _: Resource<DynInputStream>,
        _: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.handle(READY)
    }

    fn drop(&mut self, _: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.wasi.drop_handle();
        Ok(())
    }
}
