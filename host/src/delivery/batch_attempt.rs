//! Attempts of deliveries that one request brings to the receiver together.
//!
//! The hook's pipeline runs for each event, and what belongs together is sent together: the same URL, method and headers.
//! Each delivery has its own record, and the receiver's answer holds for all events of the request. An event whose plugin
//! fails, or which may not be sent any more, leaves the others alone.
//!
//! If the plugins write many different requests, they are sent one after the other under one permit. When the receiver does
//! not answer one of them, the rest goes back to the disk.

use std::time::Duration;

use futures_util::future::join_all;

use super::attempt::{MadeAttempt, NotMade, kept_body};
use super::batch_request::{check_part, go_together, id_of, join, last_step};
use super::decision::{Decision, decide};
use super::dispatcher::AttemptPermit;
use super::fair_queue::Observation;
use super::lease_end::leave_group;
use super::work::Work;
use super::worker::Worker;
use super::{request, request_size};
use crate::clock;
use crate::domain::{
    BatchOptions, BatchPlace, Hook, Outcome, Request, SentRequest, StepReport, Trigger, UnixMillis, Verdict,
};
use crate::sandbox::PipelineEnd;
use crate::storage::{Record, Rendered, RenderedRequest};

/// For how many events of a batch plugins run at the same time.
const RENDERED_AT_ONCE: usize = 8;
/// What is written is sent after this at the latest, however many events are left: plugins may take long, and leases end.
const LONGEST_RENDERING: Duration = Duration::from_secs(5);

/// An attempt of several deliveries.
struct BatchAttempt<'a> {
    hook: &'a Hook,
    options: BatchOptions,
    /// When it started.
    now: UnixMillis,
    /// What is written and not sent yet.
    groups: Vec<Vec<Part>>,
    /// The bytes of their bodies.
    bytes: usize,
    /// What the last request has shown of the receiver.
    observed: Observation,
    /// Told the outcome once.
    request_permit: AttemptPermit,
}

/// A delivery whose request the hook's pipeline has written.
struct Part {
    work: Work,
    permit: AttemptPermit,
    steps: Vec<StepReport>,
    request: Request,
}

/// What has come of the pipeline for one event.
enum Written {
    Request(Vec<StepReport>, Request),
    /// Nothing is sent.
    Ended(MadeAttempt),
}

