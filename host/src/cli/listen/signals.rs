//! The signals of the command.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that end the command.
pub(super) struct EndSignals([Signal; 4]);

impl EndSignals {
    pub(super) fn listen() -> Result<Self> {
        let [interrupt, terminate, hangup, quit] = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            // Its own action would leave the terminal as it is, too.
            SignalKind::quit(),
        ]
        .map(listen);
        Ok(Self([interrupt?, terminate?, hangup?, quit?]))
    }

    /// Waits for one.
    pub(super) async fn any(&mut self) {
        let [interrupt, terminate, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// Those of job control, which a command that has changed the terminal must handle.
pub(super) struct JobSignals {
    stop: Signal,
    go_on: Signal,
}

/// What such a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Stop,
    GoOn,
}

impl JobSignals {
    pub(super) fn listen() -> Result<Self> {
        use rustix::process::Signal;
        let of = |signal: Signal| listen(SignalKind::from_raw(signal.as_raw()));
        Ok(Self { stop: of(Signal::TSTP)?, go_on: of(Signal::CONT)? })
    }

    /// The next one. The future may be dropped.
    pub(super) async fn next(&mut self) -> Job {
        tokio::select! {
            _ = self.stop.recv() => Job::Stop,
            _ = self.go_on.recv() => Job::GoOn,
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("cannot listen for signals")
}
