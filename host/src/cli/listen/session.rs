//! A running `hookwright listen`: everything that happens, one after the other, and what the user asks for.

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use super::api::{Api, ApiError};
use super::feed::Feed;
use super::forward::Forwarder;
use super::options::Filter;
use super::queue::Queue;
use super::update::{Details, Update};
use super::wire::Delivery;

/// How many updates wait to be shown. The stream waits if there are more.
const MAX_WAITING: usize = 256;
/// Of how many attempts, the latest ones, the bodies are shown.
const BODIES: usize = 3;

/// See the module's head.
pub(super) struct Session {
    api: Api,
    updates: Receiver<Update>,
    sender: Sender<Update>,
    feed: JoinHandle<ApiError>,
    queue: Option<Queue>,
    signals: [Signal; 3],
}

impl Session {
    /// Begins to follow deliveries, and to forward new ones if there is a `forwarder`.
    ///
    /// # Errors
    /// Fails if the engine cannot be asked, or refuses.
    pub(super) async fn start(api: Api, filter: Filter, forwarder: Option<Forwarder>) -> Result<Self> {
        if let Some(forwarder) = &forwarder {
            forwarder.check().await.map_err(ApiError::into_error)?;
        }
        let (sender, updates) = channel(MAX_WAITING);
        let feed = Feed::start(api.clone(), filter, sender.clone()).await.map_err(ApiError::into_error)?;
        let feed = tokio::spawn(feed.run());
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ];
        Ok(Self { api, updates, sender, feed, queue: forwarder.map(Queue::new), signals })
    }

    /// What happens next; `None` if a signal ends the command. The future may be dropped.
    ///
    /// # Errors
    /// Fails if the engine refuses to tell more.
    pub(super) async fn next(&mut self) -> Result<Option<Update>> {
        let [interrupt, terminate, hangup] = &mut self.signals;
        let queue = &mut self.queue;
        let forwarded = async {
            match queue {
                Some(queue) => queue.next().await,
                None => std::future::pending().await,
            }
        };
        let update = tokio::select! {
            Some(update) = self.updates.recv() => update,
            forwarded = forwarded => Update::Forwarded(forwarded.context("forwarding failed")?),
            ended = &mut self.feed => return Err(ended.context("the stream failed")?.into_error()),
            _ = interrupt.recv() => return Ok(None),
            _ = terminate.recv() => return Ok(None),
            _ = hangup.recv() => return Ok(None),
        };
        self.forward_if_new(&update);
        Ok(Some(update))
    }

    /// What has happened already, if anything waits to be shown.
    pub(super) fn ready(&mut self) -> Option<Update> {
        let update = self.updates.try_recv().ok()?;
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
        if let Some(queue) = &mut self.queue
            && let Err(refused) = queue.push(delivery)
        {
            // There is room, or else someone else is told.
            let _ = self.sender.try_send(Update::Forwarded(*refused));
        }
    }

    /// Asks for all about a delivery. The answer is an update.
    pub(super) fn show(&self, delivery: Delivery) {
        let (api, sender) = (self.api.clone(), self.sender.clone());
        tokio::spawn(async move {
            let answer = details(&api, &delivery).await.map(Box::new).map_err(|error| error.to_string());
            let _ = sender.send(Update::Details { id: delivery.id, answer }).await;
        });
    }

    /// Asks the engine to retry a delivery. The answer is an update.
    pub(super) fn retry(&self, delivery: Delivery) {
        let (api, sender) = (self.api.clone(), self.sender.clone());
        tokio::spawn(async move {
            let retried = api.post::<Value>(&format!("/deliveries/{}/retry", delivery.id), None).await;
            let answer = retried.map(|_| ()).map_err(|error| error.to_string());
            let _ = sender.send(Update::Retried { id: delivery.id, answer }).await;
        });
    }
}

async fn details(api: &Api, shown: &Delivery) -> Result<Details, ApiError> {
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
