//! Failures of the engine, its machine or the operator's proxy, not of a receiver: no descriptors, memory or ports are left.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::clock;

/// How often a lasting failure is logged.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// No request was sent because of this machine. This says nothing about the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFailure(String);

impl OwnFailure {
    /// Returns the failure if connecting to `address` failed because of this machine.
    pub(super) fn of_connecting(address: SocketAddr, error: &io::Error) -> Option<Self> {
        if let Some(failure) = error.get_ref().and_then(|inner| inner.downcast_ref::<ProxyFailure>()) {
            return Some(Self(failure.to_string()));
        }
        let errno = Errno::from_io_error(error)?;
        let is_own = lacks_resources(errno) || (errno == Errno::ADDRNOTAVAIL && has_route(address));
        is_own.then(|| Self(format!("cannot open a connection: {error}")))
    }

    /// The proxy could not be reached in all the time that a request had.
    pub(super) fn proxy_not_reached(after: Duration) -> Self {
        Self(format!("the egress proxy failed: no connection within {} ms", after.as_millis()))
    }

    /// Returns the failure if a look-up failed because of this machine. The system's resolver reports most of what it lacks
    /// as a temporary failure of the name's servers, so this also tries to create a socket.
    pub(super) fn of_lookup(error: &io::Error) -> Option<Self> {
        let own = |error: &io::Error| Errno::from_io_error(error).is_some_and(lacks_resources);
        if own(error) {
            return Some(Self(format!("cannot look up names: {error}")));
        }
        let error = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err().filter(own)?;
        Some(Self(format!("cannot look up names: {error}")))
    }
}

impl fmt::Display for OwnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for OwnFailure {}

/// The operator's proxy failed. This says nothing about the receiver.
#[derive(Debug)]
pub(super) struct ProxyFailure(pub(super) String);

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ProxyFailure {}

fn lacks_resources(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)
}

/// Whether this machine has an address from which `address` can be reached. If it has, but cannot assign it to a connection,
/// all ports are in use. If not, as for IPv6 in many containers, the address cannot be reached at all.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    // Sends nothing, and only chooses a source address.
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

/// Logs own failures at intervals, because nearly every attempt fails while the cause lasts.
#[derive(Default)]
pub(super) struct FailureLog(Mutex<Logged>);

#[derive(Default)]
struct Logged {
    last: Option<Instant>,
    suppressed: u64,
}

impl FailureLog {
    pub(super) fn report(&self, failure: &OwnFailure) {
        if let Some(suppressed) = self.next(clock::monotonic()) {
            tracing::error!(
                error = failure as &dyn Error,
                suppressed,
                "cannot send requests; their deliveries wait without using up their retry schedules"
            );
        }
    }

    /// Returns how many failures were not logged since the last one, or none if this one is not logged either.
    fn next(&self, now: Instant) -> Option<u64> {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.last.is_some_and(|last| now.duration_since(last) < LOGGED_EVERY) {
            logged.suppressed += 1;
            return None;
        }
        logged.last = Some(now);
        Some(std::mem::take(&mut logged.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_resources_is_not_the_receivers_failure() {
        let receiver = SocketAddr::from(([127, 0, 0, 1], 80));
        for (errno, is_own) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::NOBUFS, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::CONNRESET, false),
            (Errno::NETUNREACH, false),
            (Errno::HOSTUNREACH, false),
            (Errno::TIMEDOUT, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(OwnFailure::of_connecting(receiver, &error).is_some(), is_own, "{error}");
        }
        // Port 0 aside, nothing can be sent to this one from here.
        let nowhere = SocketAddr::from(([240, 0, 0, 1], 0));
        let error = io::Error::from_raw_os_error(Errno::ADDRNOTAVAIL.raw_os_error());
        assert_eq!(OwnFailure::of_connecting(nowhere, &error).is_some(), has_route(nowhere));
        assert_eq!(OwnFailure::of_lookup(&io::Error::other("no such name")), None);
    }

    #[test]
    fn failures_are_logged_at_intervals_with_the_number_of_those_that_were_not() {
        let (log, start) = (FailureLog::default(), clock::monotonic());
        let at = |seconds| log.next(start + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(1), at(29), at(30), at(31), at(90)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
