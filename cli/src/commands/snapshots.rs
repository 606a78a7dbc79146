use std::collections::HashMap;

use coffer_engine::model::{Snapshot, SnapshotState};

use super::{Context, to_filter};
use crate::args::SnapshotsArgs;
use crate::exit::Result;
use crate::output::{Stdout, json, table};

/// Lists the snapshots, oldest first.
///
/// # Errors
/// Those of opening and reading the repository.
pub fn run(context: &Context, args: &SnapshotsArgs) -> Result<()> {
    let repository = context.open()?;
    let filter = to_filter(&args.filter);
    let mut list: Vec<Snapshot> = repository
        .snapshots(args.all, &context.watcher())?
        .into_iter()
        .map(|(_, snapshot)| snapshot)
        .collect();
    list.retain(|snapshot| filter.matches(snapshot));
    list.sort_by_key(|snapshot| (snapshot.started_ns, snapshot.sid));
    let list = match args.latest {
        Some(count) => newest_of_each(&list, count),
        None => list.iter().collect(),
    };
    let mut out = Stdout::new()?;
    if context.global.json {
        let lines: Vec<_> = list.iter().map(|s| json::SnapshotLine::new(s)).collect();
        out.json(&lines)?;
        return out.finish();
    }
    if list.is_empty() {
        out.line("no snapshots")?;
        return out.finish();
    }
    if context.global.verbose > 0 {
        for snapshot in &list {
            out.line(&table::snapshots(&[snapshot]))?;
            out.line(&table::sources(snapshot))?;
        }
    } else {
        out.line(&table::snapshots(&list))?;
    }
    let unfinished = list.iter().filter(|s| s.state == SnapshotState::Incomplete).count();
    if !context.global.quiet {
        let count = list.len() - unfinished;
        let noun = if count == 1 { "snapshot" } else { "snapshots" };
        out.line(&format!("{count} {noun}"))?;
    }
    out.finish()
}

/// The newest `count` of every host and job, in the order of `list` (oldest first).
fn newest_of_each(list: &[Snapshot], count: usize) -> Vec<&Snapshot> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let mut kept: Vec<&Snapshot> = Vec::new();
    for snapshot in list.iter().rev() {
        let taken = seen.entry((&snapshot.host, &snapshot.job)).or_default();
        if *taken < count {
            *taken += 1;
            kept.push(snapshot);
        }
    }
    kept.reverse();
    kept
}
