//! What a node knows of the other nodes on its database, as the database's heartbeat sets it and the dispatcher follows it.
//!
//! A node that has not reached the database for [`FENCE_AFTER`] is *fenced*: it accepts and starts nothing, because others
//! take its work over soon. It tells that by its own clock at each start, so it holds also for a process that was stopped
//! for a while. If its work was taken over, it joins again, and the *term* of its membership is another one: what it had in
//! memory in an earlier term belongs to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::clock;
use crate::domain::{HookId, Members, NodeNumber, Owned, View};

/// A node that could not show for this long that it is alive accepts and starts nothing. Others take its work over after
/// ten seconds.
pub const FENCE_AFTER: Duration = Duration::from_secs(7);

/// See the module's head.
#[derive(Debug)]
pub struct Membership {
    members: watch::Sender<Members>,
    /// Whether there can be other nodes at all.
    is_shared: bool,
    /// From when on the node is fenced, by the boot clock.
    fenced_from: AtomicI64,
    term: AtomicU32,
    /// The view that the dispatcher has applied.
    applied: AtomicI64,
    is_draining: AtomicBool,
    /// The heartbeat should not wait for its next time.
    beat: Notify,
}

impl Membership {
    /// That of the only node.
    #[must_use]
    pub fn alone(node: NodeNumber) -> Arc<Self> {
        Arc::new(Self::new(Members::alone(node), false, i64::MAX))
    }

    /// That of a node which has registered and not yet seen the others. It is fenced until its first heartbeat.
    #[must_use]
    pub fn joining(node: NodeNumber) -> Arc<Self> {
        Arc::new(Self::new(Members::joining(node), true, 0))
    }

    fn new(members: Members, is_shared: bool, fenced_from: i64) -> Self {
        Self {
            members: watch::Sender::new(members),
            is_shared,
            fenced_from: AtomicI64::new(fenced_from),
            term: AtomicU32::new(1),
            applied: AtomicI64::new(0),
            is_draining: AtomicBool::new(false),
            beat: Notify::new(),
        }
    }

    /// The nodes, and what this one may do beside them.
    #[must_use]
    pub fn members(&self) -> Members {
        self.members.borrow().clone()
    }

    /// Follows the nodes. It also changes when the node is no longer fenced, or has joined again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Members> {
        self.members.subscribe()
    }

    /// Whether other nodes may use the database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Whether this node claims what is due of a hook, or of all hooks of a tenant.
    #[must_use]
    pub fn owns(&self, owned: impl Into<Owned>) -> bool {
        !self.is_shared || self.members.borrow().owns(owned)
    }

    /// How much of a `limit` for `hook` is for this node: see [`Members::share`].
    #[must_use]
    pub fn share(&self, limit: usize, hook: HookId) -> usize {
        if self.is_shared { self.members.borrow().share(limit, hook) } else { limit }
    }

    /// How many nodes there are, at least one.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.members.borrow().view().members().len().max(1)
    }

    /// What `ask` says of the nodes.
    pub fn with_members<T>(&self, ask: impl FnOnce(&Members) -> T) -> T {
        ask(&self.members.borrow())
    }

    /// Whether the node may neither accept nor start anything.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.is_shared && clock::since_boot_ms() >= self.fenced_from.load(Ordering::Acquire)
    }

    /// The present term.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.term.load(Ordering::Acquire))
    }

    /// Whether what came into memory in `term` may be sent now.
    #[must_use]
    pub fn holds(&self, term: Term) -> bool {
        !self.is_shared || (self.term() == term && !self.is_fenced())
    }

    /// The dispatcher keeps to this view.
    pub fn set_applied(&self, view: &View) {
        let id = view.id();
        if self.applied.swap(id, Ordering::AcqRel) != id {
            self.beat.notify_one();
        }
    }

    /// From now on, the node owns no hook and starts nothing.
    pub fn drain(&self) {
        if self.is_shared && !self.is_draining.swap(true, Ordering::AcqRel) {
            self.beat.notify_one();
        }
    }

    /// The heartbeat should not wait for its next time: another node was taken over.
    pub(super) fn beat_soon(&self) {
        self.beat.notify_one();
    }

    /// Whether [`Self::drain`] was called.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// The [id](View::id) of the view that is applied, 0 at first.
    pub(crate) fn applied(&self) -> i64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Returns when the heartbeat should not wait any longer.
    pub(crate) async fn beat_wanted(&self) {
        self.beat.notified().await;
    }

    /// The node is in doubt whether its work was taken over: it is fenced until its next heartbeat.
    pub(super) fn doubt(&self) {
        self.fenced_from.store(0, Ordering::Release);
        self.beat.notify_one();
    }

    /// A heartbeat that was sent at `sent`, by the boot clock, has arrived. `agreed`: all nodes have applied `view`.
    pub(super) fn beaten(&self, sent: i64, view: View, agreed: bool) {
        let was_fenced = self.is_fenced();
        let lasts = i64::try_from(FENCE_AFTER.as_millis()).unwrap_or(i64::MAX);
        self.fenced_from.store(sent + lasts, Ordering::Release);
        self.members.send_if_modified(|members| {
            let new = members.with_view(view, agreed);
            let changed = new != *members;
            *members = new;
            changed || was_fenced
        });
    }

    /// The node's work was taken over, and it has registered again. It is fenced until its next heartbeat.
    pub(super) fn rejoin(&self) {
        self.fenced_from.store(0, Ordering::Release);
        self.term.fetch_add(1, Ordering::AcqRel);
        self.applied.store(0, Ordering::Release);
        self.members.send_modify(|members| *members = Members::joining(members.own()));
        self.beat.notify_one();
    }
}