impl BatchAttempt<'_> {
    /// Whether the receiver has answered so far, so that another request makes sense.
    fn may_go_on(&self) -> bool {
        matches!(self.observed, Observation::Nothing | Observation::Unsent | Observation::Answered)
    }

    fn add(&mut self, part: Part) {
        self.bytes += part.request.body.as_bytes().len();
        let group = self.groups.iter_mut().find(|group| go_together(&group[0].request, &part.request));
        match group {
            Some(group) => group.push(part),
            None => self.groups.push(vec![part]),
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
        let Some((first, permit)) = members.first_mut() else { return };
        let (tenant, request_permit) = (first.tenant(), permit.take_request());
        let data = members.iter().map(|(work, _)| work.event.data.len()).sum();
        let reserved = request_size::reserve_bytes(&self.memory, tenant, data);
        let (now, groups, observed) = (self.sources.now(), Vec::new(), Observation::Nothing);
        let mut attempt = BatchAttempt { hook, options, now, groups, bytes: 0, observed, request_permit };
        let mut began = clock::monotonic();
        let mut left = members.into_iter();
        while attempt.may_go_on() && reserved.is_ok() {
            let some: Vec<_> = left.by_ref().take(RENDERED_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let written =
                join_all(some.iter().map(|(work, permit)| self.write(&attempt, work, permit))).await;
            for ((work, permit), written) in some.into_iter().zip(written) {
                match written {
                    Ok(Written::Request(steps, request)) => {
                        let bytes = attempt.bytes + request.body.as_bytes().len();
                        if attempt.bytes > 0 && bytes > BatchOptions::MAX_BYTES {
                            self.send_all(&mut attempt, false).await;
                            began = clock::monotonic();
                        }
                        attempt.add(Part { work, permit, steps, request });
                    }
                    Ok(Written::Ended(made)) => self.end_unsent(&mut attempt, (work, permit), made).await,
                    Err(why) => self.give_back(&attempt, (work, permit), why).await,
                }
            }
            if clock::elapsed(began) >= LONGEST_RENDERING {
                self.send_all(&mut attempt, false).await;
                began = clock::monotonic();
            }
        }
        self.send_all(&mut attempt, left.len() == 0).await;
        let observed = attempt.observed;
        attempt.request_permit.report(observed);
        for member in left {
            let why = if reserved.is_ok() { NotMade::NotNow } else { NotMade::NoRoom };
            self.give_back(&attempt, member, why).await;
        }
    }

    /// Runs the pipeline for one event, unless an earlier attempt did.
    async fn write(
        &self,
        attempt: &BatchAttempt<'_>,
        work: &Work,
        permit: &AttemptPermit,
    ) -> Result<Written, NotMade> {
        let hook = attempt.hook;
        self.still_due(work, hook.timeout, permit)?;
        let is_current = |it: &&RenderedRequest| it.hook_updated_at == hook.updated_at;
        let (steps, mut request) = match work.rendered.as_ref().filter(is_current) {
            Some(rendered) => (Vec::new(), rendered.request.clone()),
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
        attempt.bytes = 0;
        let groups = std::mem::take(&mut attempt.groups);
        let count = groups.len();
        for (index, parts) in groups.into_iter().enumerate() {
            self.send_together(attempt, parts, is_last && index + 1 == count).await;
        }
    }

    async fn send_together(&self, attempt: &mut BatchAttempt<'_>, parts: Vec<Part>, is_last: bool) {
        let hook = attempt.hook;
        let may_go_on = attempt.may_go_on();
        let mut due = Vec::with_capacity(parts.len());
        for part in parts {
            let is_due = || self.still_due(&part.work, hook.timeout, &part.permit).map(drop);
            match if may_go_on { is_due() } else { Err(NotMade::NotNow) } {
                Ok(()) => due.push(part),
                Err(why) => self.give_back(attempt, (part.work, part.permit), why).await,
            }
        }
        let Some(first) = due.first() else { return };
        let requests: Vec<&Request> = due.iter().map(|part| &part.request).collect();
        let request = join(&first.request, &requests, attempt.options.format);
        let id = id_of(due.iter().map(|part| &*part.work.event));
        let began = clock::monotonic();
        let sent = match request_size::reserve_bytes(&self.memory, hook.tenant, request.body.as_bytes().len())
        {
            Ok(_reserved) => {
                let (step, now) = (last_step(hook), self.sources.now());
                self.send(hook, &id, (step, request), now, hook.timeout).await.map_err(NotMade::from)
            }
            Err(no_room) => Err(no_room.into()),
        };
        let (sent, outcome) = match sent {
            Ok(sent) => sent,
            Err(why) => {
                let has_no_room = matches!(why, NotMade::NoRoom);
                for part in due {
                    let why = if has_no_room { NotMade::NoRoom } else { NotMade::Sending };
                    self.give_back(attempt, (part.work, part.permit), why).await;
                }
                return;
            }
        };
        let sending = clock::elapsed(began);
        self.answered(attempt, due, (sent, outcome, sending), is_last).await;
    }

    /// Notes for each of these `parts` what their request has come to.
    async fn answered(
        &self,
        attempt: &mut BatchAttempt<'_>,
        parts: Vec<Part>,
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
        attempt.observed = Observation::of(&outcome, ended_at);
        if is_last {
            attempt.request_permit.report(attempt.observed);
        }
        let events = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (position, part) in (1..).zip(parts) {
            let Part { work, permit, steps, request } = part;
            let decision = decision_on(&work);
            let latency = sent.is_some().then_some(sending);
            self.stats.count((hook.tenant, hook.id), &outcome, latency, ended_at);
            self.tell(hook, &work, &outcome, decision);
            let kept = kept_body(hook, &request.body, ended_at);
            let batch = Some(BatchPlace { events, position });
            let sent = sent.clone().map(|sent| SentRequest { batch, ..sent });
            let made = MadeAttempt { steps, sent, outcome: outcome.clone(), body: None, kept, sending };
            let rendered = rendered(hook, &work, request, decision);
            let record = self.record(hook, &work, attempt.now, made, decision, rendered);
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
        let (hook, ended_at) = (attempt.hook, self.sources.now());
        let jitter = self.sources.random.fraction();
        let decision = decide(&made.outcome, work.failures + 1, &hook.retry, work.trigger, ended_at, jitter);
        self.stats.count((hook.tenant, hook.id), &made.outcome, None, ended_at);
        let failing = self.health.observe(hook, &work, &made.outcome, ended_at);
        self.disable_after(hook, decision, failing).await;
        self.tell(hook, &work, &made.outcome, decision);
        if attempt.observed == Observation::Nothing {
            attempt.observed = Observation::Unsent;
        }
        let is_retried = matches!(decision, Decision::RetryAt(_));
        let rendered = if !is_retried && work.rendered.is_some() { Rendered::Remove } else { Rendered::Keep };
        let record = self.record(hook, &work, attempt.now, made, decision, rendered);
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
        self.recorder.submit(leave_group(record, work, self.sources.now()), permit).await;
    }
}

/// What becomes of the stored request of an event that was sent with others. What its pipeline wrote is stored, not the
/// request with all of them: a retry may go out with others.
fn rendered(hook: &Hook, work: &Work, request: Request, decision: Decision) -> Rendered {
    let is_retried = matches!(decision, Decision::RetryAt(_));
    let is_stored = work.rendered.as_ref().is_some_and(|it| it.hook_updated_at == hook.updated_at);
    // Without plugins, a retry writes the same body from the event.
    let is_worth_it = !is_stored && !hook.pipeline.is_empty();
    if is_retried && is_worth_it && request_size::part_may_be_stored(&request, &work.event) {
        Rendered::Store(RenderedRequest { request, hook_updated_at: hook.updated_at })
    } else if !is_retried && work.rendered.is_some() {
        Rendered::Remove
    } else {
        Rendered::Keep
    }
}
