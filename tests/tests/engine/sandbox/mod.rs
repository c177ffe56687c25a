//! Plugins in the real engine.

mod golden;
mod hostile;
mod scripts;
mod upload;
mod versions;
