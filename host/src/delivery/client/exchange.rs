//! A request and its answer, over whichever connection.
//!
//! Connections end while they are idle, and the end and our next request may pass each other on the way. Three
//! cases, of connections that have been used before; on a new one, every failure is the attempt's.
//!
//! 1. The end has come in before anything was written. Nothing can have been processed: the request goes over the next
//!    connection, and nobody notices.
//! 2. Something was written, and not a byte of an answer came before the end. Nearly always the receiver had closed
//!    already, but the request *may* have been processed. A client sends it again by itself only if the
//!    method is idempotent or it knows that repeating does no harm (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1),
//!    and once. It is known where the request bears a `webhook-id`: that is what receivers tell repetitions by, and
//!    delivery is *at least* once. So these are sent again, over a new connection, and a receiver which closes
//!    idle connections costs no failed attempt. Other requests are not: that attempt has failed and is recorded, and
//!    the hook's schedule says whether there is another.
//! 3. An answer had begun. The attempt has failed.

use super::answer::Answer;
use super::endpoint::{Endpoint, address};
use super::link::{Failure, Link};
use super::pool::Pool;
use super::unreachable::{NoAnswer, Unreachable};
use super::{Again, DeliveryClient, Request};
use crate::delivery::signing;
use crate::domain::TenantId;

impl DeliveryClient {
    /// Sends `request` until there is an answer, whose body is still to be read; and the pool in which its connection rests
    /// afterwards: that of the client on whose runtime it was opened.
    pub(super) async fn exchange(
        &self,
        tenant: TenantId,
        mut request: Request,
        again: &Again<'_>,
    ) -> Result<(Answer, &Pool), NoAnswer> {
        let endpoint = Endpoint::of(request.uri())?;
        address(&mut request, &endpoint)?;
        let repeatable = may_be_repeated(&request);
        while let Some((link, home)) = self.rested(&endpoint) {
            match link.request(request).await {
                Ok(answer) => return Ok((answer, home)),
                Err(Failure::Unsent(unsent, _)) => request = *unsent,
                Err(Failure::Unheard(error)) if repeatable => {
                    request = again().ok_or_else(|| Unreachable::classify(&error))?;
                    address(&mut request, &endpoint)?;
                    break;
                }
                Err(failure) => return Err(Unreachable::classify(&failure.into_error()).into()),
            }
        }
        let link = self.connector.connect(tenant, endpoint).await?;
        let answer = link.request(request).await;
        let answer = answer.map_err(|failure| Unreachable::classify(&failure.into_error()))?;
        Ok((answer, &self.pools[0]))
    }

    /// A connection that rests, with the pool to which it goes back.
    fn rested(&self, endpoint: &Endpoint) -> Option<(Box<Link>, &Pool)> {
        self.pools.iter().find_map(|pool| Some((pool.take(endpoint)?, &**pool)))
    }
}

fn may_be_repeated(request: &Request) -> bool {
    request.method().is_idempotent() || request.headers().contains_key(signing::ID)
}
