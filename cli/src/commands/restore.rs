use std::io::{BufRead, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use coffer_engine::error::{Error, Kind};
use coffer_engine::observe::{Event, Observer};
use coffer_engine::restore::{Overwrite, RestoreOptions, RestoreSummary, restore};

use super::Context;
use crate::args::{OverwriteArg, RestoreArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::progress::{Reporter, Task};
use crate::output::{Stdout, escape, json, stderr_line, units};
use crate::process::Interrupt;
use crate::settings::absolute;

/// Bytes read of what is typed: longer than any path.
const TYPED_LEN_MAX: u64 = 64 << 10;

/// Writes a snapshot, or a part of it, into a folder.
///
/// # Errors
/// Fails with code 3 when entries could not be written, 4 when the repository is damaged there or
/// something reads back otherwise, and the rest is restored; with 5 when something would be deleted
/// that nobody confirmed.
pub fn run(context: &Context, args: RestoreArgs) -> Result<()> {
    let (dry_run, source) = (args.dry_run, args.source.clone());
    let has_consent = args.yes || args.dry_run || !args.delete;
    let repository = context.open()?;
    let snapshot = context.select(&repository, &args.from.snapshot, &args.filter)?;
    let options = options(context, args)?;
    let restore = |options: &RestoreOptions, observer: &dyn Observer| {
        restore(&repository, &snapshot, source.as_deref(), options, observer)
    };
    if !has_consent {
        let rehearsal = RestoreOptions { dry_run: true, ..options.clone() };
        let removed = restore(&rehearsal, &Quiet(&context.interrupt))?.removed;
        confirm(&options.target, removed)?;
    }
    let reporter = context.reporter(Task::Restore, dry_run);
    let result = restore(&options, &reporter);
    reporter.clear();
    let summary = result.inspect_err(|_| reporter.tell_held()).map_err(failure)?;
    // What became of the files weighs more than a standard output that nobody reads.
    let told = tell(context, &summary, dry_run, &reporter);
    outcome(&summary).and(told)
}

fn options(context: &Context, args: RestoreArgs) -> Result<RestoreOptions> {
    let settings = context.settings()?;
    let mut kept = vec![settings.repository, settings.state_dir];
    kept.extend(settings.cache_dir);
    kept.extend(context.given()?.files());
    Ok(RestoreOptions {
        target: absolute(&args.target)?,
        folder: args.from.path,
        name: None,
        includes: args.include,
        excludes: args.exclude,
        overwrite: match args.overwrite {
            OverwriteArg::Always => Overwrite::Always,
            OverwriteArg::IfChanged => Overwrite::IfChanged,
            OverwriteArg::Never => Overwrite::Never,
        },
        sparse: args.sparse,
        dry_run: args.dry_run,
        delete: args.delete,
        kept,
        verify: args.verify,
        no_space_check: args.no_space_check,
        no_owner: args.no_owner,
        set_ids: args.setuid,
        force: args.force,
        devices: args.devices,
    })
}

/// Asks for the target's path before `removed` files and folders are deleted from it.
fn confirm(target: &Path, removed: u64) -> Result<()> {
    if removed == 0 {
        return Ok(());
    }
    let shown = escape::name(target.as_os_str().as_bytes());
    let what = format!(
        "{} in {shown} would be deleted, as the snapshot does not have them",
        units::count(removed, "file or folder", "files and folders")
    );
    let refused = || {
        Failure::new(Code::Refused, format!("{what}; nothing was done"))
            .hint("look with -n -v, then go on with --yes")
    };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused());
    }
    stderr_line(&format!("{what}.\nType {shown} to go on:"));
    let mut typed = Vec::new();
    let read = std::io::stdin().lock().take(TYPED_LEN_MAX).read_until(b'\n', &mut typed);
    let is_same = read.is_ok() && typed.strip_suffix(b"\n") == Some(shown.as_bytes());
    if is_same { Ok(()) } else { Err(refused()) }
}

/// The way out of a full target.
fn failure(error: Error) -> Failure {
    let is_full = error.kind() == Kind::NoSpace;
    let failure = Failure::from(error);
    if is_full {
        failure.hint(
            "make room, then run the command again: what is written is not fetched again; \
             --no-space-check begins even if it does not seem to fit",
        )
    } else {
        failure
    }
}

/// Hears nothing but the wish to stop.
struct Quiet<'a>(&'a Interrupt);

impl Observer for Quiet<'_> {
    fn event(&self, _: Event<'_>) {}

    fn is_interrupted(&self) -> bool {
        self.0.is_set()
    }
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
        if summary.removed > 0 {
            let verb = if dry_run { "would delete" } else { "deleted" };
            let extra = units::count(summary.removed, "file or folder", "files and folders");
            out.line(&format!("{verb} {extra}"))?;
        }
        if summary.compared > 0 {
            let (compared, differing) = (summary.compared, summary.differing);
            let entries = units::count(compared, "entry", "entries");
            out.line(&format!("verified {entries}, {differing} different"))?;
        }
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
    if summary.differing > 0 {
        let differing = units::count(summary.differing, "entry differs", "entries differ");
        let message = format!("{differing} on the target from the snapshot");
        return Err(Failure::new(Code::Damage, message).hint(
            "restore again; if they differ again and nobody writes there, mistrust the disk or memory",
        ));
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
