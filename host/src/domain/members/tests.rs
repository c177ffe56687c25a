use std::collections::HashSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

fn view_of(nodes: impl IntoIterator<Item = u16>) -> View {
    let member = |node| Member { node: NodeNumber(node), epoch: 1, draining: false };
    View::new(nodes.into_iter().map(member).collect())
}

fn draining(view: &View, node: u16) -> View {
    let drains = |member: &Member| Member { draining: member.draining || member.node.0 == node, ..*member };
    View::new(view.members().iter().map(drains).collect())
}

/// Ids as they are generated: their lowest bits are mostly zero.
fn hooks(count: i64) -> impl Iterator<Item = HookId> {
    (0..count).map(|number| HookId((209_000_000_000 + number * 17) << 22))
}

#[test]
fn owners_are_the_same_in_every_version() {
    let view = view_of([1, 2, 3]);
    let owners: Vec<u16> = hooks(12).map(|hook| view.owner(hook).unwrap().0).collect();
    assert_eq!(owners, [2, 3, 1, 2, 2, 3, 3, 1, 3, 3, 3, 1]);
    assert_eq!(view.id(), -4_484_991_284_481_833_153);
}

#[test]
fn hooks_are_spread_evenly() {
    for nodes in [2, 3, 7, 16] {
        let (view, mut owned) = (view_of(1..=nodes), vec![0_u32; usize::from(nodes) + 1]);
        hooks(20_000).for_each(|hook| owned[usize::from(view.owner(hook).unwrap().0)] += 1);
        let fair = 20_000 / u32::from(nodes);
        assert!(owned[1..].iter().all(|count| count.abs_diff(fair) < fair / 5), "{owned:?}");
    }
}

#[test]
fn a_view_is_told_apart_by_numbers_epochs_and_what_is_draining() {
    let view = view_of([1, 2]);
    let returned = Member { node: NodeNumber(2), epoch: 2, draining: false };
    let views = [
        view_of([1]),
        view_of([2]),
        view_of([1, 3]),
        draining(&view, 1),
        draining(&view, 2),
        View::new(vec![view.members()[0], returned]),
        view,
    ];
    assert_eq!(views.iter().map(View::id).collect::<HashSet<_>>().len(), views.len());
}

/// Node 1 has said that it keeps to a view by which node 2 acts, and does not know that it is agreed.
#[test]
fn a_node_keeps_to_what_it_has_said_until_a_later_view_is_agreed() {
    let both = view_of([1, 2]);
    let hook = hooks(100).find(|hook| both.owner(*hook) == Some(NodeNumber(2))).unwrap();
    let first = Members::alone(NodeNumber(1)).with_view(view_of([1]), true).with_view(both.clone(), false);
    assert_eq!(first.share(1, hook), 0);
    let alone_again = draining(&both, 2);
    let first = first.with_view(alone_again.clone(), false);
    assert_eq!((first.share(1, hook), first.owns(hook)), (0, false), "node 2 may have one in flight");
    let first = first.with_view(alone_again, true);
    assert_eq!((first.share(1, hook), first.owns(hook)), (1, true));
}

#[test]
fn a_node_that_joins_may_do_nothing_until_all_others_know_it() {
    let hook = hooks(1).next().unwrap();
    let view = view_of([1, 2]);
    let owner = view.owner(hook).unwrap();
    let joining = Members::joining(owner).with_view(view.clone(), false);
    assert_eq!((joining.share(10, hook), joining.owns(hook)), (0, false));
    let joined = joining.with_view(view, true);
    assert_eq!((joined.share(10, hook), joined.owns(hook)), (5, true));
}

