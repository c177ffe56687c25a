//! Finds out what other nodes do to the deliveries of tenants that are watched on this one.
//!
//! A node knows at once only what it does itself. While somebody watches a tenant here, the newest deliveries of the tenant are
//! read every two seconds, and what nobody here was told is told. Nodes that nobody watches do nothing for it.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::delivery::{ChangeKind, DeliveryChange, LiveChanges, Watch};
use crate::domain::{Delivery, DeliveryId, DeliveryState, NodeNumber, TenantId};
use crate::sources::Sources;
use crate::storage::{DeliveryQuery, Storage, StorageError};

/// How often.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a stream waits for the first look.
const FIRST_LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// How many deliveries are read.
const NEWEST: u32 = 200;
/// How many are read besides if there were more than these since the last look.
const MORE: u32 = 800;
/// Deliveries that are so much older than the newest one known may be new: other nodes' clocks differ, and so do their commits.
const OVERLAP: Duration = Duration::from_secs(3);
/// How many changes are told before those who watch get a chance to read them.
const TOGETHER: usize = 128;
/// How many deliveries are known at most. What this node does between two looks is known, and forgotten after the second.
const MAX_KNOWN: usize = 50_000;

/// See the module's head. Clones follow together.
#[derive(Clone)]
pub struct OtherNodes(Option<Arc<Follower>>);

struct Follower {
    sources: Sources,
    storage: Storage,
    live: Arc<LiveChanges>,
    /// Which tenants are followed, and whether the first look at them was.
    followed: Mutex<HashMap<TenantId, watch::Receiver<bool>>>,
}

/// A tenant that is followed.
pub struct Followed(Option<watch::Receiver<bool>>);

impl Followed {
    /// Waits until what other nodes do from now on is told, for some seconds at most.
    pub async fn begun(self) {
        let Some(mut looked) = self.0 else { return };
        let _ = tokio::time::timeout(FIRST_LOOK_TIMEOUT, looked.wait_for(|looked| *looked)).await;
    }
}

impl OtherNodes {
    /// Follows nothing yet, and nothing at all if no other node can use the database.
    #[must_use]
    pub fn new(sources: &Sources, storage: &Storage, live: &Arc<LiveChanges>, is_shared: bool) -> Self {
        Self(is_shared.then(|| {
            let (sources, storage, live) = (sources.clone(), storage.clone(), Arc::clone(live));
            Arc::new(Follower { sources, storage, live, followed: Mutex::default() })
        }))
    }

    /// Whether there may be others: `several` or `one`.
    #[must_use]
    pub fn nodes(&self) -> &'static str {
        if self.0.is_some() { "several" } else { "one" }
    }

    /// Follows a tenant for as long as it is watched.
    pub fn follow(&self, tenant: TenantId) -> Followed {
        let Some(follower) = &self.0 else { return Followed(None) };
        let begin = || {
            let (look, looked) = watch::channel(false);
            tokio::spawn(Arc::clone(follower).run(tenant, look));
            looked
        };
        Followed(Some(follower.followed().entry(tenant).or_insert_with(begin).clone()))
    }
}

impl Follower {
    fn followed(&self) -> MutexGuard<'_, HashMap<TenantId, watch::Receiver<bool>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, tenant: TenantId, look: watch::Sender<bool>) {
        let mut told = self.live.follow(tenant);
        let mut known = Known::new(NodeNumber(u16::try_from(self.sources.ids.node()).unwrap_or_default()));
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            known.note_during(&mut told, interval.tick()).await;
            {
                let mut followed = self.followed();
                if !self.live.is_watched(tenant) {
                    followed.remove(&tenant);
                    return;
                }
            }
            let (newest, began) = (known.newest, clock::monotonic());
            known.meanwhile.clear();
            let read = known.note_during(&mut told, self.read(tenant, newest)).await;
            known.is_late |= read.is_err() || clock::elapsed(began) >= FIRST_LOOK_TIMEOUT;
            match read {
                Ok((listed, are_all)) => {
                    known.has_gaps |= told.take_missed() > 0;
                    let news = known.compare(listed, are_all);
                    let tell = self.tell(tenant, news);
                    known.note_during(&mut told, tell).await;
                    look.send_replace(true);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(%tenant, error, "cannot read what other nodes do");
                }
            }
        }
    }

    /// The newest deliveries from the newest on, at least those after `known`, and whether these are all.
    async fn read(
        &self,
        tenant: TenantId,
        known: Option<DeliveryId>,
    ) -> Result<(Vec<Delivery>, bool), StorageError> {
        let query = DeliveryQuery { limit: NEWEST, ..DeliveryQuery::default() };
        let mut listed = self.storage.deliveries.list(tenant, &query).await?.deliveries;
        let is_full = listed.len() >= NEWEST as usize;
        let oldest = listed.last().map(|delivery| delivery.id).filter(|_| is_full);
        let (Some(known), Some(oldest)) = (known, oldest) else { return Ok((listed, true)) };
        let after = DeliveryId::first_at(known.created_at().minus(OVERLAP));
        if oldest <= after {
            return Ok((listed, true));
        }
        let between = DeliveryQuery { before: Some(oldest), after: Some(after), limit: MORE, ..query };
        let more = self.storage.deliveries.list(tenant, &between).await?.deliveries;
        let are_all = more.len() < MORE as usize || more.last().is_some_and(|oldest| oldest.id <= known);
        listed.extend(more);
        Ok((listed, are_all))
    }

    async fn tell(&self, tenant: TenantId, News { changes, are_all }: News) {
        let at = self.sources.now();
        for (number, (kind, delivery)) in changes.into_iter().enumerate() {
            if number % TOGETHER == TOGETHER - 1 {
                tokio::task::yield_now().await;
            }
            let change = DeliveryChange { kind, at, delivery, event_id: None, attempt: None };
            self.live.tell_found(&Arc::new(change));
        }
        if !are_all {
            self.live.tell_missed(tenant);
        }
    }
}

