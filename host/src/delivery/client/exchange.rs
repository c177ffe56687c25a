//! One request and its response, over any connection.
//!
//! Receivers close idle connections, and may do so at the moment when the next request is sent. There are three cases for a
//! connection that has been used before; on a new connection, every failure is the attempt's.
//!
//! 1. It was closed before anything was written. The receiver cannot have processed the request, which goes over the next
//!    connection.
//! 2. Something was written, and it was closed before a byte of the response. Nearly always the receiver had closed it
//!    already, but it *may* have processed the request. A client repeats a request by itself only if its method is
//!    idempotent, or if it knows that repeating does no harm (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1), and only
//!    once. A request with a `webhook-id`, or the hook's own name for it, does no harm: receivers recognize repetitions by it, and delivery is *at least*
//!    once. Such requests are sent again over a new connection, so that a receiver that closes idle connections costs no
//!    failed attempt. For other requests, the attempt has failed.
//! 3. A response had begun. The attempt has failed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::connect::Connector;
use super::connection::{Connection, Failure};
use super::endpoint::{Endpoint, address};
use super::pool::Pool;
use super::request::{MakeAgain, Request, Sender};
use super::response::ResponseInFlight;
use super::unreachable::{NoResponse, Unreachable};
use crate::domain::TenantId;

/// Sends `request` until there is a response, whose body is not read yet. Connections are taken from `pools`, the client's
/// own first, or opened, and meanwhile `reaching_proxy` may be set. Also returns the pool to which the connection goes back: that of the client on whose runtime it was
/// opened.
pub(super) async fn exchange<'p>(
    (connector, reaching_proxy): (&Connector, &AtomicBool),
    pools: &'p [Arc<Pool>],
    sender: &Sender<'_>,
    mut request: Request,
    again: &MakeAgain<'_>,
) -> Result<(ResponseInFlight, &'p Pool), NoResponse> {
    let endpoint = Endpoint::of(request.uri(), sender.tls)?;
    address(&mut request, &endpoint)?;
    let repeatable = sender.is_repeatable || may_be_repeated(&request, sender.id_header);
    while let Some((connection, home)) = take_idle(pools, &endpoint, sender.tenant) {
        if connection.generation() != connector.generation() {
            connection.close();
            continue;
        }
        match connection.send(request).await {
            Ok((response, connection)) => return Ok((ResponseInFlight::new(response, connection), home)),
            Err(Failure::Unsent(unsent, _)) => request = *unsent,
            Err(Failure::ClosedBeforeResponse(error)) if repeatable => {
                request = again().ok_or_else(|| Unreachable::classify(&error))?;
                address(&mut request, &endpoint)?;
                break;
            }
            Err(failure) => return Err(Unreachable::classify(&failure.into_error()).into()),
        }
    }
    let connection = connector.connect(sender, endpoint, reaching_proxy).await?;
    let sent = connection.send(request).await;
    let (response, connection) = sent.map_err(|failure| Unreachable::classify(&failure.into_error()))?;
    Ok((ResponseInFlight::new(response, connection), &pools[0]))
}

/// An idle connection that requests of `tenant` may go over, with the pool to which it goes back.
fn take_idle<'p>(
    pools: &'p [Arc<Pool>],
    endpoint: &Endpoint,
    tenant: TenantId,
) -> Option<(Box<Connection>, &'p Pool)> {
    pools.iter().find_map(|pool| Some((pool.take(endpoint, tenant)?, &**pool)))
}

fn may_be_repeated(request: &Request, id_header: &str) -> bool {
    request.method().is_idempotent() || request.headers().contains_key(id_header)
}
