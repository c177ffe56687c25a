//! What a check says of damaged files.

use std::os::unix::fs::FileExt as _;

use super::*;
use crate::storage::Verdict;
use crate::storage::sqlite::integrity::check;

const PAGE: u64 = 4_096;

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
    let mut damaged = 0;
    for page in 1..pages {
        let mut head = [0; 8];
        file.read_exact_at(&mut head, page * PAGE).unwrap();
        file.write_all_at(&[0xff; 8], page * PAGE).unwrap();
        let findings = check(dir.path(), None).await.unwrap_or_else(|error| panic!("page {page}: {error}"));
        damaged += u64::from(findings.iter().any(|finding| finding.verdict == Verdict::Failed));
        file.write_all_at(&head, page * PAGE).unwrap();
    }
    assert!(damaged > pages / 2, "{damaged} of {pages}");
    let findings = check(dir.path(), None).await.unwrap();
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Failed), "{findings:?}");
}