/// The state of a delivery, and how many attempts it had.
type State = (DeliveryState, u32);

/// What those who watch know of the newest deliveries.
struct Known {
    /// This node, which tells itself what it makes.
    own: NodeNumber,
    states: HashMap<DeliveryId, State>,
    /// Those before it are not looked at. `None` before the first look.
    since: Option<DeliveryId>,
    /// The newest one at the last look.
    newest: Option<DeliveryId>,
    /// Whether this node told more than could be noted since the last look.
    has_gaps: bool,
    /// What this node told since the read began, which may show what was before.
    meanwhile: HashSet<DeliveryId>,
    /// Whether streams may have begun before the first look.
    is_late: bool,
}

/// What nobody was told.
#[derive(Debug)]
struct News {
    /// Oldest first.
    changes: Vec<(ChangeKind, Delivery)>,
    /// Whether there can be no others.
    are_all: bool,
}

impl Known {
    fn new(own: NodeNumber) -> Self {
        Self {
            own,
            states: HashMap::new(),
            since: None,
            newest: None,
            has_gaps: false,
            meanwhile: HashSet::new(),
            is_late: false,
        }
    }

    /// Notes what this node tells while `work` is under way.
    async fn note_during<T>(&mut self, told: &mut Watch, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let change = tokio::select! {
                biased;
                change = told.next() => change,
                done = &mut work => return done,
            };
            match change {
                Some(change) => self.note(&change.delivery),
                // The engine shuts down.
                None => return work.await,
            }
        }
    }

    fn note(&mut self, delivery: &Delivery) {
        if self.states.len() >= MAX_KNOWN && !self.states.contains_key(&delivery.id) {
            self.has_gaps = true;
        } else {
            self.states.insert(delivery.id, state_of(delivery));
            self.meanwhile.insert(delivery.id);
        }
    }

    /// What is new in the newest deliveries, listed from the newest on. `are_all` is false if there were others since the last
    /// look.
    fn compare(&mut self, listed: Vec<Delivery>, are_all: bool) -> News {
        let is_first = self.since.is_none();
        let has_gaps = std::mem::take(&mut self.has_gaps);
        let oldest = listed.last().filter(|_| listed.len() >= NEWEST as usize).map(|oldest| oldest.id);
        let newest = listed.first().map(|newest| newest.id);
        let since = self.since.unwrap_or(DeliveryId(0));
        let mut changes = Vec::new();
        for delivery in listed.into_iter().rev() {
            let (state, before) = (state_of(&delivery), self.states.get(&delivery.id).copied());
            // What this node was told of may be newer than what it has read.
            if before.is_some_and(|before| !is_newer(state, before)) || self.meanwhile.contains(&delivery.id)
            {
                continue;
            }
            self.states.insert(delivery.id, state);
            let kind = match before {
                // After a gap it may have been told.
                Some(_) => Some(ChangeKind::Changed).filter(|_| !has_gaps),
                // Older ones come into view when newer ones are deleted.
                None => Some(ChangeKind::Created)
                    .filter(|_| delivery.id >= since && delivery.id.node() != self.own),
            };
            changes.extend(kind.filter(|_| !is_first).map(|kind| (kind, delivery)));
        }
        self.newest = self.newest.max(newest).or(Some(DeliveryId(0)));
        let since = oldest.map_or(since, |oldest| oldest.max(since));
        self.since = Some(since);
        self.states.retain(|id, _| *id >= since);
        News { changes, are_all: if is_first { !self.is_late } else { are_all && !has_gaps } }
    }
}

fn state_of(delivery: &Delivery) -> State {
    (delivery.state, delivery.attempts)
}

