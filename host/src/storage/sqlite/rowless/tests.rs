use proptest::prelude::*;

use super::*;
use crate::domain::EventId;

fn event(key: EventKey) -> Arc<Event> {
    Arc::new(Event {
        key,
        id: EventId::of_key(key),
        tenant: TenantId(1),
        project: None,
        ordering_key: None,
        trace: None,
        event_type: "a".parse().unwrap(),
        occurred_at: UnixMillis(0),
        data: "1".into(),
    })
}

fn delivery(key: EventKey, hook: i64, lease_until: i64) -> RowlessDelivery {
    RowlessDelivery { event: event(key), hook: HookId(hook), lease_until: UnixMillis(lease_until) }
}

fn accepted(key: i64) -> RowlessChange {
    let key = EventKey(key);
    let added = vec![(DeliveryId(key.0 + 1), delivery(key, 2, 3))];
    RowlessChange { added, last_event: Some(key), ..RowlessChange::default() }
}

fn written(key: i64) -> RowlessChange {
    RowlessChange { removed: vec![DeliveryId(key + 1)], ..RowlessChange::default() }
}

/// The mark must never be at or after the event of a delivery without a row.
#[test]
fn written_until_stays_before_the_event_of_each_delivery_without_a_row() {
    let mut rowless = RowlessDeliveries::new(EventKey(0));
    for (what, change, expected) in [
        ("the first event is far ahead", accepted(3 * MARK_STEP), Some(3 * MARK_STEP - 1)),
        ("less than a step", accepted(3 * MARK_STEP + 5), None),
        ("late: its key was made before", accepted(MARK_STEP), Some(MARK_STEP - 1)),
        ("a step and more, but an older one has no row", accepted(9 * MARK_STEP), None),
        ("the older one gets its row", written(MARK_STEP), None),
        ("the next transaction sees that", written(3 * MARK_STEP), Some(3 * MARK_STEP - 1)),
        ("two are left, the older less than a step on", written(3 * MARK_STEP + 5), None),
        ("one is left", written(9 * MARK_STEP), Some(9 * MARK_STEP - 1)),
        ("none", RowlessChange::default(), None),
        (
            "an event without deliveries",
            RowlessChange { last_event: Some(EventKey(20 * MARK_STEP)), ..RowlessChange::default() },
            Some(20 * MARK_STEP),
        ),
        ("as late as possible", accepted(20 * MARK_STEP), Some(20 * MARK_STEP - 1)),
    ] {
        let next = rowless.next_written_until(&change);
        assert_eq!(next, expected.map(EventKey), "{what}");
        rowless.apply(change, next);
    }
}

/// Otherwise a slow receiver would make the next start read all events after its own.
#[test]
fn a_delivery_that_has_waited_for_long_gets_its_row() {
    let mut rowless = RowlessDeliveries::new(EventKey(0));
    let change = accepted(MAX_AGE);
    let next = rowless.next_written_until(&change);
    rowless.apply(change, next);
    let old = |last| rowless.old(last).map(|(id, _)| id.0).collect::<Vec<_>>();
    assert_eq!(old(None), [0; 0]);
    assert_eq!(old(Some(EventKey(2 * MAX_AGE))), [0; 0]);
    assert_eq!(old(Some(EventKey(2 * MAX_AGE + 1))), [MAX_AGE + 1]);
}

/// What one transaction does, in small numbers: events have the keys `n * MARK_STEP / 4`, and deliveries follow them.
#[derive(Debug, Clone)]
enum Act {
    Accept { event: i64, deliveries: Vec<(i64, i64)> },
    Write { delivery: usize },
}

fn act() -> impl Strategy<Value = Act> {
    let deliveries = prop::collection::vec((1..4_i64, 0..20_i64), 0..4);
    prop_oneof![
        (1..200_i64, deliveries).prop_map(|(event, deliveries)| Act::Accept { event, deliveries }),
        any::<usize>().prop_map(|delivery| Act::Write { delivery }),
    ]
}

/// A plain list beside the [`RowlessDeliveries`].
#[derive(Default)]
struct Model {
    deliveries: Vec<(DeliveryId, RowlessDelivery)>,
    accepted: HashSet<i64>,
    last_event: i64,
}

