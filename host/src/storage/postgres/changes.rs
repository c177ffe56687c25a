//! What clients change of a delivery. It has a row already.

use sqlx_postgres::PgConnection;

use super::rows::delivery_columns;
use crate::domain::{Delivery, DeliveryId, DeliveryState, NodeNumber, TenantId, UnixMillis};
use crate::storage::columns::{DeliveryRow, delivery_from_row};
use crate::storage::{Cancelled, Changed, StorageError};

/// A delivery, locked until the end of the transaction.
async fn locked(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StorageError> {
    let sql = concat!("SELECT ", delivery_columns!(), " FROM lock_delivery($1, $2)");
    let row: Option<DeliveryRow> =
        sqlx::query_as(sql).bind(tenant.0).bind(id.0).fetch_optional(connection).await?;
    row.map(delivery_from_row).transpose()
}

/// Makes a delivery due at `now`, from the start of its schedule.
pub async fn retry(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: DeliveryId,
    now: UnixMillis,
) -> Result<Option<Changed>, StorageError> {
    let Some(delivery) = locked(&mut *connection, tenant, id).await? else { return Ok(None) };
    // Its event may be about to be deleted.
    let sql = "SELECT EXISTS (SELECT FROM hooks WHERE id = $1 AND tenant_id = $2), \
        can_be_sent($3) AND EXISTS (SELECT FROM events WHERE key = $3),         EXISTS (SELECT FROM erased_events WHERE event_key = $3)";
    let query = sqlx::query_as(sql).bind(delivery.hook.0).bind(tenant.0).bind(delivery.event.0);
    let (has_hook, has_event, is_erased): (bool, bool, bool) = query.fetch_one(&mut *connection).await?;
    if is_erased {
        return Ok(Some(Changed::Erased(delivery.event)));
    }
    if delivery.state.is_final() && !has_event {
        return Ok(None);
    }
    if delivery.state == DeliveryState::Delivering || !has_hook {
        return Ok(Some(Changed::Refused(delivery.state)));
    }
    let sql = if delivery.state.is_final() {
        "WITH gone AS (DELETE FROM finished_deliveries WHERE tenant_id = $1 AND id = $2 RETURNING *) \
        INSERT INTO unfinished_deliveries SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 0, attempts, 0, $3 \
        FROM gone"
    } else {
        // One that waits for those before it goes on waiting.
        "UPDATE unfinished_deliveries SET state = 0, failures = 0, \
        due_at = CASE WHEN ordering_waits THEN due_at ELSE $3 END WHERE tenant_id = $1 AND id = $2"
    };
    sqlx::query(sql).bind(tenant.0).bind(id.0).bind(now.0).execute(&mut *connection).await?;
    remove_rendered(connection, id).await?;
    Ok(Some(Changed::retried(delivery, now)))
}

/// Cancels a delivery that is not final.
///
/// In an order, one that another node attempts is not cancelled: the next one would be sent beside it.
pub async fn cancel(
    connection: &mut PgConnection,
    node: NodeNumber,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Cancelled>, StorageError> {
    let group = lock_group(&mut *connection, tenant, id).await?;
    let Some(delivery) = locked(&mut *connection, tenant, id).await? else { return Ok(None) };
    let is_attempted = group.is_some() && delivery.lease.is_some_and(|lease| lease.owner != node);
    if delivery.state.is_final() || is_attempted {
        return Ok(Some(Cancelled::Refused(delivery.state)));
    }
    let sql = "WITH gone AS (DELETE FROM unfinished_deliveries WHERE tenant_id = $1 AND id = $2 RETURNING *) \
        INSERT INTO finished_deliveries SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 6, attempts, failures \
        FROM gone";
    sqlx::query(sql).bind(tenant.0).bind(id.0).execute(&mut *connection).await?;
    remove_rendered(&mut *connection, id).await?;
    if let Some((hook, key)) = group {
        let sql = "SELECT advance_groups(ARRAY[$1::bigint], ARRAY[$2::text], NULL)";
        sqlx::query(sql).bind(hook).bind(key).execute(connection).await?;
    }
    Ok(Some(Cancelled::done(delivery)))
}

/// The group of a delivery that is in order: whatever leaves it waits for this transaction. The lock comes before that on the
/// row.
async fn lock_group(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<(i64, String)>, StorageError> {
    let sql = "SELECT hook_id, ordering_key FROM unfinished_deliveries \
        WHERE tenant_id = $1 AND id = $2 AND ordering_seq IS NOT NULL";
    let query = sqlx::query_as(sql).bind(tenant.0).bind(id.0);
    let group: Option<(i64, String)> = query.fetch_optional(&mut *connection).await?;
    if let Some((hook, _)) = &group {
        sqlx::query("SELECT lock_groups_to_remove(ARRAY[$1::bigint])").bind(hook).execute(connection).await?;
    }
    Ok(group)
}

async fn remove_rendered(connection: &mut PgConnection, id: DeliveryId) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM rendered_requests WHERE delivery_id = $1")
        .bind(id.0)
        .execute(connection)
        .await?;
    Ok(())
}
