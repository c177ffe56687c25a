//! What a check says of damaged files.

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::storage::Verdict;
use crate::storage::sqlite::integrity::check;

const PAGE: u64 = 4_096;

/// What is logged of a request that meets a damaged row.
#[tokio::test]
async fn the_error_of_a_damaged_row_names_the_table_and_the_id() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let id = world.delivery_in(HookId(1), DeliveryState::Succeeded).await;
    let mut writer = storage.stores.writer().await;
    let damage = sqlx::query("UPDATE deliveries SET made_by = 9");
    damage.execute(writer.connection().await.unwrap()).await.unwrap();
    drop(writer);
    let error = world.storage.deliveries.delivery(TENANT, id).await.unwrap_err();
    let expected =
        format!("stored delivery is damaged: there is no trigger 9; row {id} ({}) of deliveries", id.0);
    assert_eq!(error.to_string(), expected);
}

/// Who deletes events goes on with the others then.
#[tokio::test]
async fn events_are_deleted_without_the_damaged_one_among_them() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let id = world.delivery_in(HookId(1), DeliveryState::Succeeded).await;
        keys.push(world.delivery(id).await.event);
    }
    let mut writer = storage.stores.writer().await;
    let damage = sqlx::query("UPDATE events SET deliveries = '[1' WHERE key = ?").bind(keys[1].0);
    damage.execute(writer.connection().await.unwrap()).await.unwrap();
    drop(writer);
    let retention = &world.storage.retention;
    let error = retention.delete_events(&keys).await.unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains(&keys[1].to_string()), "{error}");
    assert_eq!(retention.delete_events(&keys[..1]).await.unwrap().deleted.events, 1);
}

/// The checks that found something wrong.
async fn failed(dir: &Path) -> Result<Vec<&'static str>, StorageError> {
    let findings = check(dir, None).await?;
    let failed = findings.into_iter().filter(|finding| finding.verdict == Verdict::Failed);
    Ok(failed.map(|finding| finding.check).collect())
}

/// Whatever page it is: the check itself does not fail.
#[tokio::test]
async fn damage_of_any_page_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let hook = world.stored_hook().await;
    for state in [DeliveryState::Waiting, DeliveryState::Succeeded] {
        world.delivery_in(hook, state).await;
    }
    storage.close().await.unwrap();
    let file = std::fs::File::options().read(true).write(true).open(dir.path().join(DATABASE_FILE)).unwrap();
    let pages = file.metadata().unwrap().len() / PAGE;
    // The hook's tenant is not stored.
    let intact = failed(dir.path()).await.unwrap();
    let mut damaged = 0;
    for page in 1..pages {
        let mut head = [0; 8];
        file.read_exact_at(&mut head, page * PAGE).unwrap();
        file.write_all_at(&[0xff; 8], page * PAGE).unwrap();
        let found = failed(dir.path()).await.unwrap_or_else(|error| panic!("page {page}: {error}"));
        damaged += u64::from(found != intact);
        file.write_all_at(&head, page * PAGE).unwrap();
    }
    assert!(damaged > pages / 2, "{damaged} of {pages}");
    assert_eq!(failed(dir.path()).await.unwrap(), intact);
}
