//! Several nodes on one database.

use std::time::Duration;

use hookwright_tests::soak::{self, Scenario};

use crate::BINARY;

/// A short soak. `cargo bench -p hookwright-tests --bench soak` runs long ones.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_nodes_and_the_database_are_killed() {
    let scenario = Scenario {
        nodes: 3,
        rate: 100,
        keys: 20,
        ordered_rate: 40,
        kills: 4,
        deaths: 1,
        postgres_kills: 2,
        pauses: 0,
        pause: Duration::ZERO,
        seed: 1,
        progress: |_| {},
    };
    let report = soak::run(BINARY, scenario).await.unwrap();
    assert_eq!(report.violations(), [""; 0], "{report}");
}
