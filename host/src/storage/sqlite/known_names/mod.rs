//! The names of events: senders' ids and idempotency keys, by which repetitions are known.
//!
//! An index of all names would have its new entries at random places: each would write a page of its own, and the larger the
//! index, the slower the engine. Here a new name costs the same however many there are:
//!
//! - The newest names are in memory, in two generations. On disk they are appended to `recent_names`, for the next start.
//! - When the younger generation is full, the older one has moved to `known_names`: each transaction that adds names moves
//!   twice as many, in the order of hashes. So a page gets many of them at once.
//! - `known_names` is divided into buckets. For each, memory holds a filter, which says of nearly all new names that they are
//!   not in it. A bucket that has only old names is deleted.
//!
//! The writer alone adds names. A plan that is not committed has changed nothing.

mod disk;
mod filter;
mod hash;
mod memory;
#[cfg(test)]
mod tests;

pub use disk::{erase, find, forget_some, known, load, load_filters, write};
pub use hash::NameHash;
pub use memory::{GENERATION, KnownNames, Lookup, NamesChange, SharedNames};
