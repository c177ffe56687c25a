use super::memory::GENERATIONS_PER_BUCKET;
use crate::domain::EventKey;
use crate::domain::{EventId, NodeNumber, UnixMillis};
use crate::storage::Acceptance;
use crate::storage::conformance::{TENANT, World};
use crate::storage::sqlite::{SqliteDatabase, SqliteOptions, open};
use crate::storage::{Accepted, ConflictOn, Database as _};

const GENERATION: usize = 16;

async fn reopen(dir: &std::path::Path) -> SqliteDatabase {
    let options = SqliteOptions { names_in_generation: Some(GENERATION), ..SqliteOptions::default() };
    open(dir, options).await.unwrap()
}

fn named(world: &World, name: usize, content: u8) -> Acceptance {
    let mut acceptance = world.event();
    let event = std::sync::Arc::make_mut(&mut acceptance.event);
    event.id = EventId::from_sender(&format!("name-{name}")).unwrap();
    acceptance.content = [content; 32];
    acceptance
}

/// What becomes of a name that is sent again, with the same content and with another.
async fn send_again(world: &World, name: usize, key: EventKey) {
    let id = EventId::from_sender(&format!("name-{name}")).unwrap();
    let same = world.storage.events.accept(vec![named(world, name, 1)]).await.unwrap();
    assert_eq!(same, [Accepted::Duplicate { key, id: id.clone(), deliveries: 0 }], "{name}");
    let other = world.storage.events.accept(vec![named(world, name, 2)]).await.unwrap();
    assert_eq!(other, [Accepted::Conflict(ConflictOn::Id)], "{name}");
    assert_eq!(world.storage.events.event(TENANT, &id).await.unwrap().unwrap().key, key, "{name}");
}

/// Several buckets of eight generations, and restarts while names are in memory, while they move, and while filters are not
/// read yet.
#[test]
fn names_are_known_in_whichever_place_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for part in 0..4_u16 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = reopen(dir.path()).await;
            let world = World::of_node(database.stores(), NodeNumber(part));
            for name in keys.len()..keys.len() + 10 * GENERATION + usize::from(part) {
                let new = named(&world, name, 1);
                keys.push(new.event.key);
                world.store(new).await;
                if name % 7 == 0 {
                    send_again(&world, name / 2, keys[name / 2]).await;
                }
            }
            for (name, key) in keys.iter().enumerate() {
                send_again(&world, name, *key).await;
            }
            let sql = "SELECT count(*) FROM recent_names";
            let recent: i64 = sqlx::query_scalar(sql).fetch_one(&database.stores.readers).await.unwrap();
            assert!(recent <= 4 * GENERATION as i64, "{recent} rows");
            // Otherwise the runtime drops everything, as a crash would.
            if part % 2 == 0 {
                database.close().await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn old_names_are_forgotten_a_bucket_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let database = reopen(dir.path()).await;
    let world = World::new(database.stores());
    let mut keys = Vec::new();
    for name in 0..GENERATION * (GENERATIONS_PER_BUCKET + 2) {
        let new = named(&world, name, 1);
        keys.push(new.event.key);
        world.store(new).await;
    }
    let accepted_at = keys[0].created_at();
    let forget = async |before: UnixMillis| {
        world.storage.retention.forget_names(UnixMillis(0), before, 100).await.unwrap()
    };
    assert_eq!(forget(accepted_at).await, 0, "they are not older");
    let last = keys[keys.len() - 1].created_at();
    let in_bucket = (GENERATION * GENERATIONS_PER_BUCKET) as u64;
    let mut forgotten = 0;
    loop {
        match forget(UnixMillis(last.0 + 1)).await {
            0 => break,
            some => forgotten += some,
        }
    }
    assert_eq!(forgotten, in_bucket);
    assert_eq!(world.storage.events.accept(vec![named(&world, 0, 2)]).await.unwrap(), [Accepted::Stored]);
    send_again(&world, keys.len() - 1, keys[keys.len() - 1]).await;
    // Names that need not be known are not looked for, though events are found by them.
    let young = UnixMillis(keys[keys.len() - 1].created_at().0 + 1);
    world.storage.retention.forget_names(young, UnixMillis(0), 100).await.unwrap();
    assert_eq!(database.stores.names.lock().known_from, EventKey::first_at(young));
}
