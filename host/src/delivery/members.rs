//! Follows the other nodes: limits are divided anew when one joins or leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use crate::clock;
use crate::domain::View;

/// How often it is looked whether what is in flight has come down to this node's shares.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long others wait for that at most: a receiver that takes long must not hold up the work for all others.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Follows the nodes. Ends with the membership.
pub async fn follow(dispatcher: Arc<Dispatcher>) {
    let mut changes = dispatcher.membership().changes();
    loop {
        let members = changes.borrow_and_update().clone();
        let view = members.view().clone();
        dispatcher.queue().set_members(members, clock::monotonic());
        dispatcher.pump();
        dispatcher.wake();
        tokio::select! {
            () = apply(&dispatcher, &view) => if changes.changed().await.is_err() { return },
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells the others that this node keeps to `view`, once it does.
async fn apply(dispatcher: &Dispatcher, view: &View) {
    let end = Instant::from_std(clock::monotonic()) + MAX_WAIT;
    while dispatcher.queue().exceeds_shares() && Instant::from_std(clock::monotonic()) < end {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    dispatcher.membership().set_applied(view);
}

#[cfg(test)]
mod tests;
