//! `GET /metrics` of the admin listener.

mod figures;
mod page;
pub mod scrape;
