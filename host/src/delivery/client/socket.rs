//! A TCP connection that counts what it receives, below TLS, and ends an exchange that receives too much.
//!
//! What a receiver sends costs the engine CPU time even if it never becomes a response: interim responses, chunk sizes with
//! leading zeros, empty TLS records, or any of these one byte at a time. The bytes and reads of one exchange are limited
//! here, where everything passes.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most bytes of one exchange, including TLS's own: more than the longest head and body together.
const MAX_BYTES: u32 = 256 * 1024;
/// The most reads of one exchange that return bytes. Each may wake the attempt's task. The longest response that is read
/// arrives in about a hundred segments.
const MAX_READS: u32 = 512;

/// What was received during the current exchange. Only the task that has the connection uses it, so the order of memory
/// accesses does not matter. Clones share the counts.
#[derive(Clone, Default)]
pub(super) struct Intake(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Whether a byte of a response was received, apart from TLS's own bytes.
    has_response: AtomicBool,
    reads: AtomicU32,
    bytes: AtomicU32,
}

impl Intake {
    /// Starts to count the next exchange.
    pub(super) fn begin(&self) {
        self.0.has_response.store(false, Ordering::Relaxed);
        self.0.reads.store(0, Ordering::Relaxed);
        self.0.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether a byte of a response was received since the exchange began.
    pub(super) fn has_response_bytes(&self) -> bool {
        self.0.has_response.load(Ordering::Relaxed)
    }

    pub(super) fn note_response_bytes(&self) {
        self.0.has_response.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// Fails if nothing more may be read for this exchange.
    fn check(&self) -> Result<(), TooMuch> {
        if self.0.reads.load(Ordering::Relaxed) >= MAX_READS {
            return Err(TooMuch::Reads);
        }
        if self.0.bytes.load(Ordering::Relaxed) >= MAX_BYTES {
            return Err(TooMuch::Bytes);
        }
        Ok(())
    }

    fn count(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let all = self.0.bytes.load(Ordering::Relaxed).saturating_add(bytes);
        self.0.bytes.store(all, Ordering::Relaxed);
        self.0.reads.store(self.0.reads.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// The limit that an exchange reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TooMuch {
    Bytes,
    Reads,
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => {
                write!(f, "the receiver sent over {} KiB without completing its response", MAX_BYTES / 1024)
            }
            Self::Reads => {
                write!(f, "the receiver sent its response in over {MAX_READS} pieces without completing it")
            }
        }
    }
}

impl std::error::Error for TooMuch {}

/// See the module's head.
pub(super) struct Socket {
    stream: TcpStream,
    intake: Intake,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, intake: Intake::default() }
    }

    pub(super) fn intake(&self) -> &Intake {
        &self.intake
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buf.filled().len());
        if let Err(limit) = this.intake.check() {
            return Poll::Ready(Err(io::Error::other(limit)));
        }
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.intake.count(buf.filled().len() - before);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
