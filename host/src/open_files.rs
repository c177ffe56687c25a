//! How many files and sockets the process may have open.
//!
//! Systems start programs with a low soft limit, 1,024 in most places, for the sake of those that cannot deal with
//! greater numbers, and with a high hard limit, up to which every program may go by itself. This one can deal with them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::delivery::client::IDLE_CONNECTIONS;

/// Raises the limit as far as the system lets it be raised, and answers with what it is then.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    // Where it cannot be raised, what there is has to do.
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

/// Files that the engine has open whatever its load: the database, plugins' code, its own ends of this and that.
const OWN: usize = 96;
/// Those of one core's thread.
const OWN_PER_CORE: usize = 4;
/// The greatest number of connections to receivers that rest.
const MAX_RESTING: usize = IDLE_CONNECTIONS;
/// The greatest number of connections of clients.
const MAX_CLIENTS: usize = 10_000;
/// The fewest of each that an engine can work with.
const MIN: usize = 8;

/// Who may have how many files open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Requests to receivers that are under way.
    pub(crate) in_flight: usize,
    /// Connections to receivers that rest.
    pub(crate) resting: usize,
    /// Connections of clients.
    pub(crate) clients: usize,
}

impl Shares {
    /// Divides `limit` files, so that all that there may be of each can be there at once. Requests under way come first, up
    /// to three fifths of what is left beside the engine's own files; connections of clients have two thirds of the rest.
    pub(crate) fn of(limit: usize, max_in_flight: usize, cores: usize) -> Self {
        let free = limit.saturating_sub(OWN + OWN_PER_CORE * cores);
        let in_flight = max_in_flight.min(free / 5 * 3).max(MIN);
        let rest = free.saturating_sub(in_flight);
        let resting = (rest / 3).min(MAX_RESTING);
        Self { in_flight, resting, clients: (rest - resting).clamp(MIN, MAX_CLIENTS) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_then_the_hard_one() {
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert!(limit.current.is_none_or(|most| most == raised as u64));
    }

    #[test]
    fn what_may_be_open_at_once_fits_into_the_limit() {
        for (limit, max_in_flight, in_flight, resting, clients) in [
            (64, 512, 8, 0, 8),
            (256, 512, 90, 20, 42),
            (1_024, 512, 512, 136, 272),
            (4_096, 512, 512, 1_024, 2_456),
            (4_096, 3_000, 2_394, 532, 1_066),
            (usize::MAX, 512, 512, 1_024, 10_000),
        ] {
            let shares = Shares::of(limit, max_in_flight, 2);
            assert_eq!(shares, Shares { in_flight, resting, clients }, "{limit} {max_in_flight}");
            assert!(limit < 256 || OWN + 8 + in_flight + resting + clients <= limit, "{limit}");
        }
    }
}
