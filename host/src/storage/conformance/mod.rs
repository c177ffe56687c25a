//! What every database must do, as functions that take a [`Storage`].
//!
//! A database's own tests say `storage_conformance!(open, open_many)`. `open` is an async function that returns a new, empty
//! [`Storage`] and a value that is kept until the test ends. `open_many` does so for a number of nodes on one database: it
//! returns a `Storage` for each. Nothing here sleeps or reads a clock.

pub mod accepting;
pub mod audit;
pub mod changing;
pub mod claiming;
pub mod directory;
pub mod figures;
pub mod hook_states;
pub mod jobs;
pub mod kept_bodies;
pub mod nodes;
pub mod notes;
pub mod ordering;
pub mod reading;
pub mod recording;
pub mod retention;
pub mod searching;
pub mod statistics;
pub mod tenants;

use std::sync::Arc;

use super::{
    Acceptance, Accepted, Claimed, Claims, HookClaim, NewDelivery, Record, Rendered, RenderedRequest,
    RetryPolicy, Revision, Storage, StorageError,
};
use crate::domain::attempt::BodyFailureKind;
use crate::domain::ids::IdGenerator;
use crate::domain::{
    Attempt, AttemptId, AuditEntry, BatchPlace, BodyFailure, Delivery, DeliveryId, DeliveryState, Event,
    EventId, EventKey, HeaderList, Hook, HookId, LastAttempt, Lease, LeaseId, NodeNumber, Outcome, Request,
    RequestBody, Response, SentRequest, SigningSecret, TenantId, Trigger, UnixMillis, testing,
};

