//! What plugins have written for the deliveries of an attempt, until it is sent: bounded, and with memory reserved.

use std::sync::Arc;

use super::batch_request::go_together;
use super::dispatcher::AttemptPermit;
use super::request_size;
use super::work::Work;
use crate::clients::{Budget, NoRoom, Reserved};
use crate::domain::{BatchOptions, Event, Request, RequestBody, StepReport, TenantId};

/// How many different requests are written before they are sent.
const MAX_GROUPS: usize = 16;
/// About how many bytes a part has in memory besides what its plugins write.
const PART_BYTES: usize = 1024;

/// See the module's head.
pub(super) struct BatchParts {
    tenant: TenantId,
    groups: Vec<Group>,
    /// Their bytes in requests.
    sent_bytes: usize,
    /// The same in memory.
    bytes: usize,
    /// The bytes of all events of the attempt.
    events: usize,
    /// It is held until the last record is on its way.
    memory: Option<Reserved>,
}

/// Parts of one request.
pub(super) struct Group {
    /// Their request, without a body.
    pub head: Request,
    pub parts: Vec<Part>,
}

/// A delivery whose request the hook's pipeline has written.
pub(super) struct Part {
    pub work: Work,
    pub permit: AttemptPermit,
    pub steps: Vec<StepReport>,
    pub body: RequestBody,
}

impl BatchParts {
    /// Nothing yet of so many deliveries.
    pub(super) fn new(tenant: TenantId, deliveries: usize) -> Self {
        let events = deliveries * PART_BYTES;
        Self { tenant, groups: Vec::new(), sent_bytes: 0, bytes: 0, events, memory: None }
    }

    /// Reserves about what a request with these events needs.
    ///
    /// # Errors
    /// Fails if there is no memory for the tenant now.
    pub(super) fn reserve_for<'a>(
        &mut self,
        budget: &Arc<Budget>,
        events: impl Iterator<Item = &'a Event>,
        has_plugins: bool,
    ) -> Result<(), NoRoom> {
        let data: usize = events.map(|event| event.data.len()).sum();
        self.events += data;
        // The joined body, and without plugins the parts are the events.
        self.reserve(budget, if has_plugins { 2 * data } else { data })
    }

    /// Has memory for `bytes` besides the events.
    fn reserve(&mut self, budget: &Arc<Budget>, bytes: usize) -> Result<(), NoRoom> {
        let bytes = self.events + bytes;
        match &mut self.memory {
            Some(memory) => memory.grow_to(bytes)?,
            None => self.memory = request_size::reserve_bytes(budget, self.tenant, bytes)?,
        }
        Ok(())
    }

    /// Whether what is written has to be sent before `request` is added.
    pub(super) fn is_full_for(&self, request: &Request) -> bool {
        let is_too_large = self.sent_bytes + request_size::part_bytes(request) > BatchOptions::MAX_BYTES;
        let is_new = || !self.groups.iter().any(|group| go_together(&group.head, request));
        !self.groups.is_empty() && (is_too_large || (self.groups.len() >= MAX_GROUPS && is_new()))
    }

    /// Adds what the pipeline wrote for a delivery.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(super) fn add(
        &mut self,
        budget: &Arc<Budget>,
        (work, permit): (Work, AttemptPermit),
        steps: Vec<StepReport>,
        request: Request,
    ) -> Result<(), Box<(Work, AttemptPermit)>> {
        let bytes = self.bytes + bytes_in_memory(&work.event, &steps, &request);
        if self.reserve(budget, bytes).is_err() {
            return Err(Box::new((work, permit)));
        }
        self.bytes = bytes;
        self.sent_bytes += request_size::part_bytes(&request);
        let group = self.groups.iter_mut().find(|group| go_together(&group.head, &request));
        let Request { method, url, headers, body } = request;
        let part = Part { work, permit, steps, body };
        match group {
            Some(group) => group.parts.push(part),
            None => {
                let head = Request { method, url, headers, body: RequestBody::None };
                self.groups.push(Group { head, parts: vec![part] });
            }
        }
        Ok(())
    }

    /// Takes out what is written.
    pub(super) fn take(&mut self) -> Vec<Group> {
        (self.sent_bytes, self.bytes) = (0, 0);
        std::mem::take(&mut self.groups)
    }
}

