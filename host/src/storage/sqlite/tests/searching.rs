//! Searches, and the indexes that they use.

use sqlx::Row as _;

use super::*;

async fn assert_plan(storage: &SqliteDatabase, sql: &str, expected: &str) {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let mut writer = storage.stores.writer().await;
    let connection = writer.connection().await.unwrap();
    let plan = sqlx::query(explain).fetch_all(connection).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
    assert!(plan.iter().any(|line| line.contains(expected)), "{sql}\n{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{sql}\n{plan:#?}");
}

#[tokio::test]
async fn lists_use_the_intended_indexes() {
    let (_stores, (storage, _dir)) = open_new().await;
    let of_type = DeliveryQuery { event_type: Some("a".parse().unwrap()), ..DeliveryQuery::default() };
    let of_hook = DeliveryQuery { hook: Some(HookId(1)), ..of_type.clone() };
    let of_state = DeliveryQuery { state: Some(DeliveryState::Exhausted), ..of_hook.clone() };
    let by_key = "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id>? AND id<?)";
    let by_state = "INDEX deliveries_by_state (tenant_id=? AND state=? AND id>? AND id<?)";
    let by_bucket = "SEARCH hook_id_buckets USING PRIMARY KEY (hook=? AND bucket>? AND bucket<?)";
    for (query, expected) in
        [(of_type, &[by_key][..]), (of_hook, &[by_bucket, by_key]), (of_state, &[by_state])]
    {
        let search = listing::Search::new(TENANT, &query);
        for statement in [search.statement(), search.end_statement(10)] {
            for expected in expected {
                assert_plan(&storage, statement.sql().as_str(), expected).await;
            }
        }
    }
    for expected in
        ["INTEGER PRIMARY KEY (rowid=?)", "INDEX attempts_with_own_id (delivery_id=? AND rowid<?)"]
    {
        assert_plan(&storage, deliveries::ATTEMPTS, expected).await;
    }
    for expected in [
        "SEARCH d USING PRIMARY KEY (tenant_id=? AND id=?)",
        "SEARCH a USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH l USING COVERING INDEX attempts_with_own_id (delivery_id=?)",
    ] {
        assert_plan(&storage, deliveries::LAST_ATTEMPTS, expected).await;
    }
}

/// Statements, and a part of the plan that SQLite must have for each.
const PLANS: [(&str, &str); 14] = [
    (
        "WITH r (id, tenant_id, state) AS (VALUES (1, 2, 5), (3, 4, 5)) UPDATE deliveries SET state = r.state FROM r \
         WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id",
        "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id=?)",
    ),
    (
        "UPDATE deliveries SET state = 6 WHERE (tenant_id, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each('[]'))",
        "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id=?)",
    ),
    (
        "SELECT id FROM deliveries WHERE (tenant_id, id) IN (SELECT e.tenant_id, e.key + (d.value ->> 0) \
         FROM events e CROSS JOIN json_each(e.deliveries) d WHERE e.key = 1 AND e.tenant_id = 2)",
        "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id=?)",
    ),
    (
        "SELECT e.key FROM events e CROSS JOIN json_each(e.deliveries) d \
         WHERE e.key > (SELECT event_key FROM written_until)",
        "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)",
    ),
    (
        "WITH r (id, tenant_id) AS (VALUES (1, 2), (3, 4)) DELETE FROM rendered_requests WHERE delivery_id IN \
         (SELECT r.id FROM r CROSS JOIN deliveries WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id)",
        "SEARCH rendered_requests USING INTEGER PRIMARY KEY",
    ),
    (
        "WITH r (id, tenant_id) AS (VALUES (1, 2), (3, 4)) SELECT r.id FROM r CROSS JOIN deliveries \
         WHERE deliveries.id = r.id AND deliveries.tenant_id = r.tenant_id AND deliveries.state = 1",
        "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id=?)",
    ),
    (
        "SELECT id, (SELECT octet_length(data) FROM events WHERE key = event_key) \
         FROM deliveries INDEXED BY deliveries_unfinished WHERE hook_id = 1 AND state < 3 \
         AND ready_at <= 5 ORDER BY ready_at, id LIMIT 10",
        "SEARCH deliveries USING INDEX deliveries_unfinished (hook_id=? AND ready_at<?)",
    ),
    (
        "UPDATE deliveries SET state = 2, lease_id = NULL WHERE lease_owner = 1 AND (tenant_id, id) IN \
         (SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND state = 1)",
        "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id=?)",
    ),
    (
        "SELECT tenant_id, id, ready_at FROM deliveries INDEXED BY deliveries_unfinished \
         WHERE hook_id = 1 AND state < 3 AND state <> 1 AND (ready_at, id) > (2, 3) ORDER BY ready_at, id LIMIT 4",
        "SEARCH deliveries USING INDEX deliveries_unfinished (hook_id=? AND (ready_at,id)>(?,?))",
    ),
    (
        "SELECT id FROM deliveries WHERE tenant_id = 1 AND id BETWEEN 2 AND 3",
        "SEARCH deliveries USING PRIMARY KEY (tenant_id=? AND id>? AND id<?)",
    ),
    (
        "SELECT ready_at FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND hook_id = 4 \
         ORDER BY ready_at LIMIT 1",
        "SEARCH deliveries USING INDEX deliveries_unfinished (hook_id=?)",
    ),
    (
        "SELECT id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND state = 1",
        "USING COVERING INDEX deliveries_unfinished",
    ),
    (
        "SELECT hook_id FROM deliveries INDEXED BY deliveries_unfinished WHERE state < 3 AND hook_id > 4 \
         ORDER BY hook_id LIMIT 1",
        "SEARCH deliveries USING COVERING INDEX deliveries_unfinished (hook_id>?)",
    ),
    (
        "SELECT * FROM deliveries INDEXED BY deliveries_unfinished WHERE hook_id = 1 AND state < 3 \
         AND ready_at <= 5 ORDER BY ready_at, id LIMIT 10",
        "SEARCH deliveries USING INDEX deliveries_unfinished (hook_id=? AND ready_at<?)",
    ),
];

