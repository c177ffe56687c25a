//! What a service manager such as systemd and the engine tell each other: sockets that are bound already, and the state of the
//! service (sd_listen_fds(3), sd_notify(3)). Without a service manager, all of it does nothing.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

use crate::config::process_environment;
use crate::cores::Cores;

/// The names of sockets (`FileDescriptorName=`, systemd.socket(5)).
const API: &str = "http";
const ADMIN: &str = "admin";

/// Sockets that the service manager has bound. Connections that arrive during a restart wait in them.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For the API, called `http`.
    pub api: Option<TcpListener>,
    /// For the admin listener, called `admin`.
    pub admin: Option<TcpListener>,
}

/// Why the sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// One is not listening for TCP connections.
    #[error("the service manager passed a socket `{name}` that is no TCP socket")]
    NotTcp {
        /// Its name.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// One is for neither listener.
    #[error(
        "the service manager passed a socket `{name}`; expected `http`, `admin` or both: set FileDescriptorName= in the socket unit"
    )]
    UnknownName {
        /// Its name.
        name: String,
    },
    /// Two are for the same listener.
    #[error("the service manager passed two sockets `{name}`; the engine listens on one")]
    Duplicate {
        /// Their name.
        name: String,
    },
}

impl Sockets {
    /// Takes the sockets that the service manager has passed to this process. A socket alone is the API's unless its name is
    /// another one's: systemd calls it by its unit if nothing else is set. To be called once, while there is one thread.
    ///
    /// # Errors
    /// If one cannot be used.
    pub fn take() -> Result<Self, SocketError> {
        let names = process_environment("LISTEN_FDNAMES").and_then(|names| names.into_string().ok());
        let mut names = names.as_deref().unwrap_or_default().split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let socket = passed.take_tcp_listener(index);
            let socket = socket.map_err(|source| SocketError::NotTcp { name: name.clone(), source })?;
            let place = match name.as_str() {
                ADMIN => &mut sockets.admin,
                API => &mut sockets.api,
                _ if passed.len() == 1 => &mut sockets.api,
                _ => return Err(SocketError::UnknownName { name }),
            };
            if place.is_some() {
                return Err(SocketError::Duplicate { name });
            }
            *place = socket;
        }
        Ok(sockets)
    }
}

/// The engine starts, which takes a while if the database is upgraded.
pub fn starting() {
    tell(&[NotifyState::Status("starting")]);
}

/// The engine serves, as `status` describes it.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The engine reads its settings anew. [`ready`] must follow.
pub fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading the settings")]);
    }
}

/// The engine shuts down, which takes at most `within`.
pub fn stopping(within: Duration) {
    let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    let status = NotifyState::Status("shutting down: waiting for requests in progress");
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within), status]);
}

/// Tells the service manager from time to time that the engine is well, if it wants to know (`WatchdogSec=`): all `cores`
/// respond. The database is not asked, because a restart mends no full disk.
pub async fn keep_watchdog(cores: Arc<Cores>) {
    let Some(timeout) = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()) else { return };
    let mut ticks = tokio::time::interval(timeout / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if cores.respond(timeout / 3).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a core does not respond; the service manager may restart the engine");
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot notify the service manager");
    }
}
