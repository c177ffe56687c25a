//! Attempts of deliveries that one request brings to the receiver together.
//!
//! The hook's pipeline runs for each event, and what belongs together is sent together: the same URL, method and headers.
//! Each delivery has its own record, and the receiver's answer holds for all events of the request. An event whose plugin
//! fails, or which may not be sent any more, leaves the others alone.
//!
//! If the plugins write different requests, they are sent one after the other under one permit, each at a time that the
//! rates of the hook and its tenant allow. When that is not soon, or the receiver does not answer one of them, the rest
//! goes back to the disk.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::attempt::{MadeAttempt, NotMade, kept_body, note_arrival};
use super::batch_parts::{BatchParts, Group, Part};
use super::batch_pipeline::Together;
use super::batch_request::{check_part, id_of, join, last_step, last_step_of_batch};
use super::decision::{Decision, decide};
use super::dispatcher::AttemptPermit;
use super::fair_queue::Observation;
use super::lease_end::leave_group;
use super::stored_request::not_stored;
use super::work::Work;
use super::worker::Worker;
use super::{request, request_size, trace_headers};
use crate::clock;
use crate::domain::{
    BatchOptions, BatchPlace, Hook, Outcome, Request, RequestBody, SentRequest, StepReport, TraceContext,
    Trigger, UnixMillis, Verdict,
};
use crate::sandbox::PipelineEnd;
use crate::storage::{Record, Rendered, RenderedRequest};

/// For how many events of a batch plugins run at the same time.
const RENDERED_AT_ONCE: usize = 2;
/// What is written is sent after this at the latest, however many events are left: plugins may take long, and leases end.
const LONGEST_RENDERING: Duration = Duration::from_secs(5);
/// How long after its start an attempt waits for rates, to send another request.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// An attempt of several deliveries.
struct BatchAttempt<'a> {
    hook: &'a Hook,
    options: BatchOptions,
    /// When it started.
    now: UnixMillis,
    /// Until when a request may wait for a rate.
    latest: Instant,
    /// What is written and not sent yet.
    parts: BatchParts,
    /// Nothing more is written, because there is no memory for it.
    has_no_room: bool,
    /// What the requests have shown of the receiver.
    observed: Observation,
    /// No other request is sent, because of a rate.
    is_over: bool,
    /// Told the outcome once.
    request_permit: AttemptPermit,
}

/// What has come of the pipeline for one event.
enum Written {
    Request(Vec<StepReport>, Request),
    /// Nothing is sent.
    Ended(MadeAttempt),
}

impl BatchAttempt<'_> {
    /// Whether the receiver has answered so far, so that another request makes sense.
    fn may_send(&self) -> bool {
        let answers =
            matches!(self.observed, Observation::Nothing | Observation::Unsent | Observation::Answered);
        answers && !self.is_over
    }

    /// Whether a request has been sent.
    fn has_sent(&self) -> bool {
        !matches!(self.observed, Observation::Nothing | Observation::Unsent)
    }

    /// Notes what the receiver has shown. What is not sent says nothing beside what was.
    fn observe(&mut self, observation: Observation) {
        if !self.has_sent() || observation != Observation::Unsent {
            self.observed = observation;
        }
    }
}

