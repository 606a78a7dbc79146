mod consent;
mod to_sqlite;

use coffer_engine::error::{Error, Kind};
use coffer_engine::observe::{Event, Observer};
use coffer_engine::restore::{Overwrite, RestoreOptions, RestoreSummary, restore};

use self::to_sqlite::Place;
use super::Context;
use crate::args::{OverwriteArg, RestoreArgs};
use crate::exit::{Code, Failure, Result};
use crate::output::progress::{Reporter, Task};
use crate::output::{Stdout, json, units};
use crate::process::Interrupt;
use crate::settings::absolute;

/// Writes a snapshot, or a part of it, into a folder, or one database of it to a file.
///
/// # Errors
/// Fails with code 3 when entries could not be written, 4 when the repository is damaged there or
/// something reads back otherwise, and the rest is restored; with 5 when something would be deleted
/// or replaced that nobody confirmed. As [`to_sqlite`] says for a database.
pub fn run(context: &Context, args: RestoreArgs) -> Result<()> {
    let (dry_run, has_consent) = (args.dry_run, args.yes || args.dry_run);
    let place = args.to_sqlite.as_deref().map(Place::new).transpose()?;
    let repository = context.open()?;
    let snapshot = context.select(&repository, &args.from.snapshot, &args.filter)?;
    let mut source = args.source.clone();
    let mut options = options(context, args, place.as_ref())?;
    if place.is_some() {
        let database =
            to_sqlite::choose(context, &repository, &snapshot, source.as_deref(), &options.folder)?;
        (options.folder, source) = (database.path, Some(database.source));
    }
    if let Some(place) = place.as_ref().filter(|_| !options.dry_run && !options.force) {
        place.refuse_remains()?;
    }
    let restore = |options: &RestoreOptions, observer: &dyn Observer| {
        restore(&repository, &snapshot, source.as_deref(), options, observer)
    };
    if !has_consent && (options.delete || place.is_some()) {
        let rehearsal = RestoreOptions { dry_run: true, ..options.clone() };
        let removed = restore(&rehearsal, &Quiet(&context.interrupt))?.removed;
        match &place {
            Some(place) => consent::to_replace(place)?,
            None => consent::to_delete(&options.target, removed)?,
        }
    }
    let reporter = context.reporter(Task::Restore, dry_run);
    let result = restore(&options, &reporter);
    reporter.clear();
    let summary = result.inspect_err(|_| reporter.tell_held()).map_err(failure)?;
    // What became of the files weighs more than a standard output that nobody reads.
    let told = tell(context, &summary, dry_run, &reporter);
    let outcome = if place.is_some() { to_sqlite::outcome } else { outcome };
    outcome(&summary).and(told)
}

fn options(context: &Context, args: RestoreArgs, place: Option<&Place>) -> Result<RestoreOptions> {
    let settings = context.settings()?;
    let mut kept = vec![settings.repository, settings.state_dir];
    kept.extend(settings.cache_dir);
    kept.extend(context.given()?.files());
    Ok(RestoreOptions {
        target: match (place, args.target) {
            (Some(place), _) => place.folder.clone(),
            (None, Some(folder)) => absolute(&folder)?,
            (None, None) => return Err(Failure::usage("there is no --target")),
        },
        folder: args.from.path,
        name: place.map(|place| place.name.clone()),
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
