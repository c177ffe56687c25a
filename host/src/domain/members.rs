//! Which nodes share a database, which of them owns a hook, and how a hook's limits are divided between them.
//!
//! A hook's owner is chosen by rendezvous hashing: of all nodes, the one with the greatest weight for the hook. If a node
//! joins or leaves, only the hooks that it gains or had change their owner. The weights are fixed: nodes of different
//! versions must choose the same owner.

use super::{HookId, NodeNumber, TenantId};

/// How many views a node keeps since the last agreed one. With more it may do nothing until one is agreed.
const MAX_VIEWS: usize = 16;

/// What has an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    /// One hook.
    Hook(HookId),
    /// All hooks of one tenant.
    HooksOf(TenantId),
}

impl From<HookId> for Owned {
    fn from(hook: HookId) -> Self {
        Self::Hook(hook)
    }
}

/// A node that shares the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub node: NodeNumber,
    /// How often the number was taken: a node that returns after its work was taken over has another epoch.
    pub epoch: i64,
    /// It is shutting down, or has not started yet: it owns no hook, and starts nothing.
    pub draining: bool,
}

/// All nodes that share the database at one time. Nodes with equal views divide the work in the same way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(Box<[Member]>);

impl View {
    /// A view of these nodes.
    #[must_use]
    pub fn new(mut members: Vec<Member>) -> Self {
        members.sort_unstable_by_key(|member| member.node);
        members.dedup_by_key(|member| member.node);
        Self(members.into())
    }

    /// The nodes, by number.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.0
    }

    /// A number that tells views apart. It is never 0.
    #[must_use]
    pub fn id(&self) -> i64 {
        let add = |sum: u64, member: &Member| {
            let node = u64::from(member.node.0) << 1 | u64::from(member.draining);
            mix(mix(sum ^ node) ^ member.epoch.cast_unsigned())
        };
        self.0.iter().fold(0, add).cast_signed() | 1
    }

    /// Whether it divides the work as `other` does.
    fn divides_like(&self, other: &Self) -> bool {
        let candidates =
            |view: &Self| view.0.iter().map(|member| (member.node, member.draining)).collect::<Vec<_>>();
        candidates(self) == candidates(other)
    }

    /// The node that claims what is due of a hook, or of all hooks of a tenant. None if all nodes are shutting down.
    #[must_use]
    pub fn owner(&self, owned: impl Into<Owned>) -> Option<NodeNumber> {
        let owned = owned.into();
        let candidates = self.0.iter().filter(|member| !member.draining).map(|member| member.node);
        candidates.max_by_key(|node| (weight(owned, *node), *node))
    }

    /// How much of a `limit` for `hook` is for `node`. The owner has what cannot be divided. A node that is shutting down
    /// has its part until it has ended, because of what it has in flight, but starts nothing.
    #[must_use]
    pub fn share(&self, node: NodeNumber, limit: usize, hook: HookId) -> usize {
        if !self.0.iter().any(|member| member.node == node && !member.draining) {
            return 0;
        }
        let each = limit / self.0.len();
        if self.0.len() == 1 || self.owner(hook) == Some(node) {
            limit - each * (self.0.len() - 1)
        } else {
            each
        }
    }
}

/// What one node knows of the others, and what it may do.
///
/// Nodes do not learn of a change at the same moment. A new view is *agreed* when every node in it has applied it. Until
/// then, a node may do what all views allow that it has seen since the last agreed one: others may act by any of them. So
/// all nodes together never exceed a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    own: NodeNumber,
    /// The last agreed view, and those that came after it.
    views: Vec<View>,
}

impl Members {
    /// The only node.
    #[must_use]
    pub fn alone(own: NodeNumber) -> Self {
        Self { own, views: vec![View::new(vec![Member { node: own, epoch: 0, draining: false }])] }
    }

    /// The node `own`, which has just joined: it may do nothing until a view is agreed.
    #[must_use]
    pub fn joining(own: NodeNumber) -> Self {
        // Nobody is in this view.
        Self { own, views: vec![View::default()] }
    }

    /// The node that knows this.
    #[must_use]
    pub fn own(&self) -> NodeNumber {
        self.own
    }

    /// The view as it is now.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.views[self.views.len() - 1]
    }

    /// Whether every node has applied the view.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        self.views.len() == 1
    }

    /// The same with a new view. `agreed`: every node in it has applied it.
    #[must_use]
    pub fn with_view(&self, view: View, agreed: bool) -> Self {
        let mut views = self.views.clone();
        if agreed {
            views = vec![view];
        } else if *self.view() != view {
            // A node that starts again and again makes no more views than one that starts once.
            if let Some(kept) = views.iter().skip(1).position(|kept| kept.divides_like(&view)) {
                views.remove(kept + 1);
            }
            if views.len() == MAX_VIEWS {
                views = vec![View::default()];
            }
            views.push(view);
        }
        Self { own: self.own, views }
    }

    /// The node that claims what is due of a hook, or of all hooks of a tenant. None while it changes.
    #[must_use]
    pub fn owner(&self, owned: impl Into<Owned>) -> Option<NodeNumber> {
        let owned = owned.into();
        let owner = self.view().owner(owned);
        owner.filter(|_| self.views.iter().all(|view| view.owner(owned) == owner))
    }

    /// Whether this node claims that.
    #[must_use]
    pub fn owns(&self, owned: impl Into<Owned>) -> bool {
        self.owner(owned) == Some(self.own)
    }

    /// How much of a `limit` for `hook` is for this node. If it is 0, the node starts nothing for the hook.
    #[must_use]
    pub fn share(&self, limit: usize, hook: HookId) -> usize {
        let shares = self.views.iter().map(|view| view.share(self.own, limit, hook));
        shares.min().unwrap_or_default()
    }
}

/// An agreed view of these nodes, as the first of them has it.
#[cfg(test)]
pub(crate) fn agreed(nodes: &[u16]) -> Members {
    let member = |node: &u16| Member { node: NodeNumber(*node), epoch: 1, draining: false };
    let view = View::new(nodes.iter().map(member).collect());
    Members { own: NodeNumber(nodes[0]), views: vec![view] }
}

/// How much `node` is preferred.
fn weight(owned: Owned, node: NodeNumber) -> u64 {
    let (Owned::Hook(HookId(id)) | Owned::HooksOf(TenantId(id))) = owned;
    mix(mix(id.cast_unsigned()) ^ (u64::from(node.0) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