impl Worker {
    /// Makes one attempt of these deliveries of `hook`, which asks for requests with several events.
    pub(super) async fn run_batch(
        &self,
        (hook, options): (&Hook, BatchOptions),
        mut members: Vec<(Work, AttemptPermit)>,
    ) {
        let Some((_, permit)) = members.first_mut() else { return };
        let request_permit = permit.take_request();
        let mut began = clock::monotonic();
        let mut parts = BatchParts::new(hook.tenant, members.len());
        let events = members.iter().map(|(work, _)| &*work.event);
        let has_plugins = !hook.pipeline.is_empty() || !hook.options.batch_pipeline.is_empty();
        let has_no_room = parts.reserve_for(&self.memory, events, has_plugins).is_err();
        let mut attempt = BatchAttempt {
            hook,
            options,
            now: self.sources.now(),
            latest: began + LONGEST_WAIT,
            parts,
            has_no_room,
            observed: Observation::Nothing,
            is_over: false,
            request_permit,
        };
        let mut left = members.into_iter();
        while attempt.may_send() && !attempt.has_no_room {
            let mut some: Vec<_> = left.by_ref().take(RENDERED_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let writing = some.iter_mut().map(|(work, permit)| self.write(&attempt, work, permit));
            let written = join_all(writing).await;
            for (member, written) in some.into_iter().zip(written) {
                self.add(&mut attempt, member, written).await;
            }
            if clock::elapsed(began) >= LONGEST_RENDERING {
                self.send_all(&mut attempt, false).await;
                began = clock::monotonic();
            }
        }
        self.send_all(&mut attempt, left.len() == 0).await;
        attempt.request_permit.report(attempt.observed);
        for member in left {
            let why = if attempt.has_no_room { NotMade::NoRoom } else { NotMade::NotNow };
            self.give_back(&attempt, member, why).await;
        }
    }

    /// Adds what the pipeline wrote for one of the deliveries, or ends it.
    async fn add(
        &self,
        attempt: &mut BatchAttempt<'_>,
        (work, permit): (Work, AttemptPermit),
        written: Result<Written, NotMade>,
    ) {
        let (steps, request) = match written {
            Ok(Written::Request(steps, request)) => (steps, request),
            Ok(Written::Ended(made)) => return self.end_unsent(attempt, (work, permit), made).await,
            Err(why) => return self.give_back(attempt, (work, permit), why).await,
        };
        if attempt.parts.is_full_for(&request) {
            self.send_all(attempt, false).await;
        }
        let added = attempt.parts.add(&self.memory, (work, permit), steps, request);
        if let Err(member) = added {
            attempt.has_no_room = true;
            self.give_back(attempt, *member, NotMade::NoRoom).await;
        }
    }

    /// Runs the pipeline for one event, unless an earlier attempt did.
    async fn write(
        &self,
        attempt: &BatchAttempt<'_>,
        work: &mut Work,
        permit: &AttemptPermit,
    ) -> Result<Written, NotMade> {
        let replaying = work.replaying(attempt.hook);
        let hook = replaying.as_deref().unwrap_or(attempt.hook);
        self.still_due(work, hook.timeout, permit)?;
        let is_current = |it: &&mut RenderedRequest| it.hook_updated_at == hook.updated_at;
        let (steps, mut request) = match work.rendered.as_mut().filter(is_current) {
            Some(rendered) => (Vec::new(), take(&mut rendered.request)),
            None => {
                let run = self.pipelines.run(hook, &work.event, work.trigger, None).await?;
                let unsent = |steps, outcome| Ok(Written::Ended(MadeAttempt::unsent(steps, outcome)));
                match run.end {
                    PipelineEnd::Fault { step, fault } => {
                        return unsent(run.steps, Outcome::Faulted { step, fault });
                    }
                    PipelineEnd::Verdict(Verdict::Drop { step }) => {
                        return unsent(run.steps, Outcome::Dropped { step });
                    }
                    PipelineEnd::Verdict(Verdict::Keep(request)) => (run.steps, request),
                }
            }
        };
        request::retain_own(hook, &mut request.headers);
        if let Err(fault) = check_part(&request, &work.event, attempt.options.format) {
            let step = last_step(hook);
            return Ok(Written::Ended(MadeAttempt::unsent(steps, Outcome::Faulted { step, fault })));
        }
        Ok(Written::Request(steps, request))
    }

    /// Sends everything that is written. `is_last`: nothing else follows.
    async fn send_all(&self, attempt: &mut BatchAttempt<'_>, is_last: bool) {
        let groups = attempt.parts.take();
        let count = groups.len();
        for (index, group) in groups.into_iter().enumerate() {
            self.wait_for_rates(attempt).await;
            self.send_together(attempt, group, is_last && index + 1 == count).await;
        }
    }

    /// The first request was counted when the attempt started. Each other one counts, too.
    async fn wait_for_rates(&self, attempt: &mut BatchAttempt<'_>) {
        if !attempt.has_sent() || !attempt.may_send() {
            return;
        }
        match attempt.request_permit.count_another(attempt.latest) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => attempt.is_over = true,
        }
    }

