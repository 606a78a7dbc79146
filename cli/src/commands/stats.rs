use coffer_engine::browse::{ObjectSizes, RepositorySizes, job_costs, stats};
use coffer_engine::model::Snapshot;
use coffer_engine::repo::Repository;

use super::{Context, to_filter};
use crate::args::StatsArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, json, table, units};

/// Shows what snapshots and the repository take.
///
/// # Errors
/// Fails with code 4 when something is damaged; the rest is measured.
pub fn run(context: &Context, args: &StatsArgs) -> Result<()> {
    let repository = context.open()?;
    let (snapshots, is_all) = chosen(context, &repository, args)?;
    let watcher = context.watcher();
    let reader = repository.reader(&watcher)?;
    let stats = stats(&repository, &reader, &snapshots, is_all, &watcher)?;
    let costs = job_costs(&snapshots);
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::StatsLine::new(&snapshots, &stats, &costs, &repository.tuning()))?;
    } else {
        out.line(&table::sizes(&snapshots, &stats))?;
        out.line("")?;
        if !costs.is_empty() {
            out.line(&table::job_costs(&costs))?;
            out.line("")?;
        }
        out.line(&repository_lines(&stats.repository))?;
        out.line(&format!("{:<10} {}", "settings", units::tuning(&repository.tuning())))?;
    }
    out.finish()?;
    if stats.damaged == 0 {
        return Ok(());
    }
    let chunks = units::count(stats.damaged, "chunk", "chunks");
    let message = format!("{chunks} could not be read; what needs them is not counted");
    Err(Failure::new(Code::Damage, message).hint("`coffer check` tells what is damaged"))
}

/// The snapshots to measure, oldest first, and whether they are all that there are.
fn chosen(
    context: &Context,
    repository: &Repository,
    args: &StatsArgs,
) -> Result<(Vec<Snapshot>, bool)> {
    if !args.snapshots.is_empty() {
        let named = args.snapshots.iter();
        let mut list = named
            .map(|name| context.select(repository, name, &args.filter))
            .collect::<Result<Vec<_>>>()?;
        list.sort_by_key(|snapshot| (snapshot.started_ns, snapshot.sid));
        list.dedup_by_key(|snapshot| snapshot.sid);
        return Ok((list, false));
    }
    let filter = to_filter(&args.filter);
    let all = repository.snapshots(true, &context.watcher())?;
    let count = all.len();
    let list: Vec<Snapshot> =
        all.into_iter().map(|(_, snapshot)| snapshot).filter(|s| filter.matches(s)).collect();
    let is_all = list.len() == count;
    Ok((list, is_all))
}

fn repository_lines(sizes: &RepositorySizes) -> String {
    let line = |name: &str, part: ObjectSizes| {
        let objects = units::count(part.count, "object", "objects");
        format!("{name:<10} {:>10}  {objects}", units::bytes(part.bytes))
    };
    let mut lines = vec![
        line("data", sizes.data),
        line("metadata", sizes.metadata),
        line("index", sizes.index),
        line("snapshots", sizes.snapshots),
        line("control", sizes.control),
    ];
    if sizes.unknown_packs.count > 0 {
        lines.push(line("unknown", sizes.unknown_packs));
    }
    lines.push(line("repository", sizes.total()));
    if let Some(bytes) = sizes.garbage_bytes {
        lines.push(format!("{:<10} {:>10}", "garbage", units::bytes(bytes)));
    }
    lines.join("\n")
}
