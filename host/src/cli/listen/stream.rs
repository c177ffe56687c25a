//! The stream of changes that the engine sends.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::sse::{Event, Parser};
use crate::cli::engine_api::{ApiError, EngineApi};

/// The engine writes something at least every 15 seconds.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// An open stream.
pub(super) struct Stream {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Event>,
    api: EngineApi,
}

impl Stream {
    /// Opens the stream of what `query` selects.
    ///
    /// # Errors
    /// Fails if the engine cannot be reached, or refuses.
    pub(super) async fn open(api: &EngineApi, query: &str) -> Result<Self, ApiError> {
        let body = api.open(&format!("/stream?{query}")).await?;
        Ok(Self { body, parser: Parser::default(), ready: VecDeque::new(), api: api.clone() })
    }

    /// The next event.
    ///
    /// # Errors
    /// Fails if the connection breaks or ends.
    pub(super) async fn next(&mut self) -> Result<Event, ApiError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let broken = |why: &str| Err(self.api.unreachable(why.to_owned()));
            let frame = match tokio::time::timeout(MAX_SILENCE, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return broken(&format!("the connection broke: {error}")),
                Ok(None) => return broken("the connection was closed"),
                Err(_) => return broken("the connection is silent"),
            };
            let data = frame.into_data().unwrap_or_default();
            match self.parser.push(&data) {
                Ok(events) => self.ready.extend(events),
                Err(_) => return broken("its stream is not as expected"),
            }
        }
    }
}
