//! Restores from a repository in memory into a temporary directory.

mod content;
#[cfg(feature = "crash-points")]
mod crash;
mod damage;
mod databases;
mod hostile;
mod memory;
mod metadata;
mod modes;