/// One test for each case of the suite.
#[macro_export]
macro_rules! storage_conformance {
    ($open:path, $open_many:path) => {
        $crate::storage_conformance!(@nodes $open_many,
            claims_of_several_nodes_are_disjoint, recovery_spares_the_leases_of_other_nodes,
            recovery_cancels_the_tests_of_its_node,
            order_holds_between_nodes, a_stale_compare_and_set_is_refused, a_change_on_a_stale_basis_is_refused, all_nodes_see_what_changed
        );
        $crate::storage_conformance!(@nodes_of jobs $open_many, one_of_several_nodes_works_on_a_job);
        $crate::storage_conformance!(@ $open,
            accepting: [
                an_event_is_read_back_by_its_id, an_event_with_a_senders_id_is_found_by_both,
                the_same_event_is_accepted_once, another_event_with_the_same_id_is_refused,
                a_conflict_refuses_its_whole_call_and_no_other, an_id_in_use_already_fails_only_its_own_call,
                hundreds_of_concurrent_calls_are_all_stored, one_of_concurrent_duplicates_is_stored
            ],
            claiming: [
                what_is_due_is_claimed_oldest_first, a_lease_excludes_others_until_it_ends,
                a_claim_returns_event_and_rendered_request, concurrent_claims_share_nothing,
                a_claim_is_limited_by_bytes_and_tells_whether_there_is_more,
                a_claim_is_limited_by_bytes_for_each_tenant, several_hooks_are_claimed_together,
                waiting_deliveries_are_brought_forward_once, recovery_ends_leases,
                deliveries_that_a_wrong_clock_put_out_of_reach_are_due_after_recovery,
                a_delivery_is_due_at_its_due_time_and_not_at_that_of_its_id, the_backlog_names_each_hook_once
            ],
            kept_bodies: [bodies_are_kept_until_they_expire],
            retention: [
                an_event_is_deleted_with_all_that_belongs_to_it, an_event_with_an_unfinished_delivery_is_kept,
                an_event_with_many_deliveries_is_deleted, unfinished_replays_hold_their_events,
                attempts_and_bodies_are_trimmed, a_name_is_known_when_its_event_is_deleted,
                an_erased_event_has_no_content, an_erased_event_is_not_sent_again
            ],
            audit: [
                entries_are_read_back_and_removed, a_change_is_committed_with_its_entry,
                operators_keys_and_uses_are_read_back
            ],
            recording: [
                a_record_moves_a_delivery_on, every_shape_of_attempt_is_read_back,
                attempts_are_read_back_in_order, the_last_attempts_of_deliveries_are_read_back,
                a_cancelled_delivery_stays_cancelled, a_delivery_that_succeeds_while_it_is_cancelled_has_succeeded, a_record_of_another_lease_changes_nothing, rendered_requests_live_until_the_end,
                a_record_of_another_tenant_changes_nothing, a_record_that_comes_twice_counts_once
            ],
            changing: [
                retry_is_refused_only_under_a_lease, retry_needs_the_hook, cancel_is_refused_in_a_final_state,
                a_retried_delivery_starts_again, a_deleted_hook_leaves_no_unfinished_deliveries
            ],
            reading: [
                pages_follow_each_other, every_filter_selects_what_it_names, a_short_number_leads_to_the_deliveries_of_all_nodes,
                tenants_do_not_see_each_other, the_newest_wanted_event_is_found
            ],
            searching: [
                events_are_found_by_every_filter, deliveries_of_events_are_counted_by_state,
                a_stored_event_is_delivered_again
            ],
            ordering: [
                of_each_group_only_the_first_is_claimed, what_is_cancelled_leaves_the_order,
                a_delivery_that_is_skipped_holds_nothing, a_retry_by_hand_does_not_overtake,
                a_lease_that_ends_keeps_the_order, the_order_is_that_of_acceptance,
                recovered_events_join_the_end_of_their_group, order_holds_whatever_happens
            ],
            figures: [unfinished_deliveries_and_sizes_are_reported],
            statistics: [counts_of_attempts_add_up],
            notes: [leases_that_end_without_a_record_are_noted, a_replay_gives_its_pipeline_to_its_deliveries, a_pipeline_is_kept_until_its_deliveries_are_final],
            tenants: [a_deleted_tenant_leaves_nothing_and_others_stay, the_usage_of_tenants_adds_up, what_is_kept_too_long_is_stored_for_all_nodes],
            jobs: [
                jobs_are_read_back_and_limited, jobs_are_paused_resumed_and_cancelled, events_to_replay_are_found,
                a_step_makes_deliveries_of_events, a_job_ends_with_a_step, a_step_retries_and_cancels_deliveries
            ],
            directory: [
                tenants_projects_and_keys_are_read_back, keys_are_changed_and_replaced, logins_and_tokens_are_read_back, a_taken_name_is_refused,
                hooks_are_read_back_and_replaced, a_hook_belongs_to_its_tenant,
                wasm_is_stored_once_and_removed_with_the_last_version
            ],
            hook_states: [
                health_is_read_back_until_a_hook_is_well, other_nodes_read_what_has_changed, one_of_several_takes_a_probe, the_pause_of_the_engine_is_kept,
                unfinished_deliveries_are_counted, missed_events_are_found_and_replayed_once
            ]
        );
    };
    (@nodes $open_many:path, $($case:ident),+) => {
        $crate::storage_conformance!(@nodes_of nodes $open_many, $($case),+);
    };
    (@nodes_of $module:ident $open_many:path, $($case:ident),+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let opened: Option<_> = $open_many(3).await.into();
                let Some((nodes, _guard)) = opened else { return };
                let nodes: Vec<_> = (5..).zip(nodes).map(|(number, storage)| {
                    $crate::storage::conformance::World::of_node(storage, $crate::domain::NodeNumber(number))
                }).collect();
                $crate::storage::conformance::$module::$case(&nodes).await;
            }
        )+
    };
    (@ $open:path, $($module:ident: [$($case:ident),+]),+) => {
        $($(
            #[tokio::test]
            async fn $case() {
                // Some databases are not installed everywhere.
                let opened: Option<_> = $open().await.into();
                let Some((storage, _guard)) = opened else { return };
                $crate::storage::conformance::$module::$case(&$crate::storage::conformance::World::new(storage)).await;
            }
        )+)+
    };
}

