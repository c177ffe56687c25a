//! The limit on open files and sockets, and its distribution.
//!
//! Systems start processes with a low soft limit, often 1,024, for programs that use `select`, and with a
//! high hard limit. The engine raises its soft limit to the hard limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::delivery::client::MAX_IDLE_CONNECTIONS;

/// Raises the soft limit to the hard limit. Returns the limit in effect.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    // If it cannot be raised, the engine works with the current limit.
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

/// Files that the engine has open beside connections: those of the database, and at most 32 uploads and 32 downloads.
const BASE_FILES: usize = 128 + ADMIN_CONNECTIONS;
/// The maximum number of connections of the admin listener.
pub(crate) const ADMIN_CONNECTIONS: usize = 32;
/// Files that the thread of each core has open.
const FILES_PER_CORE: usize = 4;
/// The maximum number of idle connections to receivers.
const MAX_IDLE: usize = MAX_IDLE_CONNECTIONS;
/// The maximum number of connections of clients.
const MAX_CLIENTS: usize = 10_000;
/// The minimum number of each kind of connection.
const MIN: usize = 8;

/// The distribution of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Requests to receivers in progress.
    pub(crate) in_flight: usize,
    /// Idle connections to receivers.
    pub(crate) idle: usize,
    /// Connections of clients.
    pub(crate) clients: usize,
}

impl Shares {
    /// Distributes `limit` so that the maxima of all kinds fit at once. After the engine's own files,
    /// requests in progress get up to three fifths. Connections of clients get two thirds of the rest, and
    /// idle connections one third.
    pub(crate) fn of(limit: usize, max_in_flight: usize, cores: usize) -> Self {
        let free = limit.saturating_sub(BASE_FILES + FILES_PER_CORE * cores);
        let in_flight = max_in_flight.min(free / 5 * 3).max(MIN);
        let rest = free.saturating_sub(in_flight);
        let idle = (rest / 3).min(MAX_IDLE);
        Self { in_flight, idle, clients: (rest - idle).clamp(MIN, MAX_CLIENTS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_limit() {
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(limit.current.is_none_or(|most| most == raised as u64));
    }

    #[test]
    fn the_maxima_fit_into_the_limit() {
        for (limit, max_in_flight, in_flight, idle, clients) in [
            (64, 512, 8, 0, 8),
            (256, 512, 51, 12, 25),
            (1_024, 512, 512, 114, 230),
            (4_096, 512, 512, 1_024, 2_392),
            (4_096, 3_000, 2_355, 524, 1_049),
            (usize::MAX, 512, 512, 1_024, 10_000),
        ] {
            let shares = Shares::of(limit, max_in_flight, 2);
            assert_eq!(shares, Shares { in_flight, idle, clients }, "{limit} {max_in_flight}");
            assert!(limit < 256 || BASE_FILES + 8 + in_flight + idle + clients <= limit, "{limit}");
        }
    }
}
