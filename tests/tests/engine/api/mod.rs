//! The HTTP API, surface by surface.

mod bad_input;
mod isolation;
mod resources;
mod webitel;