    async fn send_together(&self, attempt: &mut BatchAttempt<'_>, group: Group, is_last: bool) {
        let (hook, Group { head, parts }) = (attempt.hook, group);
        let may_send = attempt.may_send();
        let mut due = Vec::with_capacity(parts.len());
        for part in parts {
            let is_due = || self.still_due(&part.work, hook.timeout, &part.permit).map(drop);
            match if may_send { is_due() } else { Err(NotMade::NotNow) } {
                Ok(()) => due.push(part),
                Err(why) => self.give_back(attempt, (part.work, part.permit), why).await,
            }
        }
        if due.is_empty() {
            return;
        }
        let bodies: Vec<&RequestBody> = due.iter().map(|part| &part.body).collect();
        let joined = join(&head, &bodies, attempt.options.format);
        let id = id_of(due.iter().map(|part| &*part.work.event));
        let request = match self.write_together(hook, &mut due, joined).await {
            Together::Request(mut request) => {
                if let Some(shown) = traced(&due) {
                    trace_headers::add(&mut request, &due[shown].work.event, &*self.sources.random);
                }
                request
            }
            Together::Unsent(outcome) => {
                let unsent = (None, outcome, Duration::ZERO);
                return self.answered(attempt, Group { head, parts: due }, unsent, is_last).await;
            }
            Together::NotMade(why) => {
                // The others wait a while, too, and what failed is logged once.
                let others = || match &why {
                    NotMade::NoFuel(until) => NotMade::NoFuel(*until),
                    _ => NotMade::Sending,
                };
                let mut all: Vec<_> = due.iter().skip(1).map(|_| others()).collect();
                all.push(why);
                for (part, why) in due.into_iter().zip(all.into_iter().rev()) {
                    self.give_back(attempt, (part.work, part.permit), why).await;
                }
                return;
            }
        };
        attempt.request_permit.sends();
        let began = clock::monotonic();
        let (step, now) = (last_step_of_batch(hook), self.sources.now());
        let sent = self.send(hook, &id, (step, request), now, hook.timeout).await;
        let (sent, outcome) = match sent {
            Ok(sent) => sent,
            Err(_own_failure) => {
                for part in due {
                    self.give_back(attempt, (part.work, part.permit), NotMade::Sending).await;
                }
                return;
            }
        };
        let sending = clock::elapsed(began);
        self.answered(attempt, Group { head, parts: due }, (sent, outcome, sending), is_last).await;
    }

    /// Notes for each of these parts what their request has come to.
    async fn answered(
        &self,
        attempt: &mut BatchAttempt<'_>,
        Group { head, parts }: Group,
        (sent, outcome, sending): (Option<SentRequest>, Outcome, Duration),
        is_last: bool,
    ) {
        let hook = attempt.hook;
        let ended_at = self.sources.now();
        // The request counts once, as an event's if it has one.
        let of_event = parts.iter().find(|part| part.work.trigger == Trigger::Event);
        let Some(counted) = of_event.or(parts.first()) else { return };
        let failing = self.health.observe(hook, &counted.work, &outcome, ended_at);
        // The same for all, so that what failed together is due together.
        let jitter = self.sources.random.fraction();
        let decision_on =
            |work: &Work| decide(&outcome, work.failures + 1, &hook.retry, work.trigger, ended_at, jitter);
        self.disable_after(hook, decision_on(&counted.work), failing).await;
        attempt.observe(Observation::of(&outcome, ended_at));
        if is_last {
            attempt.request_permit.report(attempt.observed);
        }
        let events = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let shown = traced(&parts);
        for (index, part) in parts.into_iter().enumerate() {
            let position = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let Part { work, permit, steps, body } = part;
            let decision = decision_on(&work);
            let latency = sent.is_some().then_some(sending);
            note_arrival(&work, latency, ended_at);
            self.stats.count((hook.tenant, hook.id), &outcome, latency, ended_at);
            self.tell(hook, &work, &outcome, decision);
            let kept = kept_body(hook, &body, ended_at);
            let batch = Some(BatchPlace { events, position });
            let sent = sent.clone().map(|sent| SentRequest { batch, ..sent });
            let shares_request = shown.is_some_and(|shown| shown != index);
            let unsent = MadeAttempt::unsent(steps, outcome.clone());
            let made = MadeAttempt { sent, kept, sending, shares_request, ..unsent };
            let rendered = rendered((hook, &head), &work, body, decision);
            let record = self.record(hook, &work, (attempt.now, ended_at), made, decision, rendered);
            self.end(attempt, (&work, permit), record).await;
        }
    }

