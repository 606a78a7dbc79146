use coffer_engine::browse::Finder;
use coffer_engine::model::{Entry, EntryKind, Snapshot};
use coffer_engine::repo::Repository;

use super::{Context, to_filter};
use crate::args::{FindArgs, TypeArg};
use crate::exit::{Code, Failure, Result};
use crate::output::{Stdout, escape, json, stderr_line, table, units};

/// Finds entries by name.
///
/// # Errors
/// Fails with code 4 when a part of a snapshot is damaged; the rest is looked through.
pub fn run(context: &Context, args: &FindArgs) -> Result<()> {
    let repository = context.open()?;
    let snapshots = chosen(context, &repository, args)?;
    let watcher = context.watcher();
    let reader = repository.reader(&watcher)?;
    let is_wanted = |entry: &Entry| args.types.is_empty() || args.types.contains(&type_of(entry));
    let mut finder = Finder::new(&reader, &args.globs, &is_wanted)?;
    let mut out = Stdout::new()?;
    let (mut entry_count, mut snapshot_count) = (0_u64, 0_u64);
    for snapshot in &snapshots {
        let before = entry_count;
        for source in &snapshot.sources {
            let mut told = Ok(());
            finder.find(source, &watcher, &mut |entry| {
                let is_first = entry_count == before;
                entry_count += 1;
                told = tell(context, args, (snapshot, &source.name), entry, is_first, &mut out);
                Ok(told.is_ok())
            })?;
            told?;
        }
        snapshot_count += u64::from(entry_count > before);
    }
    if context.global.json {
        out.json(&json::FindSummaryLine::new(snapshots.len(), snapshot_count, entry_count))?;
    }
    out.finish()?;
    if entry_count == 0 && !context.global.json && !context.global.quiet {
        let looked = units::count(snapshots.len() as u64, "snapshot", "snapshots");
        stderr_line(&format!("coffer: note: nothing found in {looked}"));
    }
    if finder.damaged() == 0 {
        return Ok(());
    }
    let parts = units::count(finder.damaged(), "part", "parts");
    let message =
        format!("{parts} of the lists of files could not be read; the rest was looked through");
    Err(Failure::new(Code::Damage, message).hint("`coffer check` tells what is damaged"))
}

/// The snapshots to look through, oldest first.
fn chosen(context: &Context, repository: &Repository, args: &FindArgs) -> Result<Vec<Snapshot>> {
    if args.snapshot.is_empty() {
        let filter = to_filter(&args.filter);
        let all = repository.snapshots(false, &context.watcher())?.into_iter();
        return Ok(all.map(|(_, snapshot)| snapshot).filter(|s| filter.matches(s)).collect());
    }
    let named = args.snapshot.iter();
    let mut list = named
        .map(|name| context.select(repository, name, &args.filter))
        .collect::<Result<Vec<_>>>()?;
    list.sort_by_key(|snapshot| (snapshot.started_ns, snapshot.sid));
    list.dedup_by_key(|snapshot| snapshot.sid);
    Ok(list)
}

fn tell(
    context: &Context,
    args: &FindArgs,
    (snapshot, source): (&Snapshot, &str),
    entry: &Entry,
    is_first: bool,
    out: &mut Stdout,
) -> Result<()> {
    if context.interrupt.is_set() {
        return Err(Failure::interrupted());
    }
    if context.global.json {
        return out.json(&json::FindLine::new(snapshot, entry, source));
    }
    if is_first {
        let id = snapshot.sid.to_string();
        out.line(&format!(
            "snapshot {} of {} on {}:",
            json::short(&id),
            units::local_time(snapshot.started_ns),
            escape::text(&snapshot.host),
        ))?;
    }
    out.line(&if args.long {
        table::long_entry(entry)
    } else {
        escape::path(entry.path.as_bytes())
    })
}

fn type_of(entry: &Entry) -> TypeArg {
    match entry.kind {
        EntryKind::File { .. } => TypeArg::File,
        EntryKind::Directory => TypeArg::Dir,
        EntryKind::Symlink { .. } => TypeArg::Symlink,
        EntryKind::Fifo => TypeArg::Fifo,
        EntryKind::Socket => TypeArg::Socket,
        EntryKind::CharDevice { .. } => TypeArg::Chardev,
        EntryKind::BlockDevice { .. } => TypeArg::Dev,
    }
}
