//! Rows (m) to (p): what grows. Each is measured before and after on the same nodes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hookwright_tests::Client;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use super::rows::{Cluster, Cost};
use super::server::{Database, Postgres};
use crate::engine::EVENT_TYPE;
use crate::memory::resident;
use crate::sink::Sink;
use crate::table::Table;

/// Due deliveries of another tenant, and its hooks.
const DUE: u64 = 1_000_000;
const DUE_HOOKS: usize = 10;
/// Tenants, and hooks of each.
const TENANTS: usize = 1_000;
const HOOKS_OF_EACH: usize = 10;
/// Deliveries while a snapshot is open, before it is measured.
const WITH_SNAPSHOT: usize = 4;
const ROUNDS: usize = 3;

pub async fn growth(table: &mut Table) -> Result<()> {
    let postgres = Postgres::start()?;
    million_due(table, &postgres.database("bench")?).await?;
    old_snapshot(table, &postgres.database("bench")?).await?;
    many_tenants(table, &postgres.database("bench")?).await
}

async fn rounds(cluster: &Cluster<'_>, sink: &Sink) -> Result<Cost> {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        costs.push(cluster.measure(sink).await?);
    }
    Ok(Cost::median(costs))
}

/// The deliveries are due, and their receivers answer only after a minute.
async fn million_due(table: &mut Table, database: &Database<'_>) -> Result<()> {
    let sink = Sink::start(None).await?;
    let cluster = Cluster::start(database, 1, &sink, 1).await?;
    let before = rounds(&cluster, &sink).await?;
    table.row("(m) before a million deliveries are due", before.text());
    let hanging = hanging_receiver().await?;
    let node = &cluster.nodes[0];
    let tenant = node.tenant("backlog").await;
    for number in 0..DUE_HOOKS {
        let hook = json!({"url": format!("http://{hanging}/{number}"), "types": ["backlog"]});
        tenant.post("/hooks", hook).await.expect(201);
    }
    tenant.publish("backlog", json!({"note": "x".repeat(900)})).await;
    let (memory, _) = resident(node)?;
    let sql = format!(
        "INSERT INTO unfinished_deliveries \
         SELECT e.tenant_id, e.key - (n << 22), e.hook_ids[1 + n % {DUE_HOOKS}], e.key, e.event_type, 0, 0, 0, 0, \
             e.occurred_at, NULL, NULL, NULL \
         FROM (SELECT * FROM events WHERE event_type = 'backlog' LIMIT 1) e, generate_series(1, {DUE}::bigint) n"
    );
    database.query(&sql)?;
    let after = rounds(&cluster, &sink).await?;
    table.row("(m) with a million deliveries due", after.text());
    let (grown, _) = resident(node)?;
    let due = database.query("SELECT count(*) FROM unfinished_deliveries")?;
    table.row(
        "(m) memory of the node",
        format!("{memory:9.1} MB before, {grown:.1} MB with {due} unfinished deliveries"),
    );
    Ok(())
}

/// Accepts connections and does not answer.
async fn hanging_receiver() -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_: http::Request<Incoming>| async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(address)
}

/// A transaction of somebody else sees what there was: nothing that is updated or deleted meanwhile can be removed.
async fn old_snapshot(table: &mut Table, database: &Database<'_>) -> Result<()> {
    let sink = Sink::start(None).await?;
    let cluster = Cluster::start(database, 1, &sink, 1).await?;
    let failing = Sink::failing_first().await?;
    let retried = cluster.retrying(&failing).await?;
    let (before, retried_before) = (rounds(&cluster, &sink).await?, rounds(&retried, &failing).await?);
    table.row("(n) before a snapshot is open", before.text());
    table.row("(n) the same, each delivered by its first retry", retried_before.text());
    let mut snapshot = database.snapshot()?;
    for _ in 0..WITH_SNAPSHOT {
        cluster.measure(&sink).await?;
        retried.measure(&failing).await?;
    }
    let (after, retried_after) = (rounds(&cluster, &sink).await?, rounds(&retried, &failing).await?);
    table.row("(n) with an old snapshot open", after.text());
    table.row("(n) the same, each delivered by its first retry", retried_after.text());
    snapshot.kill()?;
    snapshot.wait()?;
    Ok(())
}

/// Each event matches one of its tenant's hooks. Requests take turns between the tenants.
async fn many_tenants(table: &mut Table, database: &Database<'_>) -> Result<()> {
    let sink = Sink::start(None).await?;
    let mut cluster = Cluster::start(database, 1, &sink, 1).await?;
    let before = rounds(&cluster, &sink).await?;
    table.row("(o) with one tenant and one hook", before.text());
    // Only to make them sooner.
    database.query("ALTER SYSTEM SET synchronous_commit = off")?;
    database.query("SELECT pg_reload_conf()")?;
    let (node, sink_address) = (&cluster.nodes[0], sink.address);
    let keys: Vec<String> = stream::iter(0..TENANTS)
        .map(|number| async move {
            let key = node.tenant_key(&format!("tenant-{number}")).await;
            let client = Client::new(node.base(), &key);
            for hook in 0..HOOKS_OF_EACH {
                let types = if hook == 0 { EVENT_TYPE.to_owned() } else { format!("other.{hook}") };
                let hook = json!({"url": format!("http://{sink_address}/"), "types": [types]});
                let made = client.post("/hooks", hook).await;
                ensure!(made.status == 201, "{}", made.json());
            }
            Ok(key)
        })
        .buffer_unordered(8)
        .try_collect()
        .await?;
    database.query("ALTER SYSTEM RESET synchronous_commit")?;
    database.query("SELECT pg_reload_conf()")?;
    let target = cluster.targets.first_mut().context("one node")?;
    target.headers.retain(|(name, _)| name != "authorization");
    target.keys = Arc::new(keys);
    let after = rounds(&cluster, &sink).await?;
    let name = format!("(o) with {TENANTS} tenants and {} hooks", TENANTS * HOOKS_OF_EACH);
    table.row(name, after.text());
    let (memory, _) = resident(&cluster.nodes[0])?;
    table.row("(o) memory of the node", format!("{memory:9.1} MB"));
    Ok(())
}
