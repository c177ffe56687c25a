//! Nodes.

/// The number of a node: a process that accepts events and delivers them. Each id that it generates contains the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeNumber(pub u16);

impl NodeNumber {
    /// The greatest number that an id can contain.
    pub const LAST: Self = Self(1023);
}
