//! The demo's events: made up, and the same at each run.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::api::Api;

const NAMES: [&str; 6] = [
    "Customer Eleven",
    "Customer Twelve",
    "Customer Thirteen",
    "Customer Fourteen",
    "Customer Fifteen",
    "Customer Sixteen",
];
const ITEMS: [(&str, u32); 5] =
    [("lamp-7", 8_990), ("bulb-e27", 450), ("desk-oak", 42_900), ("chair-2", 12_950), ("cable-3m", 790)];
/// Beyond what JavaScript's numbers hold exactly: consoles must not change its digits.
const FIRST_ID: u64 = 9_007_199_254_740_993;

/// Publishes one event after the other.
pub(super) struct Traffic {
    shop: Api,
    calls: Api,
    number: u64,
}

impl Traffic {
    pub(super) fn new(shop: Api, calls: Api) -> Self {
        Self { shop, calls, number: 0 }
    }

    /// Publishes the next event.
    pub(super) async fn publish(&mut self) -> Result<()> {
        self.number += 1;
        let (number, pick) = (self.number, Pick(mixed(self.number)));
        let (api, event) = match number % 8 {
            0 => (&self.calls, json!({ "type": "call.ended", "data": call(number, pick) })),
            3 => (&self.calls, json!({ "type": "call.started", "data": call(number, pick) })),
            5 if pick.of(2) == 0 => {
                (&self.shop, json!({ "type": "customer.updated", "data": customer(pick) }))
            }
            6 => (&self.shop, json!({ "type": "order.refunded", "data": order(number, pick) })),
            1 | 7 => (&self.shop, json!({ "type": "order.created", "data": order(number, pick) })),
            _ => (&self.shop, json!({ "type": "order.paid", "data": order(number, pick) })),
        };
        api.post("/events", &event).await.map(drop)
    }
}

/// Chooses by parts of a number that looks random.
#[derive(Clone, Copy)]
struct Pick(u64);

impl Pick {
    fn of(self, count: u64) -> u64 {
        (self.0 >> 16) % count
    }

    fn other(self, count: u64) -> u64 {
        (self.0 >> 40) % count
    }
}

/// The finalizer of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn order(number: u64, pick: Pick) -> Value {
    let (item, cents) = ITEMS[pick.of(ITEMS.len() as u64) as usize];
    let count = pick.other(3) as u32 + 1;
    // One in five is ordered by a guest.
    let customer = if pick.other(5) == 0 { Value::Null } else { customer(pick) };
    json!({
        "id": FIRST_ID + number, "number": format!("A-{}", 1_000 + number),
        "total": f64::from(cents * count) / 100.0, "currency": "EUR",
        "customer": customer, "items": [{ "sku": item, "count": count }],
    })
}

fn customer(pick: Pick) -> Value {
    let number = pick.of(NAMES.len() as u64);
    json!({ "name": NAMES[number as usize], "email": format!("customer-{}@shop.example", number + 11) })
}

fn call(number: u64, pick: Pick) -> Value {
    json!({
        "id": format!("c-{number}"), "from": format!("+1555010{:02}", pick.of(100)),
        "agent": format!("agent-{}", pick.other(4) + 1), "seconds": pick.of(600),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_orders_have_no_customer_and_most_do() {
        let orders: Vec<_> = (1..=100).map(|number| order(number, Pick(mixed(number)))).collect();
        let guests = orders.iter().filter(|order| order["customer"].is_null()).count();
        assert!((10..=35).contains(&guests), "{guests}");
        assert_eq!(orders[0]["id"].to_string(), (FIRST_ID + 1).to_string());
    }
}
