//! Writes to an output that may stall, such as a pipe that nobody reads, without blocking anything else.

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

/// How many pieces wait to be written.
const MAX_WAITING: usize = 64;
/// How long the end waits for the last ones.
const MAX_END: Duration = Duration::from_millis(500);

/// See the module's head.
pub(super) struct Writer {
    pieces: Sender<Vec<u8>>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    /// Writes to `out` in a thread of its own, which ends with the process if the output stalls.
    pub(super) fn start(mut out: impl Write + Send + 'static) -> Self {
        let (pieces, mut received) = channel::<Vec<u8>>(MAX_WAITING);
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let mut written = Ok(());
            while written.is_ok()
                && let Some(piece) = received.blocking_recv()
            {
                written = out.write_all(&piece).and_then(|()| out.flush());
            }
            // Nobody writes from now on.
            drop(received);
            let _ = end.send(written);
        });
        Self { pieces, ended }
    }

    /// Writes a piece in its turn. Returns whether more can be written.
    pub(super) async fn write(&mut self, piece: Vec<u8>) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// Waits for what is not written yet, unless the output stalls.
    ///
    /// # Errors
    /// Fails if writing has failed.
    pub(super) async fn end(self) -> io::Result<()> {
        drop(self.pieces);
        match tokio::time::timeout(MAX_END, self.ended).await {
            Ok(Ok(written)) => written,
            _ => Ok(()),
        }
    }
}
