//! Follows a tenant's deliveries: the stream, and lists of what it did not tell.
//!
//! The stream tells what happens while it is open. After each opening, deliveries are listed from the oldest one about
//! which there may be news, so a break hides nothing. [`Seen`] tells apart what was announced before.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;

use super::options::Filter;
use super::seen::{News, Seen};
use super::stream::Stream;
use super::update::Update;
use super::wire::{Change, Delivery, Notice, Page};
use crate::cli::engine_api::{ApiError, EngineApi};
use crate::domain::{DeliveryId, UnixMillis};

/// Ids are given before deliveries are stored, on several nodes: one may appear after others with greater ids.
const OVERLAP: Duration = Duration::from_secs(10);
/// The most deliveries that are new in one list.
const MAX_LISTED: usize = 10_000;
const PAGE: usize = 250;
/// How many deliveries from before the start are shown.
const MAX_EARLIER: usize = 100;
/// How long it takes until the stream is opened again. Doubles with each failure.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// See the module's head.
pub(super) struct Feed {
    api: EngineApi,
    filter: Filter,
    updates: Sender<Update>,
    /// Whether the stream is open. Known before the updates that wait.
    connected: watch::Sender<bool>,
    seen: Seen,
    failures: u32,
}

impl Feed {
    /// Looks what there is already.
    ///
    /// # Errors
    /// Fails if the engine cannot be asked.
    pub(super) async fn start(
        api: EngineApi,
        filter: Filter,
        updates: Sender<Update>,
        connected: watch::Sender<bool>,
    ) -> Result<Self, ApiError> {
        let query = filter.query(&[("limit", &MAX_EARLIER.to_string())]);
        let earlier: Page<Delivery> = api.get(&format!("/deliveries?{query}")).await?;
        let newest = earlier.data.iter().map(Delivery::number).max().unwrap_or(DeliveryId(0));
        let since = newest.created_at().minus(OVERLAP);
        let recent = list(&api, &filter, since, |_| false).await?;
        // What is older than the list is not new.
        let oldest = recent.deliveries.last().filter(|_| !recent.is_complete).map(Delivery::number);
        let mut seen = Seen::up_to(oldest.unwrap_or_else(|| DeliveryId::first_at(since)));
        for delivery in earlier.data.iter().chain(&recent.deliveries) {
            seen.see(delivery, false);
        }
        let _ = updates.send(Update::Earlier(earlier.data)).await;
        Ok(Self { api, filter, updates, connected, seen, failures: 0 })
    }

    /// Follows until the engine refuses it.
    pub(super) async fn run(mut self) -> ApiError {
        loop {
            let why = match self.follow().await {
                Ok(why) => why,
                Err(error) if error.is_final() => return error,
                Err(error) => error.to_string(),
            };
            self.connected.send_replace(false);
            self.send(Update::Disconnected { why }).await;
            tokio::time::sleep(wait(self.failures)).await;
            self.failures += 1;
        }
    }

    /// Follows one stream, and returns why it ended.
    async fn follow(&mut self) -> Result<String, ApiError> {
        let mut stream = Stream::open(&self.api, &self.filter.query(&[])).await?;
        loop {
            let event = stream.next().await?;
            match event.name.as_str() {
                "hello" => {
                    self.connected.send_replace(true);
                    self.catch_up().await?;
                    self.failures = 0;
                    self.send(Update::Connected).await;
                }
                "delivery" => {
                    if let Ok(change) = serde_json::from_str::<Change>(&event.data) {
                        let is_created = change.change == "created";
                        let is_new = self.seen.see(&change.delivery, is_created) == News::First;
                        // The list after the opening was first.
                        if is_created && !is_new {
                            continue;
                        }
                        self.send(Update::Changed { change, is_new }).await;
                    }
                }
                "lagged" => self.catch_up().await?,
                "end" => {
                    let notice: Notice = serde_json::from_str(&event.data).unwrap_or_default();
                    return Ok(match notice.reason.as_str() {
                        "shutdown" => "the engine shuts down".to_owned(),
                        "lifetime" => "the stream had its longest life".to_owned(),
                        "key" => "the key or its scopes changed".to_owned(),
                        other => format!("the stream ended: {other}"),
                    });
                }
                _ => {}
            }
        }
    }

    /// Announces what the stream did not tell, oldest first.
    async fn catch_up(&mut self) -> Result<(), ApiError> {
        let since = self.seen.oldest_open().created_at().minus(OVERLAP);
        let listed = list(&self.api, &self.filter, since, |delivery| self.seen.knows(delivery)).await?;
        if !listed.is_complete {
            self.send(Update::Gap { listed: listed.new }).await;
        }
        for delivery in listed.deliveries.into_iter().rev() {
            let (change, is_new) = match self.seen.see(&delivery, false) {
                News::First => ("created", true),
                News::Changed => ("changed", false),
                News::None => continue,
            };
            let at = delivery.created_at.clone();
            let change = Change { change: change.to_owned(), at, delivery, attempt: None };
            self.send(Update::Changed { change, is_new }).await;
        }
        Ok(())
    }

    /// Nobody receives it when the command ends.
    async fn send(&self, update: Update) {
        let _ = self.updates.send(update).await;
    }
}

fn wait(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(8)).min(MAX_WAIT)
}

/// Deliveries from a time on, newest first.
#[derive(Default)]
struct Listed {
    deliveries: Vec<Delivery>,
    /// How many were not known.
    new: usize,
    is_complete: bool,
}

/// The deliveries from `since` on. Those that are known do not count towards the maximum.
async fn list(
    api: &EngineApi,
    filter: &Filter,
    since: UnixMillis,
    is_known: impl Fn(&Delivery) -> bool,
) -> Result<Listed, ApiError> {
    let since = Timestamp::from_millisecond(since.0).unwrap_or_default().to_string();
    let limit = PAGE.to_string();
    let mut listed = Listed::default();
    let mut cursor: Option<String> = None;
    loop {
        let mut more = vec![("since", since.as_str()), ("limit", &limit)];
        more.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page<Delivery> = api.get(&format!("/deliveries?{}", filter.query(&more))).await?;
        listed.new += page.data.iter().filter(|delivery| !is_known(delivery)).count();
        listed.deliveries.extend(page.data);
        match page.next {
            None => return Ok(Listed { is_complete: true, ..listed }),
            Some(_) if listed.new >= MAX_LISTED => return Ok(listed),
            Some(next) => cursor = Some(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_maximum() {
        let waits = [0, 1, 2, 3, 4, 5, 40].map(|failures| wait(failures).as_millis());
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    }
}