#[tokio::test]
async fn statements_use_the_intended_indexes() {
    let (_stores, (storage, _dir)) = open_new().await;
    for (sql, expected) in PLANS {
        assert_plan(&storage, sql, expected).await;
    }
}

/// However their rows were written, and whatever other hooks have in between.
#[tokio::test]
async fn a_hooks_list_has_the_deliveries_at_the_ends_of_buckets() {
    let (stores, _guard) = open_new().await;
    let world = World::new(stores);
    let (hooks, bucket) = ([HookId(1), HookId(2)], 1_i64 << id_buckets::BITS);
    let begin = (DeliveryId::first_at(NOW).0 >> id_buckets::BITS) << id_buckets::BITS;
    let all = [-1, 0, 1, bucket - 1, bucket, bucket + 1, 5 * bucket, 6 * bucket - 1, 9 * bucket]
        .map(|at| begin + at);
    for (number, id) in all.into_iter().enumerate() {
        let (pending, done) = (number % 3 == 0, number % 3 == 1);
        let mut acceptance = world.event_for(hooks[number % 2], (!pending).then_some(LEASE_END));
        acceptance.deliveries[0].id = DeliveryId(id);
        world.store(acceptance).await;
        if done {
            world.record(world.record_of(DeliveryId(id), DeliveryState::Succeeded)).await;
        }
    }
    for (number, hook) in hooks.into_iter().enumerate() {
        for before in all.into_iter().flat_map(|id| [id, id + 1]) {
            let before = Some(DeliveryId(before));
            let query = DeliveryQuery { hook: Some(hook), before, limit: 100, ..DeliveryQuery::default() };
            let listed = world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries;
            let listed: Vec<_> = listed.iter().rev().map(|delivery| Some(delivery.id)).collect();
            let of_hook = all.into_iter().skip(number).step_by(2).map(|id| Some(DeliveryId(id)));
            assert_eq!(listed, of_hook.filter(|id| *id < before).collect::<Vec<_>>(), "{query:?}");
        }
    }
}

/// Whatever is asked: each page looks at no more than it may, and together they have what one page has that may look at all.
#[tokio::test]
async fn a_search_that_ends_early_continues_where_it_ended() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let hooks = [world.stored_hook().await, world.stored_hook().await];
    for number in 0..40 {
        let state = [DeliveryState::Succeeded, DeliveryState::Exhausted][usize::from(number % 5 == 0)];
        let mut acceptance = world.event_for(hooks[usize::from(number % 7 == 0)], Some(LEASE_END));
        Arc::make_mut(&mut acceptance.event).event_type = format!("type.{}", number % 3).parse().unwrap();
        let id = acceptance.deliveries[0].id;
        world.store(acceptance).await;
        world.record(world.record_of(id, state)).await;
    }
    let mut queries = Vec::new();
    for hook in [None, Some(hooks[0]), Some(hooks[1])] {
        for state in [None, Some(DeliveryState::Succeeded), Some(DeliveryState::Exhausted)] {
            for event_type in [None, Some("type.1".parse().unwrap()), Some("other".parse().unwrap())] {
                queries.push(DeliveryQuery { hook, state, event_type, ..DeliveryQuery::default() });
            }
        }
    }
    let list = async |query: &DeliveryQuery, before, limit, most| {
        let query = DeliveryQuery { before, limit, ..query.clone() };
        listing::list(&storage.stores.readers, TENANT, &query, most).await.unwrap()
    };
    for query in queries {
        let whole = list(&query, None, 100, u32::MAX).await;
        assert_eq!(whole.searched_to, None);
        let passes_over = query.hook.is_some() || query.event_type.is_some();
        for limit in [2, 100] {
            let (mut found, mut pages, mut before) = (Vec::new(), 0, None);
            loop {
                let page = list(&query, before, limit, 3).await;
                let full = page.deliveries.len() == limit as usize;
                assert!(!full || page.searched_to.is_none(), "{query:?}");
                assert!(!passes_over || page.deliveries.len() <= 3, "{query:?}");
                let last = page.deliveries.last().map(|last| last.id);
                before = page.searched_to.or(last.filter(|_| full));
                found.extend(page.deliveries);
                pages += 1;
                if before.is_none() {
                    break;
                }
            }
            assert!(!passes_over || pages > 1, "{query:?}");
            assert_eq!(found, whole.deliveries, "{query:?}");
        }
    }
}
