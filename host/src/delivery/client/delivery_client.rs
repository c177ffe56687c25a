//! The client that workers send requests with.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::Sleep;

use super::connect::Connector;
use super::exchange::exchange;
use super::own_failure::OwnFailure;
use super::pool::{self, Pool};
use super::request::{MakeAgain, Request, Sender};
use super::unreachable::{NoResponse, innermost};
use crate::clock;
use crate::domain::attempt::BodyFailureKind;
use crate::domain::{BodyFailure, Outcome};
use crate::metrics::http_client;

/// The most idle connections in total. Each holds a file descriptor and about 10 KB.
pub const MAX_IDLE_CONNECTIONS: usize = 1024;
/// How long a connection may be idle.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests.
pub struct DeliveryClient {
    pub(super) connector: Arc<Connector>,
    /// Its own pool, then those of its siblings, where it looks before it connects. The runtime of a sibling goes on watching
    /// a socket that is taken from it, wakes this one's, and gets the socket back.
    pub(super) pools: Vec<Arc<Pool>>,
}

impl DeliveryClient {
    /// Creates `count` clients. Together they keep at most `idle` idle connections, each for at most 60 seconds. A client
    /// without an idle connection to a receiver takes a sibling's, so that all together open no more than one would.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime, on which the pools are swept.
    #[must_use]
    pub fn siblings(connector: &Arc<Connector>, count: usize, idle: usize) -> Vec<Self> {
        Self::with_timeout(connector, count, idle, IDLE_TIMEOUT)
    }

    pub(super) fn with_timeout(
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

    /// Sends one request of `sender`. `timeout` covers everything from connecting to the last byte of the response. Redirects
    /// are not followed. If the request has to be sent once more, `again` makes it.
    ///
    /// When the head of a response has arrived, its status counts, whatever happens to the body.
    ///
    /// # Errors
    /// Fails if nothing was sent because of this machine.
    pub async fn send(
        &self,
        sender: impl Into<Sender<'_>>,
        request: Request,
        again: &MakeAgain<'_>,
        timeout: Duration,
    ) -> Result<Outcome, OwnFailure> {
        let (sender, began) = (sender.into(), clock::monotonic());
        let ended = |outcome| {
            if sender.is_counted {
                http_client::request_ended(&outcome, clock::elapsed(began));
            }
            Ok(outcome)
        };
        // One timer for head and body: setting a second one would be more expensive.
        let mut deadline = pin!(tokio::time::sleep(timeout));
        // Pinned in place: moving it would copy some kilobytes.
        let reaching_proxy = AtomicBool::new(false);
        let connector = (&*self.connector, &reaching_proxy);
        let exchange = pin!(exchange(connector, &self.pools, &sender, request, again));
        let (mut response, home) = match before(deadline.as_mut(), exchange).await {
            Some(Ok(response)) => response,
            Some(Err(NoResponse::Unreachable(why))) => {
                return ended(Outcome::Unreachable { kind: why.kind, message: why.message });
            }
            Some(Err(NoResponse::Own(failure))) => {
                self.connector.report(&failure);
                return Err(failure);
            }
            None if reaching_proxy.load(Relaxed) => {
                let failure = OwnFailure::proxy_not_reached(timeout);
                self.connector.report(&failure);
                return Err(failure);
            }
            None => return ended(Outcome::TimedOut { after: timeout }),
        };
        let failure = match before(deadline, pin!(response.read_body())).await {
            Some(Ok(())) => None,
            Some(Err(error)) => {
                Some(BodyFailure { kind: BodyFailureKind::Protocol, message: innermost(&error).1 })
            }
            None => {
                let message = format!("the response body did not end within {} ms", timeout.as_millis());
                Some(BodyFailure { kind: BodyFailureKind::Timeout, message })
            }
        };
        let (response, connection) = response.finish(failure);
        if let Some(connection) = connection {
            home.put(connection);
        }
        ended(Outcome::Response(response))
    }
}

/// The output of `work`, or none if the deadline ends first.
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
