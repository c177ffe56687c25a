//! Delivers only large orders, as messages for a chat.
//!
//! One component with two roles, filter and transformer. They run in one step of a hook's pipeline, with the same settings,
//! such as `{"at_least": 100, "channel": "orders"}`.

#![forbid(unsafe_code)]

use hookwright_plugin::{Event, Failure, Request, log};
use serde::Deserialize;
use serde_json::json;

/// The members of an event's data that this plugin reads. Others are ignored.
#[derive(Deserialize)]
struct Order {
    number: String,
    total: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    at_least: f64,
    channel: String,
}

/// Checks settings independently of any event. A hook with settings that this refuses is refused, too.
fn check(settings: &Settings) -> Result<(), Failure> {
    if settings.channel.is_empty() {
        return Err("`channel` is empty".into());
    }
    Ok(())
}

#[hookwright_plugin::filter(check = check)]
fn is_large(event: Event<Order>, settings: Settings) -> Result<bool, Failure> {
    log!(debug, "order {} over {}", event.data.number, event.data.total);
    Ok(event.data.total >= settings.at_least)
}

#[hookwright_plugin::transformer(check = check)]
fn chat_message(
    event: Event<Order>,
    mut request: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    let text = format!("Order {} over {:.2}", event.data.number, event.data.total);
    request.set_json(json!({"channel": settings.channel, "text": text}).to_string());
    Ok(Some(request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookwright_plugin::Body;

    fn order(total: f64) -> Event<Order> {
        Event::new("order.paid", Order { number: "A1".into(), total })
    }

    fn settings() -> Settings {
        Settings { at_least: 100.0, channel: "orders".into() }
    }

    #[test]
    fn only_large_orders_are_delivered() {
        assert_eq!(is_large(order(99.0), settings()), Ok(false));
        assert_eq!(is_large(order(100.0), settings()), Ok(true));
    }

    #[test]
    fn a_channel_is_required() {
        assert!(check(&settings()).is_ok());
        assert!(check(&Settings { channel: String::new(), ..settings() }).is_err());
    }

    #[test]
    fn the_message_has_number_and_total() {
        let draft = Request {
            method: "POST".into(),
            url: "https://chat.example/".into(),
            headers: vec![],
            body: Body::None,
        };
        let request =
            chat_message(order(120.5), draft, settings()).expect("no failure").expect("not dropped");
        assert_eq!(request.body, Body::Text(r#"{"channel":"orders","text":"Order A1 over 120.50"}"#.into()));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}
