//! The only place that opens outbound connections, always through the [egress policy](super::egress).
//!
//! ```text
//! send ─▶ exchange ─┬─ pool.take ──▶ link.exchange ─┬─ answer, read whole ─▶ pool.put ─┐
//!                   │ (own pool, then siblings')    ├─ closed meanwhile ─▶ the next    ├─▶ Outcome
//!                   └─ connect, if there is none ──▶└─ broken, late, too long ─▶ gone ─┘
//! ```
//!
//! An exchange runs in the task of its attempt and nowhere else: a `link` polls hyper's half of the connection
//! together with what it waits for, so that no request is handed to another task and back. Whatever ends the
//! attempt, its timeout or a shutdown, drops the link, and with it the socket.
//!
//! Between exchanges a link rests in the `pool`, where nothing polls it. Whether the receiver has closed it
//! shows when it is taken out, which costs no attempt: hyper looks before it writes, and gives the request back.

mod answer;
mod connect;
mod endpoint;
mod exchange;
mod interim;
mod link;
mod lookup;
mod own_failure;
mod pool;
mod socket;
mod stream;
#[cfg(test)]
mod tests;
mod unreachable;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use tokio::task::unconstrained;
use tokio::time::Sleep;

pub use self::connect::Connector;
pub use self::own_failure::OwnFailure;
use self::pool::Pool;
use self::unreachable::{NoAnswer, innermost};
use crate::domain::attempt::BodyFailureKind;
use crate::domain::{BodyFailure, Outcome, TenantId};

/// What is sent, in hyper's terms.
type Request = http::Request<Full<Bytes>>;

/// Makes a request anew. Most are sent once, and a copy of each is not cheap.
pub type Again<'a> = dyn Fn() -> Option<http::Request<Full<Bytes>>> + Sync + 'a;

/// How many connections may rest in all unless there is a reason for fewer. Each holds a file descriptor and some 10 KB.
pub const IDLE_CONNECTIONS: usize = 1024;
/// For how long a connection may rest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests.
pub struct DeliveryClient {
    connector: Arc<Connector>,
    /// Its own, then those of its siblings, in which it looks before it connects. A socket that it takes from a sibling goes on
    /// being watched by that one's runtime, which wakes ours, and goes back there.
    pools: Vec<Arc<Pool>>,
}

impl DeliveryClient {
    /// So many clients, each with a share of at most `idle` connections that are not in use, to all receivers together, each for
    /// at most 60 seconds. One that has none to a receiver takes a sibling's, so that together they open no more than one
    /// would.
    ///
    /// # Panics
    /// Outside of a tokio runtime, on which the pool is swept.
    #[must_use]
    pub fn siblings(connector: &Arc<Connector>, count: usize, idle: usize) -> Vec<Self> {
        Self::with_timeout(connector, count, idle, IDLE_TIMEOUT)
    }

    fn with_timeout(
        connector: &Arc<Connector>,
        count: usize,
        idle: usize,
        idle_timeout: Duration,
    ) -> Vec<Self> {
        let pool = |_| {
            let pool = Arc::new(Pool::new(idle / count, idle_timeout));
            tokio::spawn(pool::sweep(Arc::downgrade(&pool)));
            pool
        };
        let mut pools: Vec<_> = (0..count).map(pool).collect();
        let client = |_| {
            let client = Self { connector: Arc::clone(connector), pools: pools.clone() };
            pools.rotate_left(1);
            client
        };
        (0..count).map(client).collect()
    }

    /// Sends one request of `tenant`. `timeout` is for all of it, from connecting to the last byte of the answer. Redirects are
    /// not followed. Where the request has to be sent once more, it is made by `again`; see `exchange`.
    ///
    /// Once the head of an answer is here, the status stands, whatever becomes of the body.
    ///
    /// # Errors
    /// If nothing was sent for a reason that lies with this machine.
    pub async fn send(
        &self,
        tenant: TenantId,
        request: Request,
        again: &Again<'_>,
        timeout: Duration,
    ) -> Result<Outcome, OwnFailure> {
        // One for both: a timer that is set costs more than one that goes on.
        let mut deadline = pin!(tokio::time::sleep(timeout));
        // Where it is made: to move it would be to copy some kilobytes.
        let exchange = pin!(self.exchange(tenant, request, again));
        let (mut answer, home) = match before(deadline.as_mut(), exchange).await {
            Some(Ok(answered)) => answered,
            Some(Err(NoAnswer::Unreachable(why))) => {
                return Ok(Outcome::Unreachable { kind: why.kind, message: why.message });
            }
            Some(Err(NoAnswer::Own(failure))) => {
                self.connector.report(&failure);
                return Err(failure);
            }
            None => return Ok(Outcome::TimedOut { after: timeout }),
        };
        let failure = match before(deadline, pin!(answer.read_body())).await {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                Some(BodyFailure { kind: BodyFailureKind::Protocol, message: innermost(&error).1 })
            }
            None => {
                let message = format!("the answer's body did not end within {} ms", timeout.as_millis());
                Some(BodyFailure { kind: BodyFailureKind::Timeout, message })
            }
        };
        let (response, link) = answer.finish(failure);
        if let Some(link) = link {
            home.put(link);
        }
        Ok(Outcome::Response(response))
    }
}

/// What `work` comes to, or none if the deadline is over first.
async fn before<W: Future>(mut deadline: Pin<&mut Sleep>, mut work: Pin<&mut W>) -> Option<W::Output> {
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        // Not counted against the task's budget, which `work` may have used up.
        pin!(unconstrained(deadline.as_mut())).poll(context).map(|()| None)
    })
    .await
}
