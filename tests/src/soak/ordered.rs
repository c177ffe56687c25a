//! Clients that post events with ordering keys. Each has keys of its own, and posts the next event of a key only when the one
//! before is accepted, by whichever node.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::ORDERED;
use super::load::Proxy;

/// Concurrent clients.
const CLIENTS: usize = 32;
/// How long a client waits before it posts an event again that was not accepted.
const AGAIN: Duration = Duration::from_millis(100);

/// Starts to post `rate` events a second with so many `keys`.
pub fn start(proxy: &Arc<Proxy>, keys: usize, rate: u32, clients: &mut JoinSet<()>) {
    let period = Duration::from_secs(1) * CLIENTS as u32 / rate.max(1);
    for client in 0..CLIENTS.min(keys) {
        let proxy = Arc::clone(proxy);
        clients.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for position in 0.. {
                for key in (client..keys).step_by(CLIENTS) {
                    ticks.tick().await;
                    if proxy.is_stopped() {
                        return;
                    }
                    post(&proxy, key, position).await;
                }
            }
        });
    }
}

/// Posts the event at `position` of a key until it is accepted: its id tells posts of the same event.
async fn post(proxy: &Proxy, key: usize, position: u64) {
    let number = proxy.number();
    let body = json!({
        "id": format!("key-{key}-{position}"),
        "type": format!("to.{ORDERED}"),
        "ordering_key": format!("key-{key}"),
        "data": {"number": number, "key": key, "position": position},
    });
    let body = body.to_string();
    while !proxy.send(number, &[ORDERED], body.clone()).await {
        tokio::time::sleep(AGAIN).await;
    }
}
