//! Looking into snapshots without writing anything: find, compare, measure, and the tree of a mount.

mod diff;
mod file;
mod find;
mod frames;
mod jobs;
mod listing;
mod stats;
mod tree;

#[cfg(test)]
mod tests;

pub use diff::{Change, Counts, DiffSummary, Mark, Side, diff};
pub use file::OpenFile;
pub use find::{Finder, Found};
pub use frames::FRAME_CACHE_LEN_DEFAULT;
pub use jobs::{JobCost, job_costs};
pub use stats::{ObjectSizes, RepositorySizes, Sizes, Stats, stats};
pub use tree::{Listed, Listing, Tree};

use crate::error::{Error, Kind, Result};
use crate::model::{Class, NodeRef, Source};
use crate::observe::{Event, Observer};

/// The manifest of `source`, unless it holds secrets: no search names any, whatever the key may
/// read, and a mount shows them only when asked to.
#[must_use]
pub fn searchable_root(source: &Source) -> Option<NodeRef> {
    source.root.filter(|root| root.class == Class::Ordinary)
}

/// Damage is told and counted, and the work goes on; any other error ends it.
fn tell_damage(error: Error, observer: &dyn Observer, count: &mut u64) -> Result<()> {
    if !error.kind().is_damage() {
        return Err(error);
    }
    *count += 1;
    observer.event(Event::Finding(&error.to_string()));
    Ok(())
}

fn stop_if_asked(observer: &dyn Observer) -> Result<()> {
    if observer.is_interrupted() {
        return Err(Error::new(Kind::Interrupted, "interrupted"));
    }
    Ok(())
}