    /// Notes that nothing is sent for an event, which leaves the others.
    async fn end_unsent(
        &self,
        attempt: &mut BatchAttempt<'_>,
        (work, permit): (Work, AttemptPermit),
        made: MadeAttempt,
    ) {
        let replaying = work.replaying(attempt.hook);
        let (hook, ended_at) = (replaying.as_deref().unwrap_or(attempt.hook), self.sources.now());
        let jitter = self.sources.random.fraction();
        let decision = decide(&made.outcome, work.failures + 1, &hook.retry, work.trigger, ended_at, jitter);
        self.stats.count((hook.tenant, hook.id), &made.outcome, None, ended_at);
        let failing = self.health.observe(hook, &work, &made.outcome, ended_at);
        self.disable_after(hook, decision, failing).await;
        self.tell(hook, &work, &made.outcome, decision);
        attempt.observe(Observation::Unsent);
        let rendered = not_stored(&work, decision);
        let record = self.record(hook, &work, (attempt.now, ended_at), made, decision, rendered);
        self.end(attempt, (&work, permit), record).await;
    }

    /// Ends the lease of a delivery that is not attempted.
    async fn give_back(
        &self,
        attempt: &BatchAttempt<'_>,
        (work, permit): (Work, AttemptPermit),
        why: NotMade,
    ) {
        let record = self.not_made(&work, why, attempt.now);
        self.end(attempt, (&work, permit), record).await;
    }

    async fn end(&self, attempt: &BatchAttempt<'_>, (work, permit): (&Work, AttemptPermit), record: Record) {
        self.health.probe_ended(work, attempt.now);
        let record = leave_group(record, work, self.sources.now());
        self.recorder.submit(work, record, permit).await;
    }
}

/// The delivery whose trace the request of all of them is a part of: the first whose trace is sampled, else the first with a trace.
fn traced(parts: &[Part]) -> Option<usize> {
    let first = |is_wanted: fn(&TraceContext) -> bool| {
        parts.iter().position(|part| part.work.event.trace.as_deref().is_some_and(is_wanted))
    };
    first(|trace| trace.is_sampled).or_else(|| first(|_| true))
}

/// Takes a stored request, so that it is not in memory twice.
fn take(stored: &mut Request) -> Request {
    let empty =
        Request { method: "".into(), url: String::new(), headers: Vec::new(), body: RequestBody::None };
    std::mem::replace(stored, empty)
}

/// What becomes of the stored request of an event that was sent with others. What its pipeline wrote is stored, not the
/// request with all of them: a retry may go out with others.
fn rendered((hook, head): (&Hook, &Request), work: &Work, body: RequestBody, decision: Decision) -> Rendered {
    let is_retried = matches!(decision, Decision::RetryAt(_));
    let is_stored = work.rendered.as_ref().is_some_and(|it| it.hook_updated_at == hook.updated_at);
    // Without plugins, a retry writes the same body from the event.
    let is_worth_it = !is_stored && !hook.pipeline.is_empty();
    if is_retried && is_worth_it && request_size::part_may_be_stored(head, &body, &work.event) {
        let request = Request { body, ..head.clone() };
        Rendered::Store(RenderedRequest { request, hook_updated_at: hook.updated_at })
    } else {
        not_stored(work, decision)
    }
}