/// Whether something happened.
fn is_newer((state, attempts): State, (old_state, old_attempts): State) -> bool {
    attempts > old_attempts || (attempts == old_attempts && state != old_state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKey, HookId, Trigger};

    const OWN: NodeNumber = NodeNumber(1);

    /// A delivery of a node that was made in this millisecond.
    fn delivery(node: i64, millis: i64, attempts: u32) -> Delivery {
        let state = if attempts == 0 { DeliveryState::Pending } else { DeliveryState::Succeeded };
        Delivery {
            id: DeliveryId::from_short(millis << 12, node).unwrap(),
            tenant: TenantId(1),
            hook: HookId(1),
            event: EventKey(1),
            event_type: "a.b".parse().unwrap(),
            trigger: Trigger::Event,
            state,
            attempts,
            failures: 0,
            due_at: None,
            lease: None,
        }
    }

    /// Deliveries of a node in these milliseconds, from the newest on.
    fn listed(node: i64, millis: std::ops::Range<i64>) -> Vec<Delivery> {
        millis.rev().map(|millis| delivery(node, millis, 0)).collect()
    }

    fn kinds(news: &News) -> Vec<ChangeKind> {
        news.changes.iter().map(|(kind, _)| *kind).collect()
    }

    #[test]
    fn what_others_do_after_the_first_look_is_news_once() {
        let mut known = Known::new(OWN);
        assert_eq!(kinds(&known.compare(listed(2, 1..3), true)), [], "it was there before");
        let changed = || [listed(2, 3..5), vec![delivery(2, 2, 1), delivery(2, 1, 0)]].concat();
        let news = known.compare(changed(), true);
        assert!(news.are_all);
        assert_eq!(kinds(&news), [ChangeKind::Changed, ChangeKind::Created, ChangeKind::Created]);
        assert_eq!(news.changes[0].1.id, delivery(2, 2, 1).id);
        assert_eq!(kinds(&known.compare(changed(), true)), []);
    }

    #[test]
    fn what_this_node_does_is_no_news_however_much_it_is() {
        let mut known = Known::new(OWN);
        known.compare(Vec::new(), true);
        for look in 0..3 {
            let all = (look * 1_000)..(look * 1_000 + 1_000);
            // Read before it was told, and after.
            let (early, told) = (all.end - 10, all.end - 10..all.end);
            for millis in all.start..early {
                known.note(&delivery(1, millis, 0));
                known.note(&delivery(1, millis, 1));
            }
            let mut read = listed(1, told);
            read.extend((all.start..early).rev().map(|millis| delivery(1, millis, (millis % 2) as u32)));
            let news = known.compare(read, true);
            assert_eq!((kinds(&news), news.are_all), (Vec::new(), true));
            assert!(known.states.len() <= 1_000, "{}", known.states.len());
        }
        // One that this node has made is attempted by another.
        let news = known.compare(vec![delivery(1, 2_999, 1)], true);
        assert_eq!(kinds(&news), [ChangeKind::Changed]);
    }

    #[test]
    fn what_this_node_does_while_the_deliveries_are_read_is_newer_than_what_was_read() {
        let mut known = Known::new(OWN);
        known.compare(vec![delivery(2, 1, 0)], true);
        known.note(&Delivery { state: DeliveryState::Cancelled, ..delivery(2, 1, 0) });
        assert_eq!(kinds(&known.compare(vec![delivery(2, 1, 0)], true)), []);
        known.meanwhile.clear();
        assert_eq!(
            kinds(&known.compare(vec![delivery(2, 1, 0)], true)),
            [ChangeKind::Changed],
            "retried elsewhere"
        );
    }

    #[test]
    fn streams_that_began_before_the_first_look_are_told_that_they_missed_something() {
        for is_late in [false, true] {
            let mut known = Known { is_late, ..Known::new(OWN) };
            assert_eq!(known.compare(Vec::new(), true).are_all, !is_late);
            assert!(known.compare(Vec::new(), true).are_all);
        }
    }

    #[test]
    fn older_deliveries_that_come_into_view_are_no_news() {
        let mut known = Known::new(OWN);
        known.compare(listed(2, 1_000..1_200), true);
        let news = known.compare(listed(2, 900..1_100), true);
        assert_eq!((kinds(&news), news.are_all), (Vec::new(), true));
    }

    #[test]
    fn it_is_told_when_there_was_too_much_to_see() {
        let mut known = Known::new(OWN);
        assert!(known.compare(listed(2, 0..200), false).are_all, "nothing was promised before");
        assert!(!known.compare(listed(2, 500..700), false).are_all);
        assert!(known.compare(listed(2, 600..800), true).are_all);
        known.has_gaps = true;
        let news = known.compare(vec![delivery(2, 800, 0), delivery(2, 799, 1)], true);
        assert_eq!((kinds(&news), news.are_all), (vec![ChangeKind::Created], false));
        assert!(known.compare(Vec::new(), true).are_all);
    }
}
