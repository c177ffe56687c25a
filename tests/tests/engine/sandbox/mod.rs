//! Plugins through the real engine.

mod golden;
mod hostile;
mod upload;
mod versions;