/// What a part needs in memory: as it is written, and in the joined body.
fn bytes_in_memory(event: &Event, steps: &[StepReport], part: &Request) -> usize {
    let logs: usize = steps.iter().flat_map(|step| &step.logs).map(|line| line.message.len()).sum();
    let is_shared = std::ptr::eq(part.body.as_bytes(), event.data.as_bytes());
    let own_body = if is_shared { 0 } else { part.body.as_bytes().len() };
    logs + own_body + request_size::part_bytes(part)
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::delivery::dispatcher::Dispatcher;
    use crate::delivery::testing::{self, Collector, work};
    use crate::domain::UnixMillis;

    /// So many deliveries that have started.
    fn started(count: i64) -> Vec<(Work, AttemptPermit)> {
        let (dispatcher, collector) = (Dispatcher::new(testing::limits()), Arc::new(Collector::default()));
        dispatcher.start(Arc::clone(&collector) as _, Handle::current());
        for number in 0..count {
            let work = dispatcher.reserve(work(1, number, number), UnixMillis(0)).unwrap();
            dispatcher.push_reserved(vec![work]);
        }
        let started = collector.take();
        assert_eq!(i64::try_from(started.len()), Ok(count));
        started
    }

    fn request(header: usize, header_bytes: usize, body: usize) -> Request {
        Request {
            method: "POST".into(),
            url: "https://example.com/".to_owned(),
            headers: vec![("x-a".into(), format!("{header}{}", "-".repeat(header_bytes)).into())],
            body: RequestBody::Binary(vec![b'1'; body]),
        }
    }

    #[tokio::test]
    async fn what_is_written_is_bounded_in_bytes_and_in_different_requests() {
        let budget = Budget::new(64 << 20);
        // The bytes of a header and of a body, whether headers differ, and how many parts there are at most.
        for (header, body, differ, expected) in
            [(1, 100_000, false, 5), (100_000, 1, false, 5), (1, 600_000, false, 1), (5, 1, true, MAX_GROUPS)]
        {
            let mut parts = BatchParts::new(TenantId(1), 1_000);
            let mut count = 0;
            let next = |count| request(if differ { count } else { 0 }, header, body);
            for member in started(20) {
                if parts.is_full_for(&next(count)) {
                    break;
                }
                assert!(parts.add(&budget, member, Vec::new(), next(count)).is_ok());
                count += 1;
            }
            assert_eq!(count, expected, "{header} {body}");
            let groups = parts.take();
            assert_eq!(groups.len(), if differ { expected } else { 1 });
            assert!(!parts.is_full_for(&next(count)));
        }
    }

    #[tokio::test]
    async fn a_part_without_memory_for_it_is_not_added() {
        let budget = Budget::new(1 << 20);
        let mut parts = BatchParts::new(TenantId(1), 10);
        let mut members = started(3).into_iter();
        let events = [&*work(1, 1, 1).event].map(Clone::clone);
        assert!(parts.reserve_for(&budget, events.iter(), true).is_ok());
        let mut add = |parts: &mut BatchParts, request| {
            parts.add(&budget, members.next().unwrap(), Vec::new(), request).is_ok()
        };
        assert!(add(&mut parts, request(0, 1, 200_000)), "written once, and joined once");
        assert!(!add(&mut parts, request(0, 1, 200_000)), "a tenant has half");
        assert!(!add(&mut parts, request(0, 200_000, 1)), "headers count");
        drop(parts);
        assert!(budget.reserve(Some(TenantId(1)), 1 << 19).is_ok(), "everything is given back");
    }
}
