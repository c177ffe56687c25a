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
mod link;
mod lookup;
mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod unreachable;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;

pub use self::connect::Connector;
use self::pool::Pool;
use crate::domain::{Outcome, TenantId};

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
    pub async fn send(
        &self,
        tenant: TenantId,
        request: Request,
        again: &Again<'_>,
        timeout: Duration,
    ) -> Outcome {
        // Where it is made: to move it would be to copy some kilobytes.
        let exchange = pin!(self.exchange(tenant, request, again));
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(response)) => Outcome::Response(response),
            Ok(Err(failure)) => Outcome::Unreachable { kind: failure.kind, message: failure.message },
            Err(_) => Outcome::TimedOut { after: timeout },
        }
    }
}
