use coffer_engine::browse::{Change, Counts, DiffSummary, Mark, Side, diff};
use coffer_engine::model::Snapshot;

use super::{Context, ls};
use crate::args::DiffArgs;
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, escape, json, units};

/// Shows what differs between two snapshots.
///
/// # Errors
/// Fails if a path is not in its snapshot; with code 4 when a part is damaged; the rest is compared.
pub fn run(context: &Context, args: &DiffArgs) -> Result<()> {
    let repository = context.open()?;
    let old = context.select(&repository, &args.old.snapshot, &args.filter)?;
    let new = context.select(&repository, &args.new.snapshot, &args.filter)?;
    let watcher = context.watcher();
    let reader = repository.reader(&watcher)?;
    let sides = [
        Side { snapshot: &old, folder: &args.old.path },
        Side { snapshot: &new, folder: &args.new.path },
    ];
    let mut out = Stdout::new()?;
    let mut told = Ok(());
    let summary = diff(&reader, sides, args.metadata, &watcher, &mut |change| {
        if told.is_ok() {
            told = tell(context, &change, &mut out);
        }
        Ok(())
    })?;
    told?;
    for (side, found) in sides.iter().zip(summary.found) {
        if !found && !side.folder.is_empty() {
            return Err(ls::not_there(side.snapshot, side.folder));
        }
    }
    tell_summary(context, [&old, &new], &summary, args.metadata, &mut out)?;
    out.finish()?;
    if summary.damaged == 0 {
        return Ok(());
    }
    let parts = units::count(summary.damaged, "part", "parts");
    let message = format!("{parts} of the snapshots could not be read; the rest is compared");
    Err(Failure::new(Code::Damage, message).hint("`coffer check` tells what is damaged"))
}

fn tell(context: &Context, change: &Change<'_>, out: &mut Stdout) -> Result<()> {
    if context.interrupt.is_set() {
        return Err(Failure::interrupted());
    }
    let mark = mark(change.mark);
    let path = change.entry.path.as_bytes();
    if context.global.json {
        return out.json(&json::ChangeLine::new(mark, change.entry));
    }
    let end = if change.entry.is_directory() { "/" } else { "" };
    out.line(&format!("{mark}    {}{end}", escape::path(path)))
}

/// restic's marks.
fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "+",
        Mark::Removed => "-",
        Mark::Content => "M",
        Mark::Metadata => "U",
        Mark::Type => "T",
    }
}

fn tell_summary(
    context: &Context,
    snapshots: [&Snapshot; 2],
    summary: &DiffSummary,
    with_metadata: bool,
    out: &mut Stdout,
) -> Result<()> {
    if context.global.json {
        return out.json(&json::DiffLine::new(snapshots, summary));
    }
    if context.global.quiet {
        return Ok(());
    }
    for (word, counts) in
        [("added", summary.added), ("removed", summary.removed), ("changed", summary.changed)]
    {
        out.line(&format!("{word:<8} {}", counted(&counts)))?;
    }
    if with_metadata {
        out.line(&format!("{:<8} {}", "metadata", counted(&summary.metadata)))?;
    }
    Ok(())
}

fn counted(counts: &Counts) -> String {
    format!(
        "{}, {}, {} ({})",
        units::count(counts.files, "file", "files"),
        units::count(counts.directories, "folder", "folders"),
        units::count(counts.others, "other", "others"),
        units::bytes(counts.bytes)
    )
}
