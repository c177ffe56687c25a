use futures_util::FutureExt as _;

use super::*;
use crate::clock::SystemClock;
use crate::storage::sqlite::{self, SqliteOptions};

const ONE: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);

#[tokio::test]
async fn changes_of_a_tenant_stand_in_a_line_of_their_own_which_is_not_endless() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let ids = Arc::new(IdGenerator::new(0, 0));
    let directory = Directory::load(storage.stores(), ids, SystemClock::shared()).await.unwrap();
    let held = directory.change_of(TenantId(3)).await.unwrap();
    let mut many: Vec<_> = (0..MAX_CHANGES).map(|_| directory.change_of(ONE).boxed()).collect();
    assert!(many.iter_mut().all(|change| change.now_or_never().is_none()));
    let mut other = directory.change_of(OTHER).boxed();
    assert!((&mut other).now_or_never().is_none());
    let refused = directory.change_of(ONE).now_or_never().expect("it is refused at once");
    assert!(matches!(refused, Err(DirectoryError::TooManyChanges)));
    drop(held);
    let first = many.remove(0).now_or_never().expect("it came first").unwrap();
    assert!((&mut other).now_or_never().is_none());
    drop(first);
    assert!(many.iter_mut().all(|change| change.now_or_never().is_none()), "one came before another tenant");
    assert!(other.now_or_never().is_some());
}
