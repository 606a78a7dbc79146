use coffer_engine::maintain::{self, Bounds, PruneOptions, PruneReport};
use coffer_engine::repo::Repository;

use super::Context;
use crate::args::{PruneArgs, PruningArgs};
use crate::exit::{Failure, Result};
use crate::output::progress::{Reporter, Task};
use crate::output::{Stdout, json, retention, units};

/// Deletes what nothing needs, or takes back what is held.
///
/// # Errors
/// Fails with code 4 when something that is needed is damaged or lost: then nothing is deleted; with 5 when
/// there is nothing to take back any more.
pub fn run(context: &Context, args: &PruneArgs) -> Result<()> {
    let repository = context.open()?;
    if args.undo {
        return undo(context, &repository);
    }
    prune(context, &repository, &options(&args.how, args.dry_run))
}

/// Prunes and tells what was found and done.
///
/// # Errors
/// As [`run`].
pub fn prune(context: &Context, repository: &Repository, options: &PruneOptions) -> Result<()> {
    let reporter = context.reporter(Task::Prune, options.dry_run);
    let result = maintain::prune(repository, options, &reporter);
    reporter.clear();
    tell(context, &result.map_err(Failure::from)?, options.dry_run, &reporter)
}

/// What the engine is asked for.
#[must_use]
pub fn options(how: &PruningArgs, dry_run: bool) -> PruneOptions {
    PruneOptions {
        bounds: Bounds { garbage_percent_max: how.max_unused, rewrite_bytes_max: how.max_rewrite },
        young: how.leave_newer,
        hold: how.hold,
        dry_run,
        as_if_forgotten: Vec::new(),
    }
}

fn tell(context: &Context, report: &PruneReport, dry_run: bool, reporter: &Reporter) -> Result<()> {
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::PruneLine::new(report, dry_run, reporter.elapsed().as_secs()))?;
    } else if !context.global.quiet || dry_run {
        for line in retention::prune_lines(report, dry_run) {
            out.line(&line)?;
        }
    }
    out.finish()
}

fn undo(context: &Context, repository: &Repository) -> Result<()> {
    let reporter = context.reporter(Task::Prune, false);
    let result = maintain::undo_prune(repository, &reporter);
    reporter.clear();
    let report = result.map_err(Failure::from)?;
    let snapshots = repository.snapshots(false, &context.watcher())?.len();
    let mut out = Stdout::new()?;
    if context.global.json {
        out.json(&json::PruneUndoLine::new(snapshots, report.generation))?;
    } else if !context.global.quiet {
        let count = units::count(snapshots as u64, "snapshot is", "snapshots are");
        out.line(&format!("taken back; {count} listed"))?;
    }
    out.finish()
}