#[cfg(test)]
impl Membership {
    /// A heartbeat saw these nodes.
    pub(crate) fn see(&self, view: View, agreed: bool) {
        self.beaten(clock::since_boot_ms(), view, agreed);
    }

    /// The node does not reach the database.
    pub(crate) fn fence(&self) {
        self.doubt();
    }

    /// The node's work was taken over.
    pub(crate) fn lose(&self) {
        self.rejoin();
    }
}

/// The time from a node's joining until its work is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(u32);

impl Term {
    /// The first of each process.
    pub const FIRST: Self = Self(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Member;

    fn view(epoch: i64) -> View {
        View::new(vec![Member { node: NodeNumber(1), epoch, draining: false }])
    }

    #[test]
    fn a_node_is_fenced_until_it_beats_and_when_its_last_beat_is_too_long_ago() {
        let membership = Membership::joining(NodeNumber(1));
        let now = clock::since_boot_ms();
        assert!(membership.is_fenced() && !membership.holds(Term::FIRST), "it has not beaten");
        membership.beaten(now, view(1), true);
        assert!(!membership.is_fenced() && membership.holds(Term::FIRST));
        membership.beaten(now - 7_000, view(1), true);
        assert!(membership.is_fenced() && !membership.holds(Term::FIRST), "as after SIGSTOP");
        let mut changes = membership.changes();
        membership.beaten(now, view(1), true);
        assert!(changes.has_changed().unwrap(), "what waits may start");
        changes.mark_unchanged();
        membership.beaten(now, view(1), true);
        assert!(!changes.has_changed().unwrap());
        membership.doubt();
        assert!(membership.is_fenced());
    }

    #[test]
    fn what_came_in_an_earlier_term_is_not_sent() {
        let membership = Membership::joining(NodeNumber(1));
        let hook = HookId(7);
        membership.beaten(clock::since_boot_ms(), view(1), true);
        assert_eq!((membership.share(5, hook), membership.owns(hook)), (5, true));
        membership.rejoin();
        membership.beaten(clock::since_boot_ms(), view(3), false);
        assert!(!membership.holds(Term::FIRST) && membership.holds(membership.term()));
        assert_eq!((membership.share(5, hook), membership.owns(hook)), (0, false), "it is not agreed");
        membership.beaten(clock::since_boot_ms(), view(3), true);
        assert_eq!((membership.share(5, hook), membership.owns(hook)), (5, true));
    }

    #[test]
    fn the_only_node_may_do_everything() {
        let membership = Membership::alone(NodeNumber(0));
        assert!(!membership.is_fenced() && membership.holds(Term::FIRST) && membership.owns(HookId(1)));
        assert_eq!(membership.share(64, HookId(1)), 64);
    }
}
