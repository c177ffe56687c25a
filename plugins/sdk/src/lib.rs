//! Write Hookwright plugins in Rust: a plugin is a function and an attribute.
//!
//! A plugin decides whether an event is delivered ([`filter`]), reshapes its data ([`mapper`]) or writes
//! the HTTP request ([`transformer`]). This is a whole one, `src/lib.rs` of a crate whose
//! `crate-type` is `["cdylib", "rlib"]`:
//!
//! ```
//! use hookwright_plugin::{Event, Failure, log};
//! use serde::Deserialize;
//!
//! /// What this plugin reads of an event's data.
//! #[derive(Deserialize)]
//! struct Order {
//!     total: f64,
//! }
//!
//! /// The settings of its step in a hook's pipeline.
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     at_least: f64,
//! }
//!
//! #[hookwright_plugin::filter]
//! fn large_orders(event: Event<Order>, settings: Settings) -> Result<bool, Failure> {
//!     log!(debug, "order {} over {}", event.id, event.data.total);
//!     Ok(event.data.total >= settings.at_least)
//! }
//!
//! // It is an ordinary function, and is tested as one.
//! let order = Event::new("order.paid", Order { total: 20.0 });
//! assert_eq!(large_orders(order, Settings { at_least: 10.0 }), Ok(true));
//! ```
//!
//! `cargo build --release --target wasm32-unknown-unknown` makes the module that is uploaded. One crate may
//! have several roles, with one function for each.
//!
//! # Data and settings
//! - `D` of `Event<D>` is any [`Deserialize`](serde::Deserialize) type, `serde_json::Value` included, or [`JsonText`] for
//!   the text as it came. Data that isn't of that type fails the call with the code `bad-data`.
//! - Settings are any `Deserialize` type. What doesn't fit fails with `bad-settings` and the path of the
//!   member. Put `#[serde(deny_unknown_fields)]` on them, and misspelled members are told as well.
//! - Settings are read first, before the data. What `Deserialize` can't tell, a function can: with
//!   `#[hookwright_plugin::filter(check = check)]` and `fn check(settings: &Settings) -> Result<(), Failure>` it is called between the two, and what it
//!   refuses fails with `bad-settings`.
//! - A hook is not made with settings that fail so: the engine asks its plugins first, each with the newest event of a type
//!   that the hook wants, or if there is none with the data `{}`. A plugin's own function isn't called with data that isn't of its
//!   type, so what is wrong with settings belongs in their check.
//! - `serde_json::Value` keeps neither the order of an object's members nor the text of numbers, unless your crate asks for
//!   serde_json's features `preserve_order` and `arbitrary_precision`.
//!
//! # What a plugin has
//! A fresh instance for every call: nothing is kept between two. No network, files or
//! environment; time is the event's ([`Event::occurred_at`]). There is a log ([`log!`]), and keyed hashing with
//! the hook's secrets ([`hmac_sha256`]). A panic ends the call as a trap, its message is in the log.

#![warn(missing_docs)]

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod allocator;
#[doc(hidden)]
pub mod bindings;
mod call;
mod event;
mod failure;
mod logging;
mod request;
mod secrets;
pub mod time;

pub use event::{Data, Event, JsonText, Output};
pub use failure::parse_settings;
pub use hookwright_plugin_macros::{filter, mapper, transformer};
pub use logging::{Level, write_log};
pub use secrets::hmac_sha256;

pub use bindings::base::hookwright::plugin::types::{Body, Failure, Request};

/// What the attributes expand to. Not for use by hand, and may change at any time.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::base::hookwright::plugin::types::Event as WireEvent;
    pub use crate::bindings::{
        filter, filter::export_filter, mapper, mapper::export_mapper, transformer,
        transformer::export_transformer,
    };
    pub use crate::call::{NoSettings, call_filter, call_mapper, call_transformer, checked};
}
