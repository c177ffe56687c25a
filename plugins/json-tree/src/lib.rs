//! JSON which is read only along the paths that are asked for, and otherwise passed on as text.
//!
//! The standard plugins look at a few members of an event's data and pass the rest on. So a [`Node`] begins
//! as a slice of the text, is divided into members when a [`Pointer`] goes through it, and what was never
//! gone through is written as it came: numbers keep their text (`9007199254740993`, `1.0`, `1e400`), members
//! their order, and nothing is paid for them but the scan.
//!
//! Where an object has a member twice, the last one counts, and the others are gone once it has been divided.

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
