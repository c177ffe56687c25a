//! Common code of the standard plugins for Webitel hooks.
//!
//! The original system is written in JavaScript, so its templates and comparisons have JavaScript's semantics. [`js`]
//! implements the necessary parts, with one difference: numbers keep their text. [`Scope`] resolves the names in
//! templates, [`Query`] writes values into a URL, and [`settings`] parses settings that come unchecked from a stored
//! hook.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod data;
pub mod headers;
pub mod js;
mod preflight;
mod query;
mod scope;
pub mod settings;
pub mod template;

pub use data::Data;
pub use preflight::PreflightResponse;
pub use query::Query;
pub use scope::Scope;
