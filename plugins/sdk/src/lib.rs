//! SDK for Hookwright plugins in Rust: a plugin is a function with an attribute.
//!
//! A plugin decides whether an event is delivered ([`filter`]), transforms its data ([`mapper`]) or writes the HTTP
//! request ([`transformer`]). This is a complete plugin, the `src/lib.rs` of a crate whose `crate-type` is
//! `["cdylib", "rlib"]`:
//!
//! ```
//! use hookwright_plugin::{Event, Failure, log};
//! use serde::Deserialize;
//!
//! /// The members of an event's data that this plugin reads.
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
//! // It is an ordinary function and can be tested like one.
//! let order = Event::new("order.paid", Order { total: 20.0 });
//! assert_eq!(large_orders(order, Settings { at_least: 10.0 }), Ok(true));
//! ```
//!
//! `cargo build --release --target wasm32-unknown-unknown` builds the module to upload. A crate may have several roles,
//! with one function per role.
//!
//! # Data and settings
//! - `D` of `Event<D>` is any [`Deserialize`](serde::Deserialize) type, including `serde_json::Value`, or [`JsonText`]
//!   for the unparsed text. Data of another type fails the call with the code `bad-data`.
//! - Settings are any `Deserialize` type. Invalid settings fail the call with the code `bad-settings` and the path of
//!   the member. Use `#[serde(deny_unknown_fields)]` to detect misspelled members too.
//! - Settings are parsed before the data. For rules that `Deserialize` cannot express, pass a function to the attribute:
//!   `#[hookwright_plugin::filter(check = check)]` with `fn check(settings: &Settings) -> Result<(), Failure>`. It runs
//!   between the two, and its errors get the code `bad-settings`.
//! - The engine does not create a hook with such settings: it calls the hook's plugins first, with the newest event that
//!   the hook matches, or with the data `{}` if there is none. The plugin's own function is not called if the data has
//!   another type, so check settings in the check function.
//! - `serde_json::Value` keeps neither the order of an object's members nor the text of numbers, unless your crate
//!   enables serde_json's features `preserve_order` and `arbitrary_precision`.
//!
//! # Environment of a plugin
//! Every call has a fresh instance: no state is kept between calls. There is no network, no file system and no
//! environment, and the time is that of the event ([`Event::occurred_at`]). There is a log ([`log!`]), and keyed hashing
//! with the hook's secrets ([`hmac_sha256`]). A panic ends the call as a trap, with its message in the log.

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

/// Used by the code that the attributes generate. Not a public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::base::hookwright::plugin::types::Event as WireEvent;
    pub use crate::bindings::{
        filter, filter::export_filter, mapper, mapper::export_mapper, transformer,
        transformer::export_transformer,
    };
    pub use crate::call::{NoSettings, call_filter, call_mapper, call_transformer, checked};
}