impl Model {
    /// The change that `act` makes, which the model has made already; none if it makes none.
    fn change(&mut self, act: Act) -> Option<RowlessChange> {
        match act {
            Act::Accept { event, deliveries } => {
                if !self.accepted.insert(event) {
                    return None;
                }
                let key = EventKey(event * MARK_STEP / 4);
                self.last_event = self.last_event.max(key.0);
                let new = deliveries
                    .into_iter()
                    .zip(1..)
                    .map(|((hook, until), number)| (DeliveryId(key.0 + number), delivery(key, hook, until)));
                let added: Vec<_> = new.collect();
                self.deliveries.extend(added.iter().cloned());
                self.deliveries.sort_by_key(|(id, _)| *id);
                Some(RowlessChange { added, last_event: Some(key), ..RowlessChange::default() })
            }
            Act::Write { delivery } => {
                if self.deliveries.is_empty() {
                    return None;
                }
                let (id, _) = self.deliveries.remove(delivery % self.deliveries.len());
                Some(RowlessChange { removed: vec![id], ..RowlessChange::default() })
            }
        }
    }

    fn ids(&self, keep: impl Fn(DeliveryId, &RowlessDelivery) -> bool) -> Vec<DeliveryId> {
        self.deliveries.iter().filter(|(id, it)| keep(*id, it)).map(|(id, _)| *id).collect()
    }
}

fn assert_same(rowless: &SharedRowless, model: &Model) {
    let inner = rowless.lock();
    let until = DeliveryId(i64::MAX);
    for hook in 0..4 {
        let request = Materialize { selection: Selection::OfHook(HookId(hook)), until, count: 0 };
        let selected: Vec<_> = inner.selected(request).map(|(id, _)| id).collect();
        assert_eq!(selected, model.ids(|_, it| it.hook.0 == hook));
    }
    let limit = model.last_event - MAX_AGE;
    let old: Vec<_> = inner.old(None).map(|(id, _)| id).collect();
    assert_eq!(old, model.ids(|_, it| it.event.key.0 < limit));
    for (id, it) in &model.deliveries {
        assert!(inner.written_until < it.event.key, "a crash would lose {id}");
        assert_eq!(inner.get(*id).map(|it| it.hook), Some(it.hook));
    }
    assert_eq!(inner.by_id.len(), model.deliveries.len());
    // No more than a step behind what it may be.
    let oldest = model.deliveries.iter().map(|(_, it)| it.event.key.0 - 1).min();
    assert!(inner.written_until.0 <= oldest.unwrap_or(model.last_event));
    drop(inner);
    let mut backlog = Vec::new();
    rowless.add_backlog(&mut backlog);
    backlog.sort_by_key(|one| one.hook);
    let first = |hook| {
        let of_hook = model.deliveries.iter().filter(|(_, it)| it.hook == hook);
        of_hook.map(|(_, it)| it.lease_until).min()
    };
    let expected = (0..4).map(HookId).filter_map(|hook| Some(Backlog { hook, first_due_at: first(hook)? }));
    assert_eq!(backlog, expected.collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn rowless_deliveries_are_those_of_a_plain_list(acts in prop::collection::vec(act(), 1..60)) {
        let rowless = SharedRowless::new(RowlessDeliveries::new(EventKey(0)));
        let mut model = Model::default();
        for act in acts {
            let Some(change) = model.change(act) else { continue };
            let next = rowless.lock().next_written_until(&change);
            rowless.lock().apply(change, next);
            assert_same(&rowless, &model);
        }
        let all = model.ids(|_, _| true);
        while let Some(request) = rowless.request(Selection::All, None) {
            let removed: Vec<_> = rowless.lock().selected(request).map(|(id, _)| id).collect();
            prop_assert_eq!(request.count, removed.len());
            prop_assert_eq!(&removed, &all);
            rowless.lock().apply(RowlessChange { removed, ..RowlessChange::default() }, None);
        }
        prop_assert!(rowless.lock().by_id.is_empty() && rowless.lock().events.is_empty());
    }
}
