//! The generation fence as pure decisions over generations, closes and listings: which snapshots are
//! valid, which packs may not be relied on, and when a backup may be acknowledged.
//!
//! Backup publishes its snapshot, then looks for the next generation; prune publishes a generation,
//! then lists snapshots; so one of the two always sees the other. No decision here reads a clock.

mod forgotten;
mod settled;
mod view;

pub use forgotten::Forgotten;
pub use settled::{Closing, FULL_EVERY, Settled};
pub use view::{Look, View, newest_of_each_run};
