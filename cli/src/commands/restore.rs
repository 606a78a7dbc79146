use coffer_engine::restore::{Overwrite, RestoreOptions, RestoreSummary, restore};

use super::Context;
use crate::args::{OverwriteArg, RestoreArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::progress::{Reporter, Task};
use crate::output::{Stdout, json, units};
use crate::settings::absolute;

/// Writes a snapshot, or a part of it, into a folder.
///
/// # Errors
/// Fails with code 3 when entries could not be written, 4 when the repository is damaged there; the
/// rest is restored.
pub fn run(context: &Context, args: RestoreArgs) -> Result<()> {
    let target = absolute(&args.target)?;
    let repository = context.open()?;
    let snapshot = context.select(&repository, &args.from.snapshot, &args.filter)?;
    let options = RestoreOptions {
        target,
        folder: args.from.path,
        includes: args.include,
        excludes: args.exclude,
        overwrite: match args.overwrite {
            OverwriteArg::Always => Overwrite::Always,
            OverwriteArg::IfChanged => Overwrite::IfChanged,
            OverwriteArg::Never => Overwrite::Never,
        },
        sparse: args.sparse,
        dry_run: args.dry_run,
    };
    let reporter = context.reporter(Task::Restore, args.dry_run);
    let result = restore(&repository, &snapshot, &options, &reporter);
    reporter.clear();
    let summary = result.inspect_err(|_| reporter.tell_held())?;
    // What became of the files weighs more than a standard output that nobody reads.
    let told = tell(context, &summary, args.dry_run, &reporter);
    outcome(&summary).and(told)
}

fn tell(
    context: &Context,
    summary: &RestoreSummary,
    dry_run: bool,
    reporter: &Reporter,
) -> Result<()> {
    reporter.tell_problems(&summary.problems);
    let mut out = Stdout::new()?;
    if context.global.json {
        let seconds = reporter.elapsed().as_secs();
        out.json(&json::RestoreLine::new(summary, dry_run, seconds))?;
    } else if !context.global.quiet {
        let verb = if dry_run { "would restore" } else { "restored" };
        out.line(&format!(
            "{verb} {}, {}, {} ({}), {} skipped, in {}",
            units::count(summary.files + summary.links, "file", "files"),
            units::count(summary.directories, "folder", "folders"),
            units::count(summary.others, "other", "others"),
            units::bytes(summary.bytes),
            summary.skipped,
            units::duration(reporter.elapsed())
        ))?;
    }
    out.finish()
}

fn outcome(summary: &RestoreSummary) -> Result<()> {
    let count = summary.problem_count + summary.lost;
    let entries = units::count(count, "entry", "entries");
    if summary.damaged_count > 0 {
        let message = format!(
            "{entries} could not be written, {} damaged in the repository; the rest is restored",
            summary.damaged_count
        );
        return Err(Failure::new(Code::Damage, message)
            .hint("`coffer verify` tells what is damaged; try an older snapshot for these"));
    }
    if count > 0 {
        let message = format!("{entries} could not be written; the rest is restored");
        return Err(Failure::new(Code::Partial, message));
    }
    if summary.sealed_sources > 0 {
        let message =
            "the key in use may not read the secrets of the snapshot; the rest is restored";
        let hint = "restore them with a key that may: `coffer key list` tells which";
        return Err(Failure::new(Code::Partial, message).hint(hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_weighs_more_than_what_could_not_be_written() {
        let code = |problem_count, damaged_count, lost| {
            let counts = RestoreSummary::default();
            let summary = RestoreSummary { problem_count, damaged_count, lost, ..counts };
            outcome(&summary).map_or_else(|failure| failure.code.number(), |()| 0)
        };
        assert_eq!([code(0, 0, 0), code(1, 0, 0), code(0, 0, 1), code(2, 1, 0)], [0, 3, 3, 4]);
    }
}
