//! What the standard plugins for Webitel hooks share.
//!
//! The hooks' original is a JavaScript program, and what its templates and comparisons do is what JavaScript does with
//! values. [`js`] has as much of that as is needed; the one difference is that numbers keep the text they
//! came with. [`Scope`] is where templates find their values, [`Query`] writes values into a URL, and [`settings`]
//! reads settings which are members of a stored hook, and which nobody checked when they were stored.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod data;
pub mod headers;
pub mod js;
mod query;
mod scope;
pub mod settings;
pub mod template;

pub use answer::Answer;
pub use data::Data;
pub use query::Query;
pub use scope::Scope;
