//! The time between two transactions of a node that does much.

use std::time::Duration;

use crate::storage::Membership;

/// For each further node.
const OF_EACH: Duration = Duration::from_millis(2);
/// At most this: clients wait for it.
const MAX: Duration = Duration::from_millis(10);

/// The shortest time between the beginnings of two transactions of one kind, so that all nodes together make about as many
/// as one alone would.
pub fn between_transactions(membership: &Membership) -> Duration {
    among(membership.node_count())
}

fn among(nodes: usize) -> Duration {
    let others = u32::try_from(nodes.saturating_sub(1)).unwrap_or(u32::MAX);
    OF_EACH.saturating_mul(others).min(MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_alone_never_waits_and_one_of_many_not_for_long() {
        let expected = [(1, 0), (2, 2), (3, 4), (6, 10), (100, 10)];
        for (nodes, millis) in expected {
            assert_eq!(among(nodes), Duration::from_millis(millis), "{nodes} nodes");
        }
    }
}
