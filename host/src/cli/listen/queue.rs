//! Forwards deliveries, a few at a time, in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::forward::Forwarder;
use super::update::{Forwarded, Outcome};
use super::wire::Delivery;

/// How many are forwarded at a time.
const MAX_RUNNING: usize = 8;
/// How many wait.
const MAX_WAITING: usize = 10_000;

/// See the module's head.
pub(super) struct Queue {
    forwarder: Arc<Forwarder>,
    waiting: VecDeque<Delivery>,
    running: JoinSet<Forwarded>,
}

impl Queue {
    pub(super) fn new(forwarder: Forwarder) -> Self {
        Self { forwarder: Arc::new(forwarder), waiting: VecDeque::new(), running: JoinSet::new() }
    }

    /// Forwards `delivery` when it is its time. Refuses it if too many wait.
    pub(super) fn push(&mut self, delivery: Delivery) -> Result<(), Box<Forwarded>> {
        if self.waiting.len() >= MAX_WAITING {
            let outcome = Outcome::Failed(format!("{MAX_WAITING} deliveries wait already"));
            return Err(Box::new(Forwarded { delivery, outcome }));
        }
        self.waiting.push_back(delivery);
        self.start();
        Ok(())
    }

    fn start(&mut self) {
        while self.running.len() < MAX_RUNNING
            && let Some(delivery) = self.waiting.pop_front()
        {
            let forwarder = Arc::clone(&self.forwarder);
            self.running.spawn(async move {
                let outcome = forwarder.forward(&delivery).await;
                Forwarded { delivery, outcome }
            });
        }
    }

    /// The next one that was forwarded. Waits if there is none. The future may be dropped.
    pub(super) async fn next(&mut self) -> Result<Forwarded, JoinError> {
        match self.running.join_next().await {
            Some(forwarded) => {
                self.start();
                forwarded
            }
            None => std::future::pending().await,
        }
    }
}
