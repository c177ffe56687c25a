//! Passes over all events, one for each [`Class`]: they delete what is too old, and know what they had to leave.

use std::collections::BTreeSet;
use std::time::Duration;

use super::left_behind::{Left, LeftBehind};
use super::parts::Parts;
use super::policy::{Class, Policy};
use super::steps::{AfterFailure, Steps, Stopped, TIME_EACH, VISITED};
use crate::clock;
use crate::domain::tenant_usage::EVENT_OVERHEAD_BYTES;
use crate::domain::{EventKey, TenantId};
use crate::storage::{OverdueBytes, StorageError, StoredEvent};

/// Days are deleted as a whole if events are kept at least for so many of them.
const WHOLE_DAYS: Duration = Duration::from_secs(7 * 86_400);

/// Events that replays are about to send.
pub(super) type Held = [(TenantId, EventKey, EventKey)];

/// All of them.
pub(super) struct Passes {
    all: Vec<Pass>,
    /// If whole days are deleted: up to which event the others are deleted one by one.
    pub(super) singly_until: EventKey,
}

/// How far the events of a class are deleted.
struct Pass {
    class: Class,
    /// All events up to this one were looked at.
    done: EventKey,
    left: LeftBehind,
    /// It has come to the end: all that it leaves is in `left`.
    is_complete: bool,
}

impl Pass {
    fn of(class: Class) -> Self {
        Self { class, done: EventKey(0), left: LeftBehind::default(), is_complete: false }
    }
}

impl Passes {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), singly_until: EventKey(0) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Begins all of them again: what they left is not known any more.
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// A class whose time or tenants changed begins again: events that it has passed may be too old now.
    pub(super) fn follow(&mut self, policy: &Policy) {
        self.all.retain(|pass| policy.classes.contains(&pass.class));
        for class in &policy.classes {
            if !self.all.iter().any(|pass| pass.class == *class) {
                self.all.push(Pass::of(class.clone()));
            }
        }
    }

    /// How much is kept of each tenant although it is older than its retention; `None` if that is not known.
    pub(super) fn overdue(&self) -> Option<OverdueBytes> {
        let mut sums = OverdueBytes::new();
        for pass in &self.all {
            if !pass.is_complete {
                return None;
            }
            for (tenant, bytes) in pass.left.bytes() {
                *sums.entry(tenant).or_default() += bytes;
            }
        }
        Some(sums)
    }

    /// Deletes of one class what is too old now, for some time at most.
    pub(super) async fn run(&mut self, steps: &mut Steps, index: usize, held: &Held) -> Result<(), Stopped> {
        let began = clock::monotonic();
        let Some(Pass { class, .. }) = self.all.get(index) else { return Ok(()) };
        let class = class.clone();
        let by_days = steps.store.deletes_days() && class.is_everybody() && class.keep >= WHOLE_DAYS;
        let most = if by_days { self.singly_until } else { EventKey(i64::MAX) };
        let again = self.all[index].left.due(clock::monotonic());
        let again = again.into_iter().map(|left| (EventKey(left.id), left)).collect();
        let again = self.without_held(index, again, held);
        self.delete_all(steps, index, &again, |_| Duration::ZERO).await?;
        while clock::elapsed(began) < TIME_EACH {
            let too_old = steps.sources.trusted_now().minus(class.keep);
            let until = EventKey(EventKey::first_at(too_old).0 - 1).min(most);
            let pass = &mut self.all[index];
            // Otherwise one that takes longer than an hour would never come to its end.
            if pass.is_complete
                && let Some(first) = pass.left.begin_again(clock::monotonic())
            {
                (pass.done, pass.is_complete) = (EventKey(first - 1), false);
            }
            let visited = steps.store.events_between(pass.done, until, VISITED).await?;
            let Some(last) = visited.last().map(|event| event.key) else {
                // Otherwise whole days are being deleted, and nothing was looked at.
                pass.is_complete |= most > EventKey(0);
                break;
            };
            let is_wanted =
                |event: &StoredEvent| class.has(event.tenant) && !pass.left.is_set_aside(event.key.0);
            let events = visited.into_iter().filter(is_wanted).map(to_leave).collect();
            let events = self.without_held(index, events, held);
            // Each of them is deleted now, or left behind.
            self.all[index].done = last;
            let late_by = |event: EventKey| event.created_at().until(too_old);
            self.delete_all(steps, index, &events, late_by).await?;
        }
        Ok(())
    }

    /// Deletes events, some at a time. Those that could not be deleted are left behind or set aside, and do not keep the others.
    pub(super) async fn delete_all(
        &mut self,
        steps: &mut Steps,
        index: usize,
        events: &[(EventKey, Left)],
        late_by: impl Fn(EventKey) -> Duration,
    ) -> Result<(), Stopped> {
        let keep = self.all[index].class.keep;
        let (began, mut parts, mut done) = (clock::monotonic(), Parts::of(events), Ok(()));
        steps.forget_failures();
        while let Some(part) = parts.next() {
            match self.delete(steps, index, part).await {
                Ok(()) => steps.forget_failures(),
                Err(error) => match steps.failed(part.len(), &error) {
                    AfterFailure::Halve => parts.halve(part),
                    AfterFailure::SetAside => {
                        let (event, left) = part[0];
                        steps.tell_set_aside("an event", &event, left.tenant, &error);
                        self.all[index].left.set_aside(left, clock::monotonic());
                    }
                    AfterFailure::Leave => {
                        self.leave(index, part.iter().copied());
                        done = Err(error.into());
                    }
                },
            }
            if let Err(stopped) = steps.pause(late_by(part[0].0), keep).await {
                self.leave(index, parts.rest().copied());
                return Err(stopped);
            }
            if clock::elapsed(began) >= TIME_EACH {
                self.leave(index, parts.rest().copied());
                return done;
            }
        }
        done
    }

    /// Leaves those behind that replays hold, and returns the others.
    pub(super) fn without_held(
        &mut self,
        index: usize,
        events: Vec<(EventKey, Left)>,
        held: &Held,
    ) -> Vec<(EventKey, Left)> {
        let (held_now, events): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|(event, left)| is_held(held, (*event, left.tenant)));
        self.leave(index, held_now);
        events
    }

    /// Deletes events. Those that must wait are left behind.
    pub(super) async fn delete(
        &mut self,
        steps: &Steps,
        index: usize,
        events: &[(EventKey, Left)],
    ) -> Result<(), StorageError> {
        let keys: Vec<_> = events.iter().map(|(key, _)| *key).collect();
        let done = steps.store.delete_events(&keys).await?;
        steps.counters.add(done.deleted);
        let kept: BTreeSet<_> = done.kept.into_iter().collect();
        self.leave(index, events.iter().copied().filter(|(key, _)| kept.contains(key)));
        Ok(())
    }

    fn leave(&mut self, index: usize, events: impl IntoIterator<Item = (EventKey, Left)>) {
        self.all[index].left.add(events.into_iter().map(|(_, left)| left), clock::monotonic());
    }
}

/// As it is remembered if it cannot be deleted yet. It counts as it did when it was accepted.
pub(super) fn to_leave(event: StoredEvent) -> (EventKey, Left) {
    let StoredEvent { key, tenant, bytes } = event;
    (key, Left { id: key.0, tenant, bytes: bytes + EVENT_OVERHEAD_BYTES })
}

/// Whether a replay of its tenant is about to send the event.
fn is_held(held: &Held, (event, tenant): (EventKey, TenantId)) -> bool {
    held.iter().any(|(owner, after, until)| *owner == tenant && *after < event && event <= *until)
}
