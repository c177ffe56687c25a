//! A running `hookwright listen`: everything that happens, one after the other, and what the user asks for.

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::feed::Feed;
use super::forward::Forwarder;
use super::options::Filter;
use super::queue::Queue;
use super::update::{Details, Update};
use super::wire::Delivery;
use crate::cli::engine_api::{ApiError, EngineApi};

/// How many updates wait to be shown. The stream waits if there are more.
const MAX_WAITING: usize = 256;
/// Of how many attempts, the latest ones, the bodies are shown.
const BODIES: usize = 3;

/// See the module's head.
pub(super) struct Session {
    api: EngineApi,
    updates: Receiver<Update>,
    feed: JoinHandle<ApiError>,
    queue: Option<Queue>,
    /// What the user asked for. Each ends with an update.
    answers: JoinSet<Update>,
    showing: Option<AbortHandle>,
}

impl Session {
    /// Begins to follow deliveries, and to forward new ones if there is a `forwarder`.
    ///
    /// # Errors
    /// Fails if the engine cannot be asked, or refuses.
    pub(super) async fn start(api: EngineApi, filter: Filter, forwarder: Option<Forwarder>) -> Result<Self> {
        if let Some(forwarder) = &forwarder {
            forwarder.check().await.map_err(ApiError::into_error)?;
        }
        let (sender, updates) = channel(MAX_WAITING);
        let (connected, is_connected) = watch::channel(false);
        let feed = Feed::start(api.clone(), filter, sender, connected).await.map_err(ApiError::into_error)?;
        let feed = tokio::spawn(feed.run());
        let queue = forwarder.map(|forwarder| Queue::new(forwarder, is_connected));
        Ok(Self { api, updates, feed, queue, answers: JoinSet::new(), showing: None })
    }

    /// What happens next. The future may be dropped.
    ///
    /// # Errors
    /// Fails if the engine refuses to tell more.
    pub(super) async fn next(&mut self) -> Result<Update> {
        // The stream waits if more deliveries come than are forwarded: then the engine says what was missed.
        let has_room = self.has_room();
        let queue = &mut self.queue;
        loop {
            let forwarded = async {
                match queue {
                    Some(queue) => queue.next().await,
                    None => std::future::pending().await,
                }
            };
            let update = tokio::select! {
                update = self.updates.recv(), if has_room => match update {
                    Some(update) => update,
                    // The feed has ended, and everything is told.
                    None => return Err((&mut self.feed).await.context("the stream failed")?.into_error()),
                },
                forwarded = forwarded => Update::Forwarded(forwarded.context("forwarding failed")?),
                Some(answer) = self.answers.join_next() => match answer {
                    Err(error) if error.is_cancelled() => continue,
                    answer => answer.context("a request failed")?,
                },
            };
            self.forward_if_new(&update);
            return Ok(update);
        }
    }

    fn has_room(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| !queue.is_full())
    }

    /// What has happened already, if anything waits to be shown.
    pub(super) fn ready(&mut self) -> Option<Update> {
        let update = self.has_room().then(|| self.updates.try_recv().ok())??;
        self.forward_if_new(&update);
        Some(update)
    }

    fn forward_if_new(&mut self, update: &Update) {
        if let Update::Changed { change, is_new: true } = update {
            self.forward(change.delivery.clone());
        }
    }

    /// Forwards a delivery.
    pub(super) fn forward(&mut self, delivery: Delivery) {
        if let Some(queue) = &mut self.queue {
            queue.push(delivery);
        }
    }

    /// Asks for all about a delivery. The answer is an update. There is none to an earlier question, which is older.
    pub(super) fn show(&mut self, delivery: Delivery) {
        let api = self.api.clone();
        let asked = self.answers.spawn(async move {
            let answer = details(&api, &delivery).await.map(Box::new).map_err(|error| error.to_string());
            Update::Details { id: delivery.id, answer }
        });
        if let Some(earlier) = self.showing.replace(asked) {
            earlier.abort();
        }
    }

    /// Asks the engine to retry a delivery. The answer is an update.
    pub(super) fn retry(&mut self, delivery: Delivery) {
        let api = self.api.clone();
        self.answers.spawn(async move {
            let retried = api.post::<Value>(&format!("/deliveries/{}/retry", delivery.id), None).await;
            let answer = retried.map(|_| ()).map_err(|error| error.to_string());
            Update::Retried { id: delivery.id, answer }
        });
    }
}

async fn details(api: &EngineApi, shown: &Delivery) -> Result<Details, ApiError> {
    let path = format!("/deliveries/{}", shown.id);
    let delivery: Value = api.get(&path).await?;
    let attempts = delivery["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut bodies = Vec::new();
    for attempt in attempts.iter().rev().take(BODIES) {
        let id = attempt["id"].as_str().unwrap_or_default();
        if attempt["request"]["body_kept_until"].is_string()
            // It may have been deleted, or the key may not read events.
            && let Ok(body) = api.get(&format!("{path}/attempts/{id}/body")).await
        {
            bodies.push((id.to_owned(), body));
        }
    }
    let event = api.get::<Box<serde_json::value::RawValue>>(&format!("/events/{}", shown.event)).await;
    let data = event.ok().and_then(|event| data_of(event.get()));
    Ok(Details { delivery, bodies, data })
}

/// The data of an event with its digits.
fn data_of(event: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: &'a serde_json::value::RawValue,
    }
    serde_json::from_str::<Event<'_>>(event).ok().map(|event| event.data.get().to_owned())
}
