//! Figures for monitoring.

use super::World;
use crate::storage::StorageFigures;

/// Of deliveries only those count that have rows and are not leased.
pub async fn unfinished_deliveries_and_sizes_are_reported(world: &World) {
    let before = world.storage.figures.figures().await.unwrap();
    assert!(before.database_bytes > 0 && world.storage.figures.schema() > 0, "{before:?}");
    let counts = |figures: StorageFigures| {
        (figures.pending, figures.waiting, figures.running_jobs, figures.paused_jobs)
    };
    assert_eq!(counts(before), (0, 0, 0, 0));
    let hook = world.stored_hook().await;
    let due: Vec<_> = (0..3).map(|_| world.event_for(hook, None)).collect();
    world.storage.events.accept(due).await.unwrap();
    let after = world.storage.figures.figures().await.unwrap();
    assert_eq!(counts(after), (3, 0, 0, 0));
}
