//! Which traces have spans, and the spans that wait for the exporter.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::span::{TraceSpan, nanos};
use crate::clock::{self, Clock};
use crate::domain::{SpanId, TraceContext, TraceId};
use crate::random::Random;

/// How many spans wait at most. Further ones are dropped and counted.
const MAX_WAITING: usize = 4_096;
/// How many are exported together.
const BATCH: usize = 512;

/// How many spans were dropped since the start of the process, because the collector takes too few.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many spans were dropped since the start of the process.
#[must_use]
pub fn dropped_spans() -> u64 {
    DROPPED.load(Relaxed)
}

/// Takes spans, if they are exported. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Buffer>>);

#[derive(Debug)]
struct Buffer {
    /// The share of traces that begin here and are recorded.
    ratio: f64,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    waiting: Mutex<VecDeque<TraceSpan>>,
    is_full: Notify,
}

/// A span that has begun.
#[derive(Debug)]
pub struct Began {
    /// What follows is below this.
    pub context: TraceContext,
    /// The span above it, of another process.
    pub parent: Option<SpanId>,
    start_ns: u64,
    began: Instant,
}

impl Traces {
    /// Takes the spans of traces that are sampled, and of this share of those that begin in the engine.
    #[must_use]
    pub fn sampling(ratio: f64, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (waiting, is_full) = Default::default();
        Self(Some(Arc::new(Buffer { ratio, clock, random, waiting, is_full })))
    }

    /// Whether spans of this trace are taken.
    #[must_use]
    pub fn takes(&self, trace: &TraceContext) -> bool {
        self.0.is_some() && trace.is_sampled
    }

    /// Begins the span of a request that came with the context `given`, if it is sampled.
    #[must_use]
    pub fn begin(&self, given: Option<&TraceContext>) -> Option<Began> {
        let buffer = self.0.as_ref()?;
        let is_sampled =
            given.map_or_else(|| buffer.random.fraction() < buffer.ratio, |given| given.is_sampled);
        if !is_sampled {
            return None;
        }
        let span_id = buffer.span_id();
        let context = match given {
            Some(given) => given.child(span_id),
            None => TraceContext {
                trace_id: TraceId::of_random(buffer.random.bytes()),
                span_id,
                is_sampled: true,
                state: None,
            },
        };
        let parent = given.map(|given| given.span_id);
        Some(Began { context, parent, start_ns: nanos(buffer.clock.now()), began: clock::monotonic() })
    }

    /// The id of a new span.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.0.as_ref().map_or(SpanId([1; 8]), |buffer| buffer.span_id())
    }

    /// Takes finished spans.
    pub fn add(&self, spans: impl IntoIterator<Item = TraceSpan>) {
        let Some(buffer) = &self.0 else { return };
        let mut waiting = buffer.waiting();
        for span in spans {
            if waiting.len() < MAX_WAITING {
                waiting.push_back(span);
            } else {
                DROPPED.fetch_add(1, Relaxed);
            }
        }
        if waiting.len() >= BATCH {
            buffer.is_full.notify_one();
        }
    }

    /// Spans that can be exported together; none if none wait.
    #[must_use]
    pub fn take_batch(&self) -> Vec<TraceSpan> {
        let Some(buffer) = &self.0 else { return Vec::new() };
        let mut waiting = buffer.waiting();
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }

    /// Counts spans that could not be exported.
    pub fn count_dropped(count: usize) {
        DROPPED.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
    }

    /// Waits until there are as many spans as are exported together.
    pub async fn batch_is_full(&self) {
        match &self.0 {
            Some(buffer) => buffer.is_full.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Began {
    /// The span, which ends now.
    #[must_use]
    pub fn end(&self, name: &'static str) -> TraceSpan {
        let span = TraceSpan::below(&self.context, self.context.span_id, true, name);
        let end_ns = u64::try_from(clock::elapsed(self.began).as_nanos()).unwrap_or(u64::MAX);
        let end_ns = self.start_ns.saturating_add(end_ns);
        TraceSpan {
            parent: self.parent.map(|parent| (parent, true)),
            start_ns: self.start_ns,
            end_ns,
            ..span
        }
    }
}

impl Buffer {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<TraceSpan>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn span_id(&self) -> SpanId {
        SpanId::of_random(self.random.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::random::SystemRandom;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn sampling(ratio: f64) -> Traces {
        Traces::sampling(ratio, SystemClock::shared(), SystemRandom::shared())
    }

    #[test]
    fn the_publisher_decides_and_without_it_the_ratio() {
        let (sampled, unsampled) =
            (TraceContext::parse(PARENT, None).unwrap(), TraceContext::parse(UNSAMPLED, None).unwrap());
        for (traces, of_sampled, of_none) in
            [(Traces::default(), false, false), (sampling(0.0), true, false), (sampling(1.0), true, true)]
        {
            assert_eq!(traces.begin(Some(&sampled)).is_some(), of_sampled);
            assert!(traces.begin(Some(&unsampled)).is_none());
            assert_eq!(traces.begin(None).is_some(), of_none);
        }
        let began = sampling(0.0).begin(Some(&sampled)).unwrap();
        assert_eq!((began.context.trace_id, began.parent), (sampled.trace_id, Some(sampled.span_id)));
        assert_ne!(began.context.span_id, sampled.span_id);
        assert_eq!(sampling(1.0).begin(None).unwrap().end("x").parent, None);
    }

    #[test]
    fn spans_that_nobody_takes_are_dropped_and_counted() {
        let traces = sampling(1.0);
        let span = traces.begin(None).unwrap().end("x");
        let before = dropped_spans();
        traces.add(vec![span; MAX_WAITING + 10]);
        assert!(dropped_spans() >= before + 10);
        let batches = std::iter::from_fn(|| Some(traces.take_batch()).filter(|batch| !batch.is_empty()));
        let sizes: Vec<usize> = batches.map(|batch| batch.len()).collect();
        assert_eq!(sizes, [BATCH; MAX_WAITING / BATCH]);
    }
}