#[test]
fn a_node_that_starts_again_and_again_takes_no_work_from_the_others() {
    let both = view_of([1, 2]);
    let hook = hooks(100).find(|hook| both.owner(*hook) == Some(NodeNumber(1))).unwrap();
    let mut first = Members::alone(NodeNumber(1)).with_view(both.clone(), true);
    for epoch in 1..100 {
        for draining in [true, false] {
            let crashing = Member { node: NodeNumber(3), epoch, draining };
            let view = View::new(both.members().iter().copied().chain([crashing]).collect());
            first = first.with_view(view.clone(), false);
            assert_eq!(first.view(), &view);
            assert!(!first.is_agreed());
            assert!(first.share(10, hook) > 0, "{epoch}");
        }
        first = first.with_view(both.clone(), false);
    }
    let kept = first.views.len();
    assert!(kept <= 4, "{kept}");
    assert!(first.with_view(both, true).owns(hook));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn shares_add_up_to_the_limit(nodes in btree_set(0_u16..1024, 1..9), limit in 0_usize..200, hook: i64) {
        let (view, hook) = (view_of(nodes.iter().copied()), HookId(hook));
        let sum: usize = nodes.iter().map(|node| view.share(NodeNumber(*node), limit, hook)).sum();
        prop_assert_eq!(sum, limit);
        let owner = view.owner(hook).unwrap();
        prop_assert!(limit == 0 || view.share(owner, limit, hook) > 0);
        prop_assert_eq!(view.share(NodeNumber(1024), limit, hook), 0);
    }

    #[test]
    fn only_hooks_of_a_node_that_leaves_change_their_owner(
        nodes in btree_set(0_u16..1024, 2..9), ids in vec(any::<i64>(), 50),
    ) {
        let gone = *nodes.first().unwrap();
        let before = view_of(nodes.iter().copied());
        let after = view_of(nodes.iter().copied().filter(|node| *node != gone));
        for hook in ids.into_iter().map(HookId) {
            let owner = before.owner(hook).unwrap();
            prop_assert!(owner.0 == gone || after.owner(hook) == Some(owner));
            prop_assert_eq!(draining(&before, gone).owner(hook), after.owner(hook));
        }
    }

    /// Each step, one node beats: it sees the nodes as they are, and has applied what it saw. Others know less, or more.
    #[test]
    fn nodes_that_know_different_views_never_exceed_a_limit(
        steps in vec((0_u16..5, 0_u8..10), 1..60), limit in 0_usize..20, hook: i64,
    ) {
        let (mut cluster, hook) = (Cluster::default(), HookId(hook));
        for (node, what) in steps {
            cluster.step(node, what);
            let sum: usize = cluster.nodes.iter().flatten().map(|node| node.members.share(limit, hook)).sum();
            prop_assert!(sum <= limit, "{sum} of {limit}: {:?}", cluster.nodes);
            let owners = cluster.nodes.iter().flatten().filter(|node| node.members.owns(hook)).count();
            prop_assert!(owners <= 1);
        }
    }
}

#[derive(Debug)]
struct Node {
    member: Member,
    members: Members,
    applied: i64,
    ends: bool,
}

/// Nodes as they know each other through the database.
#[derive(Debug, Default)]
struct Cluster {
    nodes: [Option<Node>; 5],
    epochs: i64,
}

impl Cluster {
    fn view(&self) -> View {
        View::new(self.nodes.iter().flatten().map(|node| node.member).collect())
    }

    /// Beats mostly; else the node starts, ends, or begins to shut down.
    fn step(&mut self, node: u16, what: u8) {
        let index = usize::from(node);
        match (self.nodes[index].is_some(), what) {
            (false, _) => {
                self.epochs += 1;
                let member = Member { node: NodeNumber(node), epoch: self.epochs, draining: true };
                let members = Members::joining(member.node);
                self.nodes[index] = Some(Node { member, members, applied: 0, ends: false });
            }
            (true, 0) => self.nodes[index] = None,
            (true, 1) => self.nodes[index].as_mut().unwrap().ends = true,
            (true, _) => {
                let node = self.nodes[index].as_mut().unwrap();
                node.member.draining = node.ends || node.applied == 0;
                let starts = node.applied == 0;
                let view = self.view();
                let has_applied = |other: &Node| {
                    other.applied == view.id() || (other.member.draining && other.applied == 0)
                };
                let agreed = !starts && self.nodes.iter().flatten().all(has_applied);
                let node = self.nodes[index].as_mut().unwrap();
                node.members = node.members.with_view(view, agreed);
                node.applied = node.members.view().id();
            }
        }
    }
}