/// The time at which everything happens.
pub const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
/// When leases end.
pub const LEASE_END: UnixMillis = UnixMillis(NOW.0 + 60_000);
/// One tenant.
pub const TENANT: TenantId = TenantId(41);
/// Another tenant.
pub const OTHER_TENANT: TenantId = TenantId(42);

/// A database, and ids for what is put into it.
pub struct World {
    /// The database.
    pub storage: Storage,
    /// Which node uses it.
    pub node: NodeNumber,
    ids: IdGenerator,
}

impl World {
    /// Around an empty database, as node 1 uses it.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self::of_node(storage, NodeNumber(1))
    }

    /// As `node` uses it.
    #[must_use]
    pub fn of_node(storage: Storage, node: NodeNumber) -> Self {
        Self { storage, ids: IdGenerator::new(node.0, 0), node }
    }

    /// A new lease of this node.
    pub fn lease(&self, until: UnixMillis) -> Lease {
        Lease::generate(&self.ids, NOW, until)
    }

    /// A new id.
    pub fn id(&self) -> i64 {
        self.ids.next_raw(NOW)
    }

    /// An event of the type `a.b` without deliveries.
    pub fn event(&self) -> Acceptance {
        let key = EventKey(self.id());
        let event = Event {
            key,
            id: EventId::of_key(key),
            tenant: TENANT,
            project: None,
            ordering_key: None,
            trace: None,
            event_type: "a.b".parse().unwrap(),
            occurred_at: NOW,
            data: r#"{"n":1}"#.into(),
        };
        Acceptance { event: Arc::new(event), content: [0; 32], idempotency_key: None, deliveries: Vec::new() }
    }

    /// An event with a delivery for `hook`: leased until `lease_until`, or to be claimed.
    pub fn event_for(&self, hook: HookId, lease_until: Option<UnixMillis>) -> Acceptance {
        let mut acceptance = self.event();
        let id = DeliveryId(self.id());
        acceptance.deliveries.push(NewDelivery {
            id,
            hook,
            trigger: Trigger::Event,
            lease_until,
            due_at: NOW,
            ordering_key: None,
        });
        acceptance
    }

    /// Stores one event, which must be new.
    pub async fn store(&self, acceptance: Acceptance) {
        assert_eq!(self.storage.events.accept(vec![acceptance]).await.unwrap(), [Accepted::Stored]);
    }

    /// Stores an event with a delivery of [`TENANT`] in `state`, and a hook for it.
    pub async fn delivery_in(&self, hook: HookId, state: DeliveryState) -> DeliveryId {
        let lease = (state != DeliveryState::Pending).then_some(LEASE_END);
        let acceptance = self.event_for(hook, lease);
        let id = acceptance.deliveries[0].id;
        self.store(acceptance).await;
        match state {
            DeliveryState::Pending | DeliveryState::Delivering => {}
            DeliveryState::Cancelled => drop(self.storage.deliveries.cancel(TENANT, id).await.unwrap()),
            state => self.record(self.record_of(id, state)).await,
        }
        assert_eq!(self.delivery(id).await.state, state);
        id
    }

    /// A hook of [`TENANT`], stored.
    pub async fn stored_hook(&self) -> HookId {
        let hook = self.hook();
        self.storage.hooks.insert(&hook, Revision::ANY, &entry()).await.unwrap();
        hook.id
    }

    /// A plain hook of [`TENANT`].
    pub fn hook(&self) -> Hook {
        Hook {
            id: HookId(self.id()),
            tenant: TENANT,
            secrets: vec![SigningSecret::from_bytes(vec![7; 32]).unwrap()],
            ..testing::hook("https://example.com/hook?a=1")
        }
    }

    /// The record of a first attempt under the stored lease. It failed if `state` is waiting or exhausted.
    pub fn record_of(&self, delivery: DeliveryId, state: DeliveryState) -> Record {
        let failed = matches!(state, DeliveryState::Waiting | DeliveryState::Exhausted);
        Record {
            delivery,
            tenant: TENANT,
            lease: LeaseId::of_stored(delivery),
            state,
            attempts: 1,
            failures: u32::from(failed),
            due_at: (!state.is_final()).then_some(UnixMillis(NOW.0 + 5_000)),
            attempt: Some(self.attempt(delivery)),
            rendered: match state {
                DeliveryState::Waiting => Rendered::Store(request("rendered")),
                _ => Rendered::Remove,
            },
            leaves: None,
            kept_body: None,
        }
    }

    /// A first attempt that was answered with 500.
    pub fn attempt(&self, delivery: DeliveryId) -> Attempt {
        let headers: HeaderList = vec![("a".into(), "1".into()), ("a".into(), "ü".into())];
        Attempt {
            id: AttemptId(self.id()),
            delivery,
            number: 1,
            started_at: NOW,
            duration: std::time::Duration::from_nanos(1_234_567),
            steps: Vec::new(),
            request: Some(SentRequest {
                method: "POST".into(),
                url: "https://example.com/".to_owned(),
                headers: headers.clone(),
                body_bytes: 7,
                body_kept_until: Some(LEASE_END),
                batch: Some(BatchPlace { events: 3, position: 2 }),
            }),
            outcome: Outcome::Response(Response {
                status: 500,
                headers,
                body: vec![0, 159, 255],
                body_truncated: true,
                body_failure: Some(BodyFailure {
                    kind: BodyFailureKind::Timeout,
                    message: "it did not end".to_owned(),
                }),
            }),
            cut: true,
        }
    }

    /// Records one.
    pub async fn record(&self, record: Record) {
        self.storage.deliveries.record(vec![record], RetryPolicy::NONE).await.unwrap();
    }

    /// A delivery of [`TENANT`].
    pub async fn delivery(&self, id: DeliveryId) -> Delivery {
        self.storage.deliveries.delivery(TENANT, id).await.unwrap().unwrap()
    }

    /// The attempts of a delivery of [`TENANT`].
    pub async fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        let found = self.storage.deliveries.with_attempts(TENANT, id, None, 1_000).await.unwrap();
        found.unwrap().1.into_iter().rev().collect()
    }

    /// The last attempt of a delivery of [`TENANT`].
    pub async fn last_attempt(&self, id: DeliveryId) -> Option<LastAttempt> {
        self.storage.deliveries.last_attempts(TENANT, &[id]).await.unwrap().remove(&id)
    }

    /// Claims at `now` until a minute later.
    pub async fn claim(&self, hook: HookId, now: UnixMillis, limit: u32) -> Vec<Claimed> {
        let lease_until = UnixMillis(now.0 + 60_000);
        self.try_claim(hook, now, lease_until, (limit, u64::MAX)).await.unwrap().claimed
    }

    /// Claims of one hook, no more than so many and so many bytes.
    pub async fn try_claim(
        &self,
        hook: HookId,
        now: UnixMillis,
        lease_until: UnixMillis,
        (limit, max_bytes): (u32, u64),
    ) -> Result<Claims, StorageError> {
        let hooks = vec![HookClaim { hook, tenant: TENANT, limit, tenant_bytes: u64::MAX }];
        let lease = self.lease(lease_until);
        let mut claims = self.storage.deliveries.claim(hooks, now, lease, max_bytes).await;
        assert_eq!(claims.len(), 1);
        claims.remove(0)
    }
}

/// A rendered request whose body is `text`.
#[must_use]
pub fn request(text: &str) -> RenderedRequest {
    let request = Request {
        method: "PUT".into(),
        url: "http://example.com/x".to_owned(),
        headers: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        body: RequestBody::Text(text.into()),
    };
    RenderedRequest { request, hook_updated_at: UnixMillis(NOW.0 - 7) }
}

/// An entry of the audit log for a change.
fn entry() -> AuditEntry {
    AuditEntry::of_test()
}
