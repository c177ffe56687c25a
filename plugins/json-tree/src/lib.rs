//! Lazy JSON: parsed only along the requested paths, and otherwise kept as text.
//!
//! The standard plugins read a few members of an event's data and pass the rest on. So a [`Node`] starts as a slice
//! of the text, and is divided into its members when a [`Pointer`] goes through it. Everything else is written
//! unchanged: numbers keep their text (`9007199254740993`, `1.0`, `1e400`), members keep their order, and the only
//! cost is one scan.
//!
//! If an object has a duplicate member, the last one counts. Dividing the object removes the others.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod compare;
mod node;
mod number;
mod pointer;
mod scan;

pub use compare::{equal, order, unescape};
pub use node::{Kind, Node, NotJson, array_index, checked, depth, kind, write_string};
pub use number::compare_numbers;
pub use pointer::{BadPointer, Pointer};
